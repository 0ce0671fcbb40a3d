"""What the signals mean now: which conditions the node has, and which threshold pods must be evicted for.

A condition holds until its last cause is `transition_s` ago, so that it does not flap; a threshold that was acted on
counts as crossed until `reclaim` more than it asks for is free. Pure: what is remembered goes in and comes out.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from navarch.agent.eviction.thresholds import CONDITIONS, Observation, Threshold

Observed = Mapping[str, Observation]
"""By signal; what could not be measured is absent, and crosses no threshold."""


@dataclass(frozen=True, slots=True)
class Memory:
    """crossed: since when each threshold has been. due: those whose grace was over. pressed: by condition, when it last
    had a cause."""

    crossed: Mapping[Threshold, datetime] = field(default_factory=dict)
    due: tuple[Threshold, ...] = ()
    pressed: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judgement:
    """due: what to act on, most urgent first."""

    memory: Memory
    pressure: frozenset[str] = frozenset()
    due: tuple[Threshold, ...] = ()


def is_crossed(threshold: Threshold, observed: Observed, *, reclaim: bool = False) -> bool:
    """reclaim: whether what it wants free on top of its least amount counts."""
    seen = observed.get(threshold.signal)
    if seen is None:
        return False
    least = threshold.least.of(seen.capacity)
    return seen.available < least + (threshold.reclaim.of(seen.capacity) if reclaim else 0)


def judge(
    thresholds: Sequence[Threshold], observed: Observed, before: Memory, now: datetime, transition_s: float
) -> Judgement:
    """Never raises."""
    crossed = [one for one in thresholds if is_crossed(one, observed)]
    crossed += [one for one in before.due if one not in crossed and is_crossed(one, observed, reclaim=True)]
    since = {one: before.crossed.get(one, now) for one in crossed}
    pressed = {**before.pressed, **{one.condition: now for one in crossed}}
    pressure = {name for name, at in pressed.items() if (now - at).total_seconds() < transition_s or at == now}
    due = [one for one, first in since.items() if (now - first).total_seconds() >= one.grace_s]
    ordered = tuple(sorted(due, key=lambda one: (_urgency(one), one.grace_s)))
    kept = {name: at for name, at in pressed.items() if name in pressure}
    return Judgement(Memory(since, ordered, kept), frozenset(pressure), ordered)


def is_over(thresholds: Sequence[Threshold], observed: Observed) -> bool:
    """Whether what was reclaimed is enough: nothing is short any more, not even by what is wanted on top."""
    return not any(is_crossed(one, observed, reclaim=True) for one in thresholds)


_ORDER = list(CONDITIONS)


def _urgency(threshold: Threshold) -> int:
    return _ORDER.index(threshold.signal)
