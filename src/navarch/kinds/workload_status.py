"""Rules of the status of workloads: counts that are counts, and that fit each other.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.base.errors import Cause
from navarch.kinds.kind import Rules
from navarch.kinds.rules import Faults
from navarch.kinds.workload import counts
from navarch.objects.value import Document

WITHIN = "cannot be greater than status.replicas"
READY = "cannot be greater than readyReplicas"
DECREMENTED = "cannot be decremented"


def status_rules(
    *fields: str,
    within: tuple[str, ...] = (),
    ready: str = READY,
    counted: bool = False,
) -> Rules:
    """fields: what must not be negative. within: which of them `replicas` bounds; `ready`: what is said of more
    available than ready ones, where it does. counted: whether there is a `collisionCount`, which only goes up."""

    def rules(new: Document, old: Document | None) -> Iterable[Cause]:
        status: Document = new.get("status") or {}
        was: Document = (old or {}).get("status") or {}
        if status == was:
            return ()
        faults = Faults()
        counts(faults, status, "status", *fields)
        if within:
            _within(faults, status, "replicas", WITHIN, *within)
            _within(faults, status, "readyReplicas", ready, "availableReplicas")
        if counted and _decremented(status.get("collisionCount"), was.get("collisionCount")):
            faults.invalid("status.collisionCount", status.get("collisionCount") or 0, DECREMENTED)
        return faults.causes

    return rules


def _within(faults: Faults, status: Document, whole: str, detail: str, *parts: str) -> None:
    most = status.get(whole) or 0
    for field in parts:
        value = status.get(field) or 0
        if value > most:
            faults.invalid(f"status.{field}", value, detail)


def _decremented(new: int | None, old: int | None) -> bool:
    return old is not None and (new is None or new < old)


replicaset = status_rules(
    "replicas",
    "fullyLabeledReplicas",
    "readyReplicas",
    "availableReplicas",
    "terminatingReplicas",
    "observedGeneration",
    within=("fullyLabeledReplicas", "readyReplicas", "availableReplicas"),
)
"""Of ReplicationControllers too."""

deployment = status_rules(
    "observedGeneration",
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
    "terminatingReplicas",
    "collisionCount",
    within=("updatedReplicas", "readyReplicas", "availableReplicas"),
    counted=True,
)

statefulset = status_rules(
    "replicas",
    "readyReplicas",
    "currentReplicas",
    "updatedReplicas",
    "availableReplicas",
    "observedGeneration",
    "collisionCount",
    within=("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"),
    ready="cannot be greater than status.readyReplicas",
    counted=True,
)

daemonset = status_rules(
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "observedGeneration",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
    "collisionCount",
    counted=True,
)

autoscaler = status_rules("currentReplicas", "desiredReplicas")
