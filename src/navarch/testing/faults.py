"""What goes wrong in a simulation, as a short list of values, drawn from a seed.

`weather` says which of them are in force, `faultyclient` makes organs feel them. The last three of the list are those
of Sieve: a view of the past, states that were never seen, and (`Crash`) an end between two writes.
Source: Sun et al., Automatic Reliability Testing for Cluster Management Controllers, OSDI 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from navarch.base.clock import Ids


@dataclass(frozen=True, slots=True)
class NodeLoss:
    """A node loses its power for a while."""

    at_s: float
    node: str
    for_s: float


@dataclass(frozen=True, slots=True)
class ApiErrors:
    """For a while a share of all requests fails: before anything is done, or (lost_replies) after it was done."""

    at_s: float
    for_s: float
    share: float
    lost_replies: bool = False


@dataclass(frozen=True, slots=True)
class LostWatches:
    """All watches end at once; expired: they cannot be taken up again where they ended."""

    at_s: float
    expired: bool = False


@dataclass(frozen=True, slots=True)
class SlowWatches:
    """For a while watches deliver late."""

    at_s: float
    for_s: float
    delay_s: float


@dataclass(frozen=True, slots=True)
class Crash:
    """An organ (or a controller that runs as one of its own) dies right after its next `writes` writes: the reply never
    reaches it. It is started afresh."""

    at_s: float
    organ: str
    writes: int = 1


@dataclass(frozen=True, slots=True)
class ClockJump:
    """Time leaps forward, and whatever was to happen meanwhile happens late and at once: what a machine meets that was
    suspended. suspended: the nodes were so too, and nothing was heard of them."""

    at_s: float
    by_s: float
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class StaleView:
    """For a while an organ's watches say nothing. restarted: it is started afresh meanwhile, and what it then lists is
    as old: it travels back in time."""

    at_s: float
    organ: str
    for_s: float
    restarted: bool = False


@dataclass(frozen=True, slots=True)
class MissedEvents:
    """For a while an organ's watches say nothing, and then they are lost: the organ lists anew, and has never seen what
    came and went meanwhile."""

    at_s: float
    organ: str
    for_s: float


Fault = NodeLoss | ApiErrors | LostWatches | SlowWatches | Crash | ClockJump | StaleView | MissedEvents


class _Dice:
    def __init__(self, ids: Ids) -> None:
        self._ids = ids

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self._ids.fraction()

    def one(self, names: Sequence[str]) -> str:
        return names[int(self._ids.fraction() * len(names))]

    def chance(self, share: float) -> bool:
        return self._ids.fraction() < share

    def number(self, most: int) -> int:
        """From 0 to most - 1."""
        return int(self._ids.fraction() * most)


def _for_all(dice: _Dice, which: int, at_s: float, nodes: Sequence[str]) -> Fault:
    """One of the four faults that are aimed at no organ, by its number."""
    match which:
        case 0:
            return NodeLoss(at_s, dice.one(nodes), dice.between(5.0, 120.0))
        case 1:
            return ApiErrors(at_s, dice.between(1.0, 20.0), dice.between(0.05, 0.5), dice.chance(0.5))
        case 2:
            return LostWatches(at_s, dice.chance(0.5))
        case _:
            return SlowWatches(at_s, dice.between(1.0, 20.0), dice.between(0.01, 2.0))


def drawn(ids: Ids, nodes: Sequence[str], organs: Sequence[str], length_s: float, number: int) -> tuple[Fault, ...]:
    """So many faults that concern whole organs, by chance, over the first `length_s` seconds, in order of time."""
    dice = _Dice(ids)
    made: list[Fault] = []
    for _ in range(number):
        at_s = dice.between(0.0, length_s)
        match dice.number(5):
            case 0 | 1 | 2 | 3 as which:
                made.append(_for_all(dice, which, at_s, nodes))
            case _:
                made.append(Crash(at_s, dice.one(organs), 1 + dice.number(3)))
    return tuple(sorted(made, key=lambda fault: fault.at_s))


def perturbations(
    ids: Ids, nodes: Sequence[str], victims: Sequence[str], organs: Sequence[str], length_s: float, number: int
) -> tuple[Fault, ...]:
    """So many faults of every sort. victims: the controllers that most of them are aimed at, each an organ of its own;
    organs: the others. In order of time."""
    dice = _Dice(ids)

    def aim() -> str:
        return dice.one(victims) if victims and dice.chance(0.75) else dice.one(organs)

    made: list[Fault] = []
    for _ in range(number):
        at_s = dice.between(0.0, length_s)
        match dice.number(12):
            case 0 | 1 | 2 | 3 as which:
                made.append(_for_all(dice, which, at_s, nodes))
            case 4:
                made.append(ClockJump(at_s, dice.between(20.0, 7200.0), dice.chance(0.5)))
            case 5 | 6 | 7:
                made.append(Crash(at_s * 0.6, aim(), 1 + dice.number(4)))
            case 8 | 9:
                made.append(StaleView(at_s, aim(), dice.between(1.0, 40.0), dice.chance(0.5)))
            case _:
                made.append(MissedEvents(at_s, aim(), dice.between(1.0, 40.0)))
    return tuple(sorted(made, key=lambda fault: fault.at_s))
