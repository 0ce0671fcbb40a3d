"""Whose turn it is to be emptied: nodes of a zone that are not ready, one after the other.

A zone of which most nodes are gone at once has rather lost its network than its machines: there, emptying slows down or
stops. Where no node of any zone is ready nobody is asked about at all; that is `lifecycle`'s to see.

Source: https://kubernetes.io/docs/concepts/architecture/nodes/#rate-limits-on-eviction
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from navarch.controllers.options import Options
from navarch.kinds.object import Object

EXCLUDED = "node.kubernetes.io/exclude-disruption"
"""The label of nodes that do not count when a zone is judged."""
FEW = 2
"""So many lost nodes say nothing about their zone."""
LOOK_AGAIN_S = 300.0
"""At a zone that is stopped, should nothing be heard of it before."""

Health = Callable[[], tuple[int, int]]
"""(nodes of the zone that are ready, nodes that are not)."""


def zone_of(node: Object) -> str:
    """Region and zone, "" for a node that says neither."""
    labels = node.labels
    region = labels.get("topology.kubernetes.io/region") or labels.get("failure-domain.beta.kubernetes.io/region", "")
    zone = labels.get("topology.kubernetes.io/zone") or labels.get("failure-domain.beta.kubernetes.io/zone", "")
    return f"{region}:{zone}" if region or zone else ""


def rate(options: Options, ready: int, unready: int) -> float:
    """How many nodes of such a zone may be emptied in a second."""
    disrupted = ready > 0 and unready > FEW and unready / (ready + unready) >= options.disrupted_zone_share
    if not disrupted:
        return options.node_evictions_s
    return options.disrupted_zone_evictions_s if ready + unready > options.large_zone_nodes else 0.0


@dataclass(slots=True)
class _Queue:
    """waiting: in the order in which they came. last: when one had its turn. stopped: nobody has, for now."""

    waiting: dict[str, None] = field(default_factory=dict)
    last: datetime | None = None
    stopped: bool = False


class Zones:
    """wake: looks at a node again, by its name. A node that had its turn keeps it until it is forgotten."""

    def __init__(self, options: Options, wake: Callable[[str], None]) -> None:
        self._options = options
        self._wake = wake
        self._queues: dict[str, _Queue] = {}
        self._place: dict[str, str] = {}
        self._granted: set[str] = set()

    def turn_s(self, name: str, zone: str, health: Health, now: datetime) -> float | None:
        """In how many seconds it is the node's turn, 0 for now; None where it will be told."""
        if name in self._granted:
            return 0.0
        if self._place.get(name) != zone:
            self.forget(name)
            self._place[name] = zone
            self._queues.setdefault(zone, _Queue()).waiting[name] = None
        queue = self._queues[zone]
        if name != next(iter(queue.waiting)):
            return None
        allowed_s = rate(self._options, *health())
        queue.stopped = allowed_s <= 0
        if queue.stopped:
            return LOOK_AGAIN_S
        if queue.last is not None:
            left_s = (queue.last + timedelta(seconds=1 / allowed_s) - now).total_seconds()
            if left_s > 0:
                return left_s
        queue.last = now
        self._leave(name)
        self._granted.add(name)
        return 0.0

    def forget(self, name: str) -> None:
        """The node is ready, or no more."""
        self._granted.discard(name)
        self._leave(name)

    def stopped(self) -> list[str]:
        """Who is first where nobody has a turn: to be looked at when any node changes."""
        return [next(iter(queue.waiting)) for queue in self._queues.values() if queue.stopped and queue.waiting]

    def _leave(self, name: str) -> None:
        queue = self._queues.get(self._place.pop(name, ""))
        if queue is None or name not in queue.waiting:
            return
        first = next(iter(queue.waiting)) == name
        del queue.waiting[name]
        if first and queue.waiting:
            self._wake(next(iter(queue.waiting)))
