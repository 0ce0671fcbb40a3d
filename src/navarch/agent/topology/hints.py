"""Where on the machine the parts of a container should lie so that they are near each other: what each part would like,
and what follows for all of them together. Pure.

Source: https://kubernetes.io/docs/tasks/administer-cluster/topology-manager/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

Nodes = frozenset[int]
"""NUMA nodes, by number."""

MOST_NODES = 8
"""Of a machine for which places are weighed up: their number doubles with each node."""
NEAR = ("best-effort", "restricted", "single-numa-node")
"""Policies that look for a place at all."""


@dataclass(frozen=True, slots=True)
class Hint:
    """nodes: where a part may lie; None for anywhere. preferred: whether no narrower place could ever hold it."""

    nodes: Nodes | None
    preferred: bool


ANYWHERE = Hint(None, True)
NOWHERE = Hint(None, False)


def hints(count: int, total: Callable[[Nodes], int], free: Callable[[Nodes], int], nodes: Iterable[int]) -> list[Hint]:
    """For a part that needs `count` things. [] when there is no place. total, free: how many lie on some nodes."""
    known = sorted(nodes)
    narrowest = len(known) + 1
    found: list[Nodes] = []
    for size in range(1, len(known) + 1):
        for chosen in map(frozenset, combinations(known, size)):
            if total(chosen) >= count:
                narrowest = min(narrowest, size)
            if free(chosen) >= count:
                found.append(chosen)
    return [Hint(each, len(each) == narrowest) for each in found]


def merge(parts: Sequence[Sequence[Hint] | None], policy: str, nodes: Iterable[int]) -> Hint:
    """The best place for all parts together. parts: for each, where it may lie; None: it does not care.

    [] stands for a part that fits nowhere; what follows is never preferred then.
    """
    every = frozenset(nodes)
    combined: dict[Nodes, bool] = {every: True}
    for part in parts:
        offered = [ANYWHERE] if part is None else part or [NOWHERE]
        if policy == "single-numa-node":
            offered = [each for each in offered if each.preferred and (each.nodes is None or len(each.nodes) == 1)]
        merged: dict[Nodes, bool] = {}
        for before, preferred in combined.items():
            for each in offered:
                both = before if each.nodes is None else before & each.nodes
                if both:
                    merged[both] = merged.get(both, False) or (preferred and each.preferred)
        combined = merged
    if not combined:
        return Hint(every, False)
    best = min(combined, key=lambda place: (not combined[place], len(place), sorted(place)))
    if policy == "single-numa-node" and best == every:
        return Hint(None, combined[best])  # nobody cares
    return Hint(best, combined[best])


def admits(policy: str, hint: Hint) -> bool:
    """Whether a container may run with what it gets there."""
    return hint.preferred or policy in ("none", "best-effort")
