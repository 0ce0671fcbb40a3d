"""The status of a Deployment: counts, and the conditions that `kubectl rollout status` reads.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#deployment-status
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from navarch.base.clock import parse_rfc3339, rfc3339
from navarch.controllers.deployment.sizes import Bounds
from navarch.kinds.deployment import DeploymentStatus
from navarch.kinds.object import Object
from navarch.objects.value import Document

NO_LIMIT = 2**31 - 1
"""How "no progress deadline" and "no history limit" are written."""

PROGRESSING, AVAILABLE, REPLICA_FAILURE = "Progressing", "Available", "ReplicaFailure"
COMPLETE, TIMED_OUT, UPDATED = "NewReplicaSetAvailable", "ProgressDeadlineExceeded", "ReplicaSetUpdated"
CREATED, CREATE_ERROR, FOUND = "NewReplicaSetCreated", "ReplicaSetCreateError", "FoundNewReplicaSet"
PAUSED, RESUMED = "DeploymentPaused", "DeploymentResumed"

Condition = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Counts:
    """Of all revisions together, from their own statuses; `updated` of the newest alone."""

    replicas: int = 0
    updated: int = 0
    ready: int = 0
    available: int = 0
    wanted: int = 0
    """The sum of what the revisions ask for."""
    terminating: int | None = None

    @property
    def old(self) -> int:
        return self.replicas - self.updated


def counts(revisions: Sequence[Object], new: Object | None) -> Counts:
    statuses = [found.view.status for found in revisions]
    terminating = [status.terminating_replicas for status in statuses]
    return Counts(
        replicas=sum(status.replicas for status in statuses),
        updated=new.view.status.replicas if new is not None else 0,
        ready=sum(status.ready_replicas for status in statuses),
        available=sum(status.available_replicas for status in statuses),
        wanted=sum(found.view.spec.replicas for found in revisions),
        terminating=None if None in terminating else sum(terminating),
    )


def counts_before(status: DeploymentStatus) -> Counts:
    """As the stored status has them."""
    return Counts(status.replicas, status.updated_replicas, status.ready_replicas, status.available_replicas)


def has_deadline(deployment: Object) -> bool:
    return bool(deployment.view.spec.progress_deadline_seconds != NO_LIMIT)


def is_complete(deployment: Object, found: Counts) -> bool:
    """All pods are of the newest revision and available (the generation is observed by whoever counts them)."""
    wanted: int = deployment.view.spec.replicas
    return found.updated == wanted and found.replicas == wanted and found.available == wanted


def made_progress(deployment: Object, found: Counts) -> bool:
    """Whether a step towards completion was made since the status was last written."""
    before = counts_before(deployment.view.status)
    return (
        found.updated > before.updated
        or found.old < before.old
        or found.ready > before.ready
        or found.available > before.available
    )


class Conditions:
    """The list under edit, as upstream edits it: same status and reason leave the old one, else it goes to the end."""

    def __init__(self, deployment: Object, now: datetime) -> None:
        self._now = rfc3339(now)
        self.list: list[Condition] = list((deployment.document().get("status") or {}).get("conditions") or ())

    def get(self, type: str) -> Condition | None:
        return next((found for found in self.list if found.get("type") == type), None)

    def reason(self, type: str) -> str:
        found = self.get(type)
        return str(found.get("reason", "")) if found else ""

    def remove(self, type: str) -> None:
        self.list = [found for found in self.list if found.get("type") != type]

    def set(self, type: str, status: str, reason: str, message: str, *, refresh: bool = False) -> None:
        """refresh: note the present time as that of the last update even if it says the same as before."""
        old = self.get(type)
        if old and old.get("status") == status and old.get("reason") == reason and not refresh:
            return
        new = {
            "type": type,
            "status": status,
            "lastUpdateTime": self._now,
            "lastTransitionTime": self._now,
            "reason": reason,
            "message": message,
        }
        if old and old.get("status") == status:
            new["lastTransitionTime"] = old.get("lastTransitionTime", self._now)
        self.remove(type)
        self.list.append(new)


def pausing(deployment: Object, conditions: Conditions) -> None:
    """Say that the Deployment is paused, or no longer: then it did not lose time towards its deadline."""
    reason = conditions.reason(PROGRESSING)
    if not has_deadline(deployment) or reason == TIMED_OUT:
        return
    if deployment.view.spec.paused and reason != PAUSED:
        conditions.set(PROGRESSING, "Unknown", PAUSED, "Deployment is paused")
    elif not deployment.view.spec.paused and reason == PAUSED:
        conditions.set(PROGRESSING, "Unknown", RESUMED, "Deployment is resumed")


def progress(
    deployment: Object, new: Object | None, found: Counts, conditions: Conditions, now: datetime
) -> float | None:
    """Set Progressing; returns in how many seconds the deadline passes if nothing happens, None where none runs."""
    if not has_deadline(deployment):
        conditions.remove(PROGRESSING)
        return None
    before = conditions.get(PROGRESSING)
    reason = conditions.reason(PROGRESSING)
    if found.replicas == found.updated and reason == COMPLETE:
        return None
    what = f'ReplicaSet "{new.name}"' if new is not None else f'Deployment "{deployment.name}"'
    if is_complete(deployment, found):
        conditions.set(PROGRESSING, "True", COMPLETE, f"{what} has successfully progressed.")
        return None
    if made_progress(deployment, found):
        conditions.set(PROGRESSING, "True", UPDATED, f"{what} is progressing.", refresh=True)
        return float(deployment.view.spec.progress_deadline_seconds) + 1
    if before is None or reason in (COMPLETE, TIMED_OUT):
        return None
    left_s = _left_s(deployment, before, now)
    if left_s >= 0:
        return left_s + 1
    conditions.set(PROGRESSING, "False", TIMED_OUT, f"{what} has timed out progressing.")
    return None


def _left_s(deployment: Object, condition: Condition, now: datetime) -> float:
    deadline_s = float(deployment.view.spec.progress_deadline_seconds)
    since = condition.get("lastUpdateTime")
    return deadline_s + (parse_rfc3339(since) - now).total_seconds() if since else deadline_s


def replica_failure(revisions: Sequence[Object], new: Object | None, conditions: Conditions) -> None:
    """Show the first failure of a revision, the newest revision's before others', or none."""
    order = [new, *revisions] if new is not None else revisions
    for found in order:
        for condition in found.view.status.conditions:
            if condition.type == REPLICA_FAILURE:
                conditions.set(REPLICA_FAILURE, condition.status, condition.reason, condition.message)
                return
    conditions.remove(REPLICA_FAILURE)


def availability(limits: Bounds, found: Counts, conditions: Conditions) -> None:
    if found.available >= limits.fewest:
        conditions.set(AVAILABLE, "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        message = "Deployment does not have minimum availability."
        conditions.set(AVAILABLE, "False", "MinimumReplicasUnavailable", message)


def document(deployment: Object, found: Counts, conditions: Conditions, *, collisions: int) -> Document:
    """The status; zeros are left out as upstream leaves them out."""
    made: Document = {
        "observedGeneration": deployment.view.metadata.generation,
        "replicas": found.replicas,
        "updatedReplicas": found.updated,
        "readyReplicas": found.ready,
        "availableReplicas": found.available,
        "unavailableReplicas": max(0, found.wanted - found.available),
    }
    made = {key: value for key, value in made.items() if value}
    if found.terminating is not None:
        made["terminatingReplicas"] = found.terminating
    if collisions:
        made["collisionCount"] = collisions
    if conditions.list:
        made["conditions"] = conditions.list
    return made
