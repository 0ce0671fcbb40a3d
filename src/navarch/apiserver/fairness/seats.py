"""How many of the server's seats each priority level has: nominally, at least, at most, and at present. Pure.

Source: https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#priority-levels
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from navarch.apiserver.fairness.matching import LevelSpec

SMOOTHED = 0.977
"""How much of what a level wanted before still counts ten seconds later (half of it after five minutes)."""
BISECTIONS = 60


@dataclass(frozen=True, slots=True)
class Bounds:
    """In seats. nominal: by shares. lower: what it never lends. upper: with all that it may borrow."""

    nominal: int
    lower: int
    upper: int


def bounds(total: int, levels: Mapping[str, LevelSpec]) -> dict[str, Bounds]:
    """Of each level by name. total: the server's seats."""
    shares = sum(level.shares for level in levels.values()) or 1
    found = {}
    for name, level in levels.items():
        nominal = ceil(total * level.shares / shares)
        lower = nominal - round(nominal * level.lendable / 100)
        upper = total if level.borrowing is None else nominal + round(nominal * level.borrowing / 100)
        found[name] = Bounds(nominal, lower, max(1, upper))
    return found


def smoothed(before: float, demand: float) -> float:
    """What a level may be taken to want: rises at once, falls slowly."""
    return max(demand, SMOOTHED * before + (1 - SMOOTHED) * demand)


def allocate(total: int, levels: Mapping[str, tuple[Bounds, float]]) -> dict[str, int]:
    """Seats of each level, from its bounds and what it wants.

    Each gets the same proportion of what it wants, but never less than it does not lend nor more than it may borrow;
    one that wants less than it does not lend keeps that all the same.
    """
    lowest = sum(bound.lower for bound, _ in levels.values())
    if lowest >= total:
        return {name: max(1, bound.lower) for name, (bound, _) in levels.items()}

    def given(proportion: float) -> dict[str, float]:
        return {
            name: min(float(bound.upper), max(float(bound.lower), proportion * max(want, bound.lower, 1.0)))
            for name, (bound, want) in levels.items()
        }

    low, high = 0.0, float(total)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if sum(given(middle).values()) > total:
            high = middle
        else:
            low = middle
    return {name: max(1, round(seats)) for name, seats in given(low).items()}
