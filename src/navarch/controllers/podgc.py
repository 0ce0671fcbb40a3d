"""Collects pods that nobody else will: of nodes that are gone, or out of service; those that were deleted before they
had a node; and the oldest of too many finished.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-garbage-collection
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from navarch.base.errors import NotFound
from navarch.client.client import Client
from navarch.controllers.controller import Cache, Controller, Watch
from navarch.controllers.endpoints.targets import node_index
from navarch.controllers.node import taints
from navarch.controllers.node.eviction import disrupted
from navarch.controllers.options import Setup
from navarch.controllers.plan import Action, Delete, Plan, Status
from navarch.kinds import NODE, POD
from navarch.kinds.object import Object

QUARANTINE_S = 10.0
"""How long a node must have been gone. Kubernetes: 40 s; here the API is asked, too."""
ENDED = "ended"
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class OfNode:
    """The pods of a node that is gone, or out of service (since None). since: when its absence was first noticed."""

    node: str
    pods: Sequence[Object]
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Ended:
    """All finished pods, of which `most` may stay."""

    pods: Sequence[Object]
    most: int


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A pod that is being deleted and has no node whose agent would finish it."""

    pod: Object


Observed = OfNode | Ended | Unplaced


def controller(setup: Setup) -> Controller[Observed]:
    most = setup.options.terminated_pods
    missing: dict[str, datetime] = {}

    def keys(cache: Cache, pod: Object) -> Iterable[Hashable]:
        node = pod.glance.node
        if not node and pod.terminating:
            yield ("pod", *pod.key)
        if node and (pod.terminating or cache[NODE].get("", node) is None):
            yield ("node", node)
        if most and pod.glance.terminal and cache[POD].count(ENDED, "yes") > most:
            yield ("ended",)

    def observe(cache: Cache, key: tuple[str, ...]) -> Observed | None:
        if key == ("ended",):
            return Ended(cache[POD].by(ENDED, "yes"), most)
        if key[0] == "pod":
            pod = cache[POD].get(*key[1:])
            return Unplaced(pod) if pod is not None and pod.terminating and not pod.glance.node else None
        name = key[1]
        pods, node = cache[POD].by("node", name), cache[NODE].get("", name)
        if not pods or node is not None:
            missing.pop(name, None)
            return OfNode(name, pods, None) if pods and node is not None and _out_of_service(node) else None
        return OfNode(name, pods, missing.setdefault(name, setup.clock.now()))

    return Controller(
        name="podgc",
        watches=(
            Watch(POD, keys, _matters, {"node": node_index, ENDED: ended_index}),
            Watch(NODE, _node_keys, _service_changed),
        ),
        observe=observe,
        confirm=confirm,
        plan=plan,
        component="pod-garbage-collector",
        account="pod-garbage-collector",
        workers=2,
    )


async def confirm(client: Client, observed: Observed) -> Observed:
    """Ask the API whether the node is really gone."""
    if not isinstance(observed, OfNode) or observed.since is None:
        return observed
    try:
        await client.get(NODE, "", observed.node)
    except NotFound:
        return observed
    return replace(observed, pods=())


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    if isinstance(observed, Ended):
        surplus = len(observed.pods) - observed.most
        return Plan(tuple(Delete(pod, grace_s=0) for pod in sorted(observed.pods, key=_age)[: max(0, surplus)]))
    if isinstance(observed, Unplaced):
        return Plan(_remove([observed.pod]))
    if observed.since is None:
        return Plan(_remove([pod for pod in observed.pods if pod.view.terminating]))
    if not observed.pods:
        return Plan()
    left_s = QUARANTINE_S - (now - observed.since).total_seconds()
    if left_s > 0:
        return Plan(requeue_after_s=left_s)
    why = "PodGC: node no longer exists"
    told = [
        disrupted(pod, "DeletionByPodGC", why, now, phase="Failed") for pod in observed.pods if not pod.view.terminal
    ]
    return Plan((*(status for one in told for status in one), *(Delete(pod, grace_s=0) for pod in observed.pods)))


def _age(pod: Object) -> tuple[bool, datetime, str]:
    """Those that were evicted count as the oldest: their controller has long replaced them."""
    status = pod.view.status
    evicted = status.phase == "Failed" and status.reason == "Evicted"
    return (not evicted, pod.view.metadata.creation_timestamp or _LONG_AGO, pod.name)


def _remove(pods: Sequence[Object]) -> tuple[Action, ...]:
    """Nobody is left to stop their containers, so they go at once. Those that are held by a finalizer have failed."""
    failed = [
        Status(pod, {**(pod.document().get("status") or {}), "phase": "Failed"})
        for pod in pods
        if not pod.view.terminal
    ]
    return (
        *failed,
        *(Delete(pod, grace_s=0) for pod in pods if pod.view.metadata.deletion_grace_period_seconds != 0),
    )


def _node_keys(cache: Cache, node: Object) -> Iterable[Hashable]:
    return (("node", node.name),)


def _service_changed(old: Object, new: Object) -> bool:
    return _out_of_service(old) != _out_of_service(new)


def _out_of_service(node: Object) -> bool:
    return not node.view.ready and any(taint.key == taints.OUT_OF_SERVICE for taint in node.view.spec.taints)


def ended_index(pod: Object) -> Iterable[str]:
    return ("yes",) if pod.glance.terminal else ()


def _matters(old: Object, new: Object) -> bool:
    a, b = old.glance, new.glance
    return bool(a.node != b.node or old.terminating != new.terminating or a.terminal != b.terminal)
