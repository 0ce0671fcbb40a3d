"""What to do next about a StatefulSet: pure.

In order: every ordinal gets its pod, lowest first, ordinals beyond the replicas lose theirs, highest first, then old
pods are replaced, highest first. With `OrderedReady` each waits until all before it are available. A pod is made only
when no other of its name is left, so that no identity is there twice.

Names and claims are worked out in `identity` and `claims`, revisions in `controllerrevision`.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from navarch.controllers import controllerrevision
from navarch.controllers.claims import Claim, adopt, release
from navarch.controllers.deployment.sizes import scaled
from navarch.controllers.plan import Action, Create, Delete, Event, Patch, Plan, Status, soonest
from navarch.controllers.replicas import is_available, next_available_s
from navarch.controllers.statefulset import claims
from navarch.controllers.statefulset.identity import (
    HASH_LABEL,
    NAME_LABEL,
    REVISION_LABEL,
    labels,
    new_pod,
    ordinal_of,
    pod_name,
)
from navarch.controllers.template import template_of
from navarch.kinds import POD
from navarch.kinds.object import Object
from navarch.kinds.statefulset_view import StatefulSet
from navarch.objects.value import Document


@dataclass(frozen=True, slots=True)
class Observed:
    """claim: pods. revisions: ControllerRevisions; namesake: the one that has the name which a new one would get.
    volumes: PersistentVolumeClaims by name. taken: names that pods of others have."""

    statefulset: Object
    claim: Claim
    revisions: Claim = field(default_factory=Claim)
    namesake: Object | None = None
    volumes: Mapping[str, Object] = field(default_factory=dict)
    taken: frozenset[str] = frozenset()


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    return _Step(observed, now).plan()


class _Blocked(Exception):
    """Nothing more may be done in this step."""


class _Step:
    """One look at a StatefulSet."""

    def __init__(self, observed: Observed, now: datetime) -> None:
        self.observed = observed
        self.object = observed.statefulset
        self.view: StatefulSet = observed.statefulset.view
        self.spec = self.view.spec
        self.now = now
        self.ordered = self.spec.pod_management_policy != "Parallel"
        self.history = controllerrevision.history(self.object, observed.revisions, observed.namesake, HASH_LABEL)
        self.update = self.history.name
        self.current = self._current()
        orphans = [pod for pod in observed.claim.orphans if ordinal_of(pod, self.object) is not None]
        self.orphans = () if self.closing else orphans
        strangers = [pod for pod in observed.claim.kept if ordinal_of(pod, self.object) is None]
        self.lost = [*observed.claim.lost, *strangers]
        self.pods = [*(pod for pod in observed.claim.kept if pod not in strangers), *self.orphans]
        start = self.spec.ordinals.start
        self.ordinals = range(start, start + max(0, self.spec.replicas))
        self.by_ordinal: dict[int, Object] = {
            ordinal: pod for pod in self.pods if (ordinal := ordinal_of(pod, self.object)) is not None
        }
        beyond = sorted((number for number in self.by_ordinal if number not in self.ordinals), reverse=True)
        self.condemned = [self.by_ordinal[number] for number in beyond]
        self.actions: list[Action] = []

    @property
    def closing(self) -> bool:
        return self.view.metadata.deletion_timestamp is not None

    def _current(self) -> str:
        """The revision of the last completed rollout, as long as it is remembered."""
        name = self.view.status.current_revision
        present = (*self.history.old, *self.history.doubles, self.history.current)
        known = {revision.name for revision in present if revision is not None}
        return name if name in known else self.update

    def plan(self) -> Plan:
        if self.history.collided:
            return Plan(status=Status(self.object, self.status(collided=True)))
        if not self.closing:
            self.actions += [adopt(pod, self.object) for pod in self.orphans]
            self.actions += [release(pod, self.object) for pod in self.lost if pod.view.live]
            self.actions += self.history.actions
            with suppress(_Blocked):
                self._step()
            self.actions += self._forget()
        status = Status(self.object, self.status())
        again_s = next_available_s(self.pods, self.spec.min_ready_seconds, self.now)
        return Plan(tuple(self.actions), status, lambda failures: (status,), soonest(again_s))

    def _step(self) -> None:
        self.actions += claims.owned_as_wanted(self.object, self.pods, self.condemned, self.observed.volumes)
        for ordinal in self.ordinals:
            self._fill(ordinal)
        for pod in self.condemned:
            self._condemn(pod)
        if self.spec.update_strategy.type == "RollingUpdate":
            self._roll()

    # each ordinal by itself

    def _fill(self, ordinal: int) -> None:
        """Raises: _Blocked, where the ordinals after it have to wait."""
        pod = self.by_ordinal.get(ordinal)
        if pod is None:
            self._create(ordinal)
        elif pod.view.terminal:
            if not pod.view.terminating:
                self.actions.append(self._delete(pod))
            self._wait()
        else:
            if pod.view.status.phase == "Pending" and not pod.view.terminating:
                self.actions += claims.missing(self.object, ordinal, self.observed.volumes)
            if not self.serves(pod):
                self._wait()
            if not pod.view.terminating and pod.labels.get(NAME_LABEL) != pod.name:
                text = f"update Pod {pod.name} in StatefulSet {self.object.name}"
                done = Event(self.object, "SuccessfulUpdate", f"{text} successful")
                refused = Event(self.object, "FailedUpdate", f"{text} failed error: {{error}}", "Warning")
                marks = {"metadata": {"labels": labels(self.object, ordinal)}}
                self.actions.append(Patch(pod, marks, done=done, refused=refused))

    def _wait(self) -> None:
        """What is not as it should be holds up the ordinals after it, unless all are made at once.

        Raises: _Blocked
        """
        if self.ordered:
            raise _Blocked

    def _create(self, ordinal: int) -> None:
        name = pod_name(self.object, ordinal)
        text = f"create Pod {name} in StatefulSet {self.object.name}"
        done = Event(self.object, "SuccessfulCreate", f"{text} successful")
        refused = Event(self.object, "FailedCreate", f"{text} failed error: {{error}}", "Warning")
        going = claims.going(self.object, ordinal, self.observed.volumes)
        if going is not None:
            why = f"{text} failed error: pvc {going.name} is being deleted"
            self.actions.append(Event(self.object, "FailedCreate", why, "Warning"))
        elif not claims.stale(self.object, ordinal, self.observed.volumes) and name not in self.observed.taken:
            self.actions += claims.missing(self.object, ordinal, self.observed.volumes)
            old = self.current != self.update and self._keeps_old(ordinal)
            revision = self.current if old else self.update
            made = new_pod(self.object, ordinal, self._template(revision), revision)
            self.actions.append(Create(POD, made, done, refused))
        self._wait()

    def _keeps_old(self, ordinal: int) -> bool:
        strategy = self.spec.update_strategy
        below = self.spec.ordinals.start + strategy.rolling_update.partition
        return bool(strategy.type == "RollingUpdate" and ordinal < below)

    def _template(self, revision: str) -> Document:
        known = next((one for one in (*self.history.old, *self.history.doubles) if one.name == revision), None)
        return template_of(self.object) if known is None else controllerrevision.template_in(known)

    def _condemn(self, pod: Object) -> None:
        """Raises: _Blocked, where the ordinals below it have to wait."""
        waits = pod.view.terminating or (self.ordered and not self.serves(pod) and pod is not self._first_unhealthy())
        if not waits:
            self.actions.append(self._delete(pod))
        self._wait()

    def _first_unhealthy(self) -> Object | None:
        """The lowest ordinal that does not serve."""
        for ordinal in sorted(self.by_ordinal):
            if not self.serves(self.by_ordinal[ordinal]):
                return self.by_ordinal[ordinal]
        return None

    def _delete(self, pod: Object) -> Delete:
        text = f"delete Pod {pod.name} in StatefulSet {self.object.name}"
        done = Event(self.object, "SuccessfulDelete", f"{text} successful")
        refused = Event(self.object, "FailedDelete", f"{text} failed error: {{error}}", "Warning")
        return Delete(pod, done=done, refused=refused)

    def serves(self, pod: Object) -> bool:
        """Running, ready for long enough, and not on its way out."""
        if pod.view.terminating or pod.view.status.phase != "Running":
            return False
        return is_available(pod.view, self.spec.min_ready_seconds, self.now)

    # all of them together

    def _roll(self) -> None:
        """Delete old pods, highest first, as long as not too many are away. An old one that does not serve is not
        counted as away: the new version may be what mends it."""
        rolling = self.spec.update_strategy.rolling_update
        most = max(1, scaled(rolling.max_unavailable, self.spec.replicas, up=False))
        gone = {action.object.uid for action in self.actions if isinstance(action, Delete)}
        away, candidates = 0, []
        for ordinal in reversed(self.ordinals):
            pod = self.by_ordinal.get(ordinal)
            if pod is None or pod.view.terminating or pod.uid in gone:
                away += 1
            elif pod.labels.get(REVISION_LABEL) == self.update:
                away += not self.serves(pod)
            elif not self._keeps_old(ordinal):
                candidates.append(pod)
        self.actions += [self._delete(pod) for pod in candidates[: max(0, most - away)]]

    def _forget(self) -> Sequence[Action]:
        """Revisions beyond the limit that nothing uses."""
        in_use = {self.current, self.update, *(pod.labels.get(REVISION_LABEL, "") for pod in self.pods)}
        known = sorted((*self.history.old, *self.history.doubles), key=controllerrevision.by_number)
        spare = [revision for revision in known if revision.name not in in_use]
        return controllerrevision.surplus(spare, self.spec.revision_history_limit, ())

    def status(self, collided: bool = False) -> Document:
        running = [pod for pod in self.pods if pod.view.status.phase == "Running" and pod.view.ready]
        available = [pod for pod in running if is_available(pod.view, self.spec.min_ready_seconds, self.now)]
        staying = [pod for pod in self.pods if not pod.view.terminating]
        updated = sum(pod.labels.get(REVISION_LABEL) == self.update for pod in staying)
        current = sum(pod.labels.get(REVISION_LABEL) == self.current for pod in staying)
        known = self.current
        wanted = self.spec.replicas
        rolling = self.spec.update_strategy.type == "RollingUpdate"
        if rolling and updated == len(self.pods) == len(running) == wanted:
            known, current = self.update, updated
        optional = {
            "observedGeneration": self.view.metadata.generation,
            "readyReplicas": len(running),
            "currentReplicas": current,
            "updatedReplicas": updated,
        }
        return {
            "replicas": len(self.pods),
            "availableReplicas": len(available),
            "collisionCount": self.view.status.collision_count + collided,
            "currentRevision": known,
            "updateRevision": self.update,
            **{name: number for name, number in optional.items() if number},
        }
