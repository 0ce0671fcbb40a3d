"""The health of nodes: one that falls silent becomes Unknown, its pods no longer ready, and it is tainted so that they
leave.

How long a silence may last is an option (12 s; Kubernetes: 40 s), less where a node's host is known to be out of reach
(`lines`); how long pods stay after that, their tolerations say.
How many nodes are emptied at a time is `zones`' part. While no node at all is ready nobody is evicted: then it is more
likely that the control plane is cut off.

Source: https://kubernetes.io/docs/concepts/architecture/nodes/#node-controller
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from navarch.base.clock import rfc3339
from navarch.client.lease import ALIVE
from navarch.controllers.controller import Cache, Controller, Watch
from navarch.controllers.endpoints.targets import node_index
from navarch.controllers.node import lines, taints, zones
from navarch.controllers.options import Setup
from navarch.controllers.plan import Action, Event, Patch, Plan, Status, soonest
from navarch.kinds import NODE, POD
from navarch.kinds.object import Object
from navarch.objects import condition
from navarch.objects.value import Document

STALL_S = 3.0
"""Coming this much too late, this process itself was stopped or starved, and heard nothing because of that."""
STARTUP_GRACE_S = 60.0
"""For a node that never said anything."""
READY, ZONE = "ready", "zone"
_WATCHED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


@dataclass(frozen=True, slots=True)
class Observed:
    """seen: the last sign of life. others_ready: whether any other node is ready, and was heard of lately. turn_s: when
    it is its turn to be emptied, 0 for now, None where it will be told."""

    node: Object
    seen: datetime | None
    others_ready: bool
    grace_s: float
    pods: Sequence[Object] = ()
    turn_s: float | None = 0.0


def controller(setup: Setup) -> Controller[Observed]:
    ears = Ears(setup)
    turns = Turns(setup, ears)

    def observe(cache: Cache, key: tuple[str, str]) -> Observed | None:
        node = cache[NODE].get(*key)
        if node is None:
            ears.forget(key[1])
            turns.zones.forget(key[1])
            return None
        seen = ears.last_heard(node.name)
        others_ready = any(ears.hears(other.name) for other in cache[NODE].each(READY, "True") if other is not node)
        pods = cache[POD].by("node", node.name)
        grace_s = ears.grace_s(node.name)
        return Observed(node, seen, others_ready, grace_s, pods, turns.turn_s(cache, node, others_ready))

    def node_keys(cache: Cache, node: Object) -> Iterable[Hashable]:
        yield from keys(cache, node)
        for name in turns.zones.stopped():
            yield ("", name)

    return Controller(
        name="node-lifecycle",
        watches=(
            Watch(NODE, node_keys, matters, {READY: ready_index, ZONE: zone_index}),
            Watch(POD, no_keys, indexes={"node": node_index}),
        ),
        observe=observe,
        plan=plan,
        component="node-controller",
        account="node-controller",
        listen=turns.listen,
    )


class Turns:
    """Asks `zones` for a node's turn, with what there is to know of its zone."""

    def __init__(self, setup: Setup, ears: Ears) -> None:
        self._ears = ears
        self._clock = setup.clock
        self._heartbeats = setup.heartbeats
        self._lines = setup.lines
        self._add: Callable[[Hashable], None] | None = None
        self.zones = zones.Zones(setup.options, self._wake)

    def listen(self, add: Callable[[Hashable], None]) -> None:
        self._add = add
        self._heartbeats.listen(self._wake)
        if self._lines is not None:
            self._lines.listen(self._wake)

    def turn_s(self, cache: Cache, node: Object, others_ready: bool) -> float | None:
        """A node keeps what it was given, and one that nobody may be evicted from has no turn."""
        if not others_ready or not self._lost(node):
            self.zones.forget(node.name)
            return 0.0
        if taints.emptied(node.view):
            return 0.0
        zone = zones.zone_of(node)
        return self.zones.turn_s(node.name, zone, lambda: self._health(cache, zone), self._clock.now())

    def _wake(self, name: str) -> None:
        if self._add is not None:
            self._add(("", name))

    def _lost(self, node: Object) -> bool:
        """Those that were not heard of lately are, whatever their status says yet."""
        grace_s = self._ears.grace_s(node.name)
        wait_s = silent_in_s(node, self._ears.seen(node.name), grace_s, self._clock.now())
        return not node.view.ready or (wait_s is not None and wait_s <= 0)

    def _health(self, cache: Cache, zone: str) -> tuple[int, int]:
        nodes = [node for node in cache[NODE].by(ZONE, zone) if zones.EXCLUDED not in node.labels]
        lost = sum(map(self._lost, nodes))
        return len(nodes) - lost, lost


class Ears:
    """Signs of life, less the times in which this process could not have heard any.

    It knows when it wants to look at each node again. Coming much too late, it was stopped itself, and gives every node
    a fresh start.
    """

    def __init__(self, setup: Setup) -> None:
        self._heartbeats = setup.heartbeats
        self._clock = setup.clock
        self._lines = setup.lines
        self._grace_s = setup.options.node_grace_s
        self._due: dict[str, datetime] = {}
        self._awake_since: datetime | None = None

    def last_heard(self, name: str) -> datetime | None:
        """To be asked whenever the node is looked at."""
        now = self._clock.now()
        due = self._due.pop(name, None)
        if due is not None and (now - due).total_seconds() > STALL_S:
            self._awake_since = now
        seen = self.seen(name)
        if seen is not None and seen != ALIVE:
            due = seen + timedelta(seconds=self.grace_s(name))
            if due > now:
                self._due[name] = due
        return seen

    def hears(self, name: str) -> bool:
        """Whether the node was heard of lately."""
        seen = self.seen(name)
        if seen is None or seen == ALIVE:
            return seen is not None
        return (self._clock.now() - seen).total_seconds() < self.grace_s(name)

    def grace_s(self, name: str) -> float:
        """How long the node may be silent."""
        if self._lines is None:
            return self._grace_s
        return lines.grace_s(self._lines.lost_at(name), self._heartbeats.last_seen(name), self._grace_s)

    def forget(self, name: str) -> None:
        self._due.pop(name, None)

    def seen(self, name: str) -> datetime | None:
        """The last sign of life that counts; asking changes nothing."""
        seen = self._heartbeats.last_seen(name)
        if seen is None or seen == ALIVE or self._awake_since is None:
            return seen
        return max(seen, self._awake_since)


