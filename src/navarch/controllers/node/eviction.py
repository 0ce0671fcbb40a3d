"""Evicts pods from nodes with a NoExecute taint, when their tolerations run out.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-based-evictions
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from navarch.controllers.controller import Cache, Controller, Watch
from navarch.controllers.endpoints.targets import node_index
from navarch.controllers.node import taints
from navarch.controllers.options import Setup
from navarch.controllers.plan import Action, Delete, Event, Plan, Status
from navarch.kinds import NODE, POD
from navarch.kinds.node import Taint
from navarch.kinds.object import Object
from navarch.objects import condition


@dataclass(frozen=True, slots=True)
class Observed:
    """taints: of the pod's node, with effect NoExecute; none for a pod that was to leave and need not any more."""

    pod: Object
    taints: Sequence[Taint]


def controller(setup: Setup) -> Controller[Observed]:
    """Who is to leave later is remembered, to be told when that is off."""
    leaving: set[str] = set()

    def observe(cache: Cache, key: tuple[str, str]) -> Observed | None:
        found = look(cache, key)
        pod = cache[POD].get(*key)
        if pod is None or found is None:
            if pod is not None:
                leaving.discard(pod.uid)
            return None
        at = taints.leaves_at(found.taints, pod.view.spec.tolerations, setup.clock.now()) if found.taints else None
        if at is not None:
            leaving.add(pod.uid)
        elif pod.uid not in leaving:
            return None
        else:
            leaving.discard(pod.uid)
        return found

    def bound(cache: Cache, pod: Object) -> Iterable[Hashable]:
        """A pod bears the taints of its node; should that be tainted later, its own change names its pods."""
        if leaving and cache[POD].get(*pod.key) is None:
            leaving.discard(pod.uid)
        node = cache[NODE].get("", pod.glance.node) if pod.glance.node else None
        tainted = node is not None and bool(taints.evicting(node.view))
        return (pod.key,) if tainted or pod.uid in leaving else ()

    return Controller(
        name="taint-eviction",
        watches=(
            Watch(POD, bound, pod_matters, {"node": node_index}),
            Watch(NODE, pods_on, taints_changed),
        ),
        observe=observe,
        plan=plan,
        component="taint-eviction-controller",
        account="node-controller",
        workers=20,
    )


def pods_on(cache: Cache, node: Object) -> Iterable[Hashable]:
    return [pod.key for pod in cache[POD].by("node", node.name)]


def taints_changed(old: Object, new: Object) -> bool:
    return taints.evicting(old.view) != taints.evicting(new.view)


def pod_matters(old: Object, new: Object) -> bool:
    if old.uid != new.uid or old.glance.node != new.glance.node:
        return True
    return not old.glance.same_spec(new.glance) and bool(old.view.spec.tolerations != new.view.spec.tolerations)


def look(cache: Cache, key: tuple[str, str]) -> Observed | None:
    pod = cache[POD].get(*key)
    if pod is None or not pod.glance.node or pod.terminating or pod.glance.terminal:
        return None
    node = cache[NODE].get("", pod.glance.node)
    found = taints.evicting(node.view) if node is not None else []
    return Observed(pod, found)


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    pod = observed.pod
    at = taints.leaves_at(observed.taints, pod.view.spec.tolerations, now)
    if at is None:
        message = f"Cancelling deletion of Pod {pod.namespace}/{pod.name}"
        return Plan((Event(pod, "TaintManagerEviction", message),))
    if at > now:
        return Plan(requeue_after_s=(at - now).total_seconds())
    message = f"Marking for deletion Pod {pod.namespace}/{pod.name}"
    return Plan(
        (
            *disrupted(pod, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint", now),
            Event(pod, "TaintManagerEviction", message),
            Delete(pod),
        )
    )


def disrupted(pod: Object, reason: str, message: str, now: datetime, phase: str = "") -> Sequence[Action]:
    """Say in the pod's status why it is about to be deleted."""
    status = pod.document().get("status") or {}
    new = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
    made = {**status, "conditions": condition.set(status.get("conditions"), new, now)}
    if phase:
        made["phase"] = phase
    return (Status(pod, made),)
