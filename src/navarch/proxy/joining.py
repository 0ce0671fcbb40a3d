"""All parts of a node's rules together, and which of them changed: so that one change among thousands costs one.

Where two parts claim one front or port, the older one keeps it. What each part holds is `compile`'s business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

import msgspec

from navarch.proxy.isolation import FREE, Isolation
from navarch.proxy.rules import Claim, Node, Part, Rules

NONE: frozenset[str] = frozenset()


class Parts(dict[str, Part]):
    """Never changed once it is made. lineage: who it is; follows: whom it was made from; touched: the names that may
    differ between the two."""

    def __init__(
        self, parts: Mapping[str, Part], follows: object | None = None, touched: frozenset[str] = frozenset()
    ) -> None:
        super().__init__(parts)
        self.lineage = object()
        self.follows = follows
        self.touched = touched


def differing(old: Mapping[str, Part], new: Mapping[str, Part]) -> Collection[str]:
    """The names under which the two may hold something else."""
    if isinstance(old, Parts) and isinstance(new, Parts):
        if old is new:
            return ()
        if new.follows is old.lineage:
            return new.touched
    return old.keys() | new.keys()


class Joiner:
    """Parts come, change and go, and are asked for together."""

    def __init__(self) -> None:
        self._parts: dict[str, Part] = {}
        self._claims: Counter[Claim] = Counter()
        self._disputed = 0
        self._settled = False
        self._locals: Counter[str] = Counter()
        self._hairpins: frozenset[str] | None = frozenset()
        self._touched: set[str] = set()
        self._made = Parts({})

    def put(self, name: str, part: Part | None) -> None:
        """None: it is gone."""
        old = self._parts.get(name)
        if old == part:
            return
        for known, step in ((old, -1), (part, 1)):
            if known is not None:
                self._count(known, step)
        if part is None:
            del self._parts[name]
        else:
            self._parts[name] = part
        self._touched.add(name)

    def rules(self, node: Node, isolation: Isolation = FREE, balanced: frozenset[str] = NONE) -> Rules:
        if self._touched:
            if self._disputed or self._settled:
                # Who wins a dispute and who is let free by its end is told by comparing everything.
                self._settled = self._disputed > 0
                self._made = Parts(_settle(self._parts) if self._settled else self._parts)
            else:
                self._made = Parts(self._parts, self._made.lineage, frozenset(self._touched))
            self._touched.clear()
        if self._hairpins is None:
            self._hairpins = frozenset(self._locals)
        return Rules(node, self._made, self._hairpins, isolation, balanced)

    def _count(self, part: Part, step: int) -> None:
        for claim in part.claims:
            before = self._claims[claim]
            self._claims[claim] = before + step
            self._disputed += step * (before + min(step, 0) >= 1)
            if before + step == 0:
                del self._claims[claim]
        for address in part.locals:
            self._locals[address] += step
            if not self._locals[address]:
                del self._locals[address]
        if part.locals:
            self._hairpins = None


def join(parts: Mapping[str, Part], node: Node, isolation: Isolation = FREE, balanced: frozenset[str] = NONE) -> Rules:
    joiner = Joiner()
    for name, part in parts.items():
        joiner.put(name, part)
    return joiner.rules(node, isolation, balanced)


def _settle(parts: Mapping[str, Part]) -> Mapping[str, Part]:
    """By age, and by name when they are of one second."""
    taken: dict[Claim, str] = {}
    settled: dict[str, Part] = {}
    for name in sorted(parts, key=lambda each: (parts[each].created_s, each)):
        part = parts[name]
        kept = [taken.setdefault(claim, name) == name for claim in part.claims]
        settled[name] = part if all(kept) else _without_lost(part, name, taken)
    return settled


def _without_lost(part: Part, name: str, taken: Mapping[Claim, str]) -> Part:
    return msgspec.structs.replace(
        part,
        fronts={front: way for front, way in part.fronts.items() if taken[front] == name},
        node_ports={gate: way for gate, way in part.node_ports.items() if taken[gate] == name},
        host_ports={gate: way for gate, way in part.host_ports.items() if taken[("host", *gate)] == name},
        host_fronts={front: way for front, way in part.host_fronts.items() if taken[("host", *front)] == name},
        refused={front: how for front, how in part.refused.items() if taken[front] == name},
        refused_node_ports={gate: how for gate, how in part.refused_node_ports.items() if taken[gate] == name},
        guards={front: ranges for front, ranges in part.guards.items() if taken[front] == name},
        cluster_ips=tuple(address for address in part.cluster_ips if taken[address] == name),
        claims=tuple(claim for claim in part.claims if taken[claim] == name),
    )