def ready_index(node: Object) -> Iterable[str]:
    return (str(node.view.ready),)


def zone_index(node: Object) -> Iterable[str]:
    return (zones.zone_of(node),)


def no_keys(cache: Cache, found: Object) -> Iterable[Hashable]:
    return ()


def keys(cache: Cache, node: Object) -> Iterable[Hashable]:
    """The node; all nodes, when it is about whether any of them is ready."""
    if cache[NODE].count(READY, "True") <= 1:
        return [found.key for found in cache[NODE].list()] or (node.key,)
    return (node.key,)


def matters(old: Object, new: Object) -> bool:
    a, b = old.view, new.view
    said = [(c.type, c.status) for c in a.status.conditions]
    return bool(
        said != [(c.type, c.status) for c in b.status.conditions]
        or a.spec != b.spec
        or zones.zone_of(old) != zones.zone_of(new)
    )


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    node = observed.node
    if node.view.metadata.deletion_timestamp is not None:
        return Plan()
    wait_s = silent_in_s(node, observed.seen, observed.grace_s, now)
    silent = wait_s is not None and wait_s <= 0
    document = node.document()
    conditions = (document.get("status") or {}).get("conditions") or []
    actions: list[Action] = []
    if silent:
        unknown = _unknown(conditions, node.view.metadata.creation_timestamp or now, now)
        if unknown != conditions:
            actions.append(Status(node, {**(document.get("status") or {}), "conditions": unknown}))
        conditions = unknown
    ready = condition.status(conditions, "Ready") if condition.get(conditions, "Ready") else ""
    if node.view.ready and ready != "True":
        message = f"Node {node.name} status is now: NodeNotReady"
        actions.append(Event(node, "NodeNotReady", message))
    if ready in ("False", "Unknown"):
        actions += _not_ready(observed.pods, now)
    actions += _taint(observed, document, conditions, ready, now)
    actions = sorted(actions, key=_order)
    again_s = wait_s if wait_s is not None and wait_s > 0 else None
    turn_s = observed.turn_s if ready in ("False", "Unknown") and observed.others_ready else None
    return Plan(tuple(actions), requeue_after_s=soonest(again_s, turn_s or None))


def _order(action: Action) -> int:
    return 0 if isinstance(action, Status) and action.object.kind is NODE else 1


def silent_in_s(node: Object, seen: datetime | None, grace_s: float, now: datetime) -> float | None:
    """In how many seconds the node counts as silent, if nothing more is heard; None when somebody will tell."""
    if seen == ALIVE:
        return None
    ready = node.view.status.condition("Ready")
    said = ready.last_heartbeat_time if ready is not None and ready.status != "Unknown" else None
    heard = max((moment for moment in (seen, said) if moment is not None), default=None)
    if heard is not None:
        return (heard + timedelta(seconds=grace_s) - now).total_seconds()
    created = node.view.metadata.creation_timestamp or now
    return (created + timedelta(seconds=max(STARTUP_GRACE_S, grace_s)) - now).total_seconds()


def _unknown(conditions: list[Document], created: datetime, now: datetime) -> list[Document]:
    """What the node said is no longer known."""
    for type_ in _WATCHED:
        old = condition.get(conditions, type_)
        if old is None:
            reason, message = "NodeStatusNeverUpdated", "Kubelet never posted node status."
        elif old.get("status") == "Unknown":
            continue
        else:
            reason, message = "NodeStatusUnknown", "Kubelet stopped posting node status."
        new = {"type": type_, "status": "Unknown", "reason": reason, "message": message}
        heartbeat = rfc3339(created) if old is None else old.get("lastHeartbeatTime")
        if heartbeat is not None:
            new["lastHeartbeatTime"] = heartbeat
        conditions = condition.set(conditions, new, now)
    return conditions


def _not_ready(pods: Sequence[Object], now: datetime) -> list[Action]:
    """Its pods take no more traffic; the node's agent says otherwise when it is back."""
    actions: list[Action] = []
    for pod in pods:
        if not pod.view.ready or pod.view.terminal:
            continue
        status = pod.document().get("status") or {}
        old = condition.get(status.get("conditions"), "Ready") or {}
        new = {**old, "type": "Ready", "status": "False"}
        new.pop("lastTransitionTime", None)
        actions.append(Status(pod, {**status, "conditions": condition.set(status.get("conditions"), new, now)}))
        actions.append(Event(pod, "NodeNotReady", "Node is not ready", "Warning"))
    return sorted(actions, key=lambda action: isinstance(action, Event))


def _taint(
    observed: Observed, document: Document, conditions: Sequence[Document], ready: str, now: datetime
) -> list[Action]:
    evicting = ready == "True" or (observed.others_ready and observed.turn_s == 0)
    said = [(str(found.get("type")), str(found.get("status"))) for found in conditions]
    keys = taints.wanted(said, observed.node.view.spec.unschedulable, evicting)
    present = document.get("spec", {}).get("taints") or []
    made = taints.changed(present, keys, now)
    return [Patch(observed.node, {"spec": {"taints": made or None}})] if made != present else []
