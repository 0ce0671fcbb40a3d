"""What to do next about a DaemonSet: pure. First every node gets the pod that is missing there and loses what is too
much; only when that is done are old pods replaced.

Where pods belong is worked out in `nodes`, replacing in `rollout`, revisions in `controllerrevision`.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from navarch.controllers import controllerrevision
from navarch.controllers.claims import Claim, adopt, release
from navarch.controllers.daemonset.nodes import aimed, node_of, requirements
from navarch.controllers.daemonset.rollout import OnNode, Replacement, replace_by_surge, replace_in_place
from navarch.controllers.deployment.sizes import scaled
from navarch.controllers.plan import Action, Delete, Event, Patch, Plan, Status, soonest
from navarch.controllers.replicas import is_available, next_available_s
from navarch.controllers.template import create_pod, delete_pod, pod_of, template_of
from navarch.kinds.daemonset import TEMPLATE_GENERATION
from navarch.kinds.object import Object
from navarch.objects.value import Document

BURST = 250
"""The most pods that one plan makes, and the most that it deletes."""
HASH_LABEL = "controller-revision-hash"
GENERATION_LABEL = "pod-template-generation"
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Observed:
    """claim: pods. nodes: all. revisions: ControllerRevisions; namesake: the one that has the name which a new one
    would get. failed: when each pod that failed, by uid, is due to be replaced."""

    daemonset: Object
    claim: Claim
    nodes: Sequence[Object]
    revisions: Claim = field(default_factory=Claim)
    namesake: Object | None = None
    failed: Mapping[str, datetime] = field(default_factory=dict)


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    daemonset = observed.daemonset
    selector = daemonset.view.spec.selector
    if not selector.match_labels and not selector.match_expressions:
        message = "This daemon set is selecting all pods. A non-empty selector is required."
        return Plan((Event(daemonset, "SelectingAll", message, "Warning"),))
    if daemonset.view.metadata.deletion_timestamp is not None:
        return Plan()
    return _Step(observed, now).plan()


class _Step:
    """One look at a DaemonSet."""

    def __init__(self, observed: Observed, now: datetime) -> None:
        self.observed = observed
        self.daemonset = observed.daemonset
        self.spec = observed.daemonset.view.spec
        self.now = now
        self.history = controllerrevision.history(self.daemonset, observed.revisions, observed.namesake, HASH_LABEL)
        self.hash = self.history.hash(HASH_LABEL)
        self.generation = self.daemonset.view.metadata.annotations.get(TEMPLATE_GENERATION, "")
        self.pods = [*observed.claim.kept, *observed.claim.orphans]
        wanted = requirements(bytes(self.spec.template))
        self.fit = {node.name: wanted.judge(node) for node in sorted(observed.nodes, key=lambda node: node.name)}
        self.on_node = self._by_node()
        desired = sum(should for should, _ in self.fit.values())
        update = self.spec.update_strategy.rolling_update
        self.rolling = self.spec.update_strategy.type == "RollingUpdate"
        self.surge = scaled(update.max_surge, desired, up=True) if self.rolling else 0
        self.unavailable = scaled(update.max_unavailable, desired, up=True) if self.rolling else 0
        if self.rolling and desired and not self.surge and not self.unavailable:
            self.unavailable = 1
        self.doomed: list[Object] = []
        self.missing: list[str] = []
        self.told: list[Action] = []
        self.again_s: float | None = None

    def _by_node(self) -> dict[str, list[Object]]:
        found: dict[str, list[Object]] = {}
        for pod in self.pods:
            if not (pod.view.terminal and pod.view.terminating):
                found.setdefault(node_of(pod), []).append(pod)
        return found

    def plan(self) -> Plan:
        if self.history.collided:
            return Plan(status=Status(self.daemonset, self.status(collided=True)))
        for name, (should, may_stay) in self.fit.items():
            self._keep_right(name, should, may_stay)
        for name, pods in self.on_node.items():
            if name not in self.fit:
                self.doomed += [pod for pod in pods if not pod.view.scheduled and not pod.view.terminating]
        if self.rolling and not self.doomed and not self.missing:
            self._replace()
        template = template_of(self.daemonset)
        actions = [
            *(adopt(orphan, self.daemonset) for orphan in self.observed.claim.orphans),
            *(release(lost, self.daemonset) for lost in self.observed.claim.lost if lost.view.live),
            *self._revise(),
            *self.told,
            *(delete_pod(self.daemonset, pod) for pod in self.doomed[:BURST]),
            *(create_pod(self.daemonset, self._new_pod(template, name)) for name in self.missing[:BURST]),
        ]
        status = Status(self.daemonset, self.status())
        ready_s = next_available_s(self.pods, self.spec.min_ready_seconds, self.now)
        return Plan(tuple(actions), status, lambda failures: (status,), soonest(ready_s, self.again_s))

    # each node by itself

    def _keep_right(self, name: str, should: bool, may_stay: bool) -> None:
        pods = self.on_node.get(name)
        if not pods:
            if should:
                self.missing.append(name)
            return
        staying = [pod for pod in pods if not pod.view.terminating]
        if not may_stay:
            self.doomed += staying
            return
        running = []
        for pod in staying:
            if not pod.view.terminal:
                running.append(pod)
            elif self._is_due(pod):
                self._bury(pod, name)
        if len(running) > 1:
            self.doomed += self._too_many(sorted(running, key=_by_age))

    def _is_due(self, pod: Object) -> bool:
        due = self.observed.failed.get(pod.uid)
        if due is None or due <= self.now:
            return True
        self.again_s = soonest(self.again_s, (due - self.now).total_seconds())
        return False

    def _bury(self, pod: Object, node: str) -> None:
        where = f"{pod.namespace}/{pod.name} on node {node}"
        if pod.view.status.phase == "Failed":
            text = f"Found failed daemon pod {where}, will try to kill it"
            self.told.append(Event(self.daemonset, "FailedDaemonPod", text, "Warning"))
        else:
            text = f"Found succeeded daemon pod {where}, will try to delete it"
            self.told.append(Event(self.daemonset, "SucceededDaemonPod", text))
        self.doomed.append(pod)

    def _too_many(self, running: Sequence[Object]) -> Sequence[Object]:
        """Of the pods of one node, oldest first: those beyond the one, or with a surge beyond one of each kind."""
        if not self.surge:
            return running[1:]
        new = [pod for pod in running if self.is_new(pod)]
        old = [pod for pod in running if not self.is_new(pod)]
        surplus = [*new[1:], *old[1:]]
        if new and old and (not old[0].view.ready or self.is_available(new[0])):
            surplus.append(old[0])
        return surplus

    def is_new(self, pod: Object) -> bool:
        if self.generation and pod.labels.get(GENERATION_LABEL) == self.generation:
            return True
        return bool(self.hash) and pod.labels.get(HASH_LABEL) == self.hash

    def is_available(self, pod: Object) -> bool:
        return is_available(pod.view, self.spec.min_ready_seconds, self.now)

    # all nodes together

    def _replace(self) -> None:
        nodes = {name: self._look_at(self.on_node[name]) for name in sorted(self.on_node) if name in self.fit}
        found: Replacement
        found = replace_by_surge(nodes, self.surge) if self.surge else replace_in_place(nodes, self.unavailable)
        self.doomed += found.doomed
        self.missing += [name for name in found.surged if self.fit[name][0]]

    def _look_at(self, pods: Sequence[Object]) -> OnNode:
        staying = [pod for pod in pods if not pod.view.terminating]
        new = [pod for pod in staying if self.is_new(pod)]
        old = [pod for pod in staying if not self.is_new(pod)]
        if len(new) > 1 or len(old) > 1:
            return OnNode(None, None, clear=False)
        return OnNode(
            old[0] if old else None,
            new[0] if new else None,
            clear=True,
            old_available=bool(old) and self.is_available(old[0]),
            new_available=bool(new) and self.is_available(new[0]),
        )

    def _revise(self) -> list[Action]:
        """Number the revisions, give pods of doubles the label of the one that stays, forget old ones."""
        doubles = {double.labels.get(HASH_LABEL) for double in self.history.doubles}
        relabel = [
            Patch(pod, {"metadata": {"labels": {HASH_LABEL: self.hash}}})
            for pod in self.pods
            if doubles and pod.labels.get(HASH_LABEL) in doubles
        ]
        hashes = {pod.labels.get(HASH_LABEL) for pod in self.pods}
        in_use = [revision.name for revision in self.history.old if revision.labels.get(HASH_LABEL) in hashes]
        limit = self.spec.revision_history_limit
        gone = controllerrevision.surplus(self.history.old, limit, in_use)
        return [*self.history.actions, *relabel, *(Delete(double) for double in self.history.doubles), *gone]

    def _new_pod(self, template: Document, node: str) -> Document:
        made = pod_of(self.daemonset, template)
        labels = {**made["metadata"].get("labels", {}), HASH_LABEL: self.hash}
        if self.generation:
            labels[GENERATION_LABEL] = self.generation
        metadata = {**made["metadata"], "labels": labels}
        return {**made, "metadata": metadata, "spec": aimed(made["spec"], node)}

    def status(self, collided: bool = False) -> Document:
        count = dict.fromkeys(("desired", "current", "misscheduled", "ready", "updated", "available"), 0)
        for name, (should, _) in self.fit.items():
            pods = self.on_node.get(name)
            if not should:
                count["misscheduled"] += bool(pods)
                continue
            count["desired"] += 1
            if not pods:
                continue
            first = min(pods, key=_by_age)
            count["current"] += 1
            count["ready"] += first.view.ready
            count["available"] += self.is_available(first)
            count["updated"] += self.is_new(first)
        view = self.daemonset.view
        optional = {
            "observedGeneration": view.metadata.generation,
            "updatedNumberScheduled": count["updated"],
            "numberAvailable": count["available"],
            "numberUnavailable": count["desired"] - count["available"],
            "collisionCount": view.status.collision_count + collided,
        }
        found: Document = {
            "currentNumberScheduled": count["current"],
            "numberMisscheduled": count["misscheduled"],
            "desiredNumberScheduled": count["desired"],
            "numberReady": count["ready"],
        }
        found |= {name: number for name, number in optional.items() if number}
        if conditions := (self.daemonset.document().get("status") or {}).get("conditions"):
            found["conditions"] = conditions
        return found


def _by_age(pod: Object) -> tuple[Any, ...]:
    """Those on a node before those only meant for it, older ones first."""
    return (not pod.view.scheduled, pod.view.metadata.creation_timestamp or _LONG_AGO, pod.name)
