"""How fast what is recommended is done: stabilization, policies, and the bounds of the autoscaler. Pure.

Source: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#configurable-scaling-behavior
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from navarch.objects.value import Document

STABILIZATION_S = 300
"""Of scaling down, where nothing else is said."""
FASTEST = 2.0
FASTEST_LEAST = 4
LONGEST = timedelta(seconds=3600)
"""No window and no period may be longer."""

RECENT_HIGHER = "recent recommendations were higher than current one, applying the highest recent recommendation"
RECENT_LOWER = "recent recommendations were lower than current one, applying the lowest recent recommendation"
MATCHES = "recommended size matches current size"
WITHIN = "the desired count is within the acceptable range"
TOO_FAST_UP = "the desired replica count is increasing faster than the maximum scale rate"
TOO_FAST_DOWN = "the desired replica count is decreasing faster than the maximum scale rate"
TOO_MANY = "the desired replica count is more than the maximum replica count"
TOO_FEW = "the desired replica count is less than the minimum replica count"


@dataclass(frozen=True, slots=True)
class Recommendation:
    replicas: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Change:
    """by: how many replicas more (or, below 0, fewer)."""

    by: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Pending:
    """A change that was planned; whether it came about is seen later."""

    before: int
    after: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Memory:
    """What an autoscaler recommended and did lately, oldest first."""

    recommendations: tuple[Recommendation, ...] = ()
    changes: tuple[Change, ...] = ()
    pending: Pending | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """behavior: as the spec has it, with its defaults; None where it has none."""

    least: int
    most: int
    behavior: Document | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """able, limited: reason and message of the conditions AbleToScale and ScalingLimited."""

    replicas: int
    able: tuple[str, str]
    limited: tuple[str, str] = field(default=("DesiredWithinRange", WITHIN))

    @property
    def is_limited(self) -> bool:
        return self.limited[0] != "DesiredWithinRange"


def settle(memory: Memory, current: int, scaled: datetime | None) -> Memory:
    """Whether the change that was planned last came about. scaled: when the status says that something was."""
    planned = memory.pending
    if planned is None:
        return memory
    done = current == planned.after or (scaled is not None and scaled >= planned.at.replace(microsecond=0))
    made = (Change(planned.after - planned.before, planned.at),) if done else ()
    return Memory(memory.recommendations, (*memory.changes, *made))


def recall(memory: Memory, current: int, now: datetime) -> Memory:
    """Without what is too old to matter; the first time, what is there counts as recommended."""
    if not memory.recommendations:
        return Memory((Recommendation(current, now),), memory.changes, memory.pending)
    since = now - LONGEST
    return Memory(
        tuple(one for one in memory.recommendations if one.at >= since),
        tuple(one for one in memory.changes if one.at >= since),
        memory.pending,
    )


def limit(bounds: Bounds, memory: Memory, current: int, wanted: int, now: datetime) -> Verdict:
    """memory: before `wanted` is recommended."""
    if bounds.behavior is None:
        return _by_rules(bounds, memory.recommendations, current, wanted, now)
    up, down = bounds.behavior["scaleUp"], bounds.behavior["scaleDown"]
    stable = _stabilized(memory.recommendations, (up, down), current, wanted, now)
    if stable == wanted:
        able = ("ReadyForNewScale", MATCHES)
    elif wanted >= current:
        able = ("ScaleUpStabilized", RECENT_LOWER)
    else:
        able = ("ScaleDownStabilized", RECENT_HIGHER)
    if stable > current:
        return _up(bounds, memory.changes, up, current, Verdict(stable, able), now)
    if stable < current:
        return _down(bounds, memory.changes, down, current, Verdict(stable, able), now)
    return Verdict(stable, able)


def _by_rules(bounds: Bounds, recent: Iterable[Recommendation], current: int, wanted: int, now: datetime) -> Verdict:
    """Without a behavior."""
    since = now - timedelta(seconds=STABILIZATION_S)
    stable = max((one.replicas for one in recent if one.at >= since), default=wanted)
    stable = max(stable, wanted)
    able = ("ReadyForNewScale", MATCHES) if stable == wanted else ("ScaleDownStabilized", RECENT_HIGHER)
    fastest = int(max(FASTEST * current, FASTEST_LEAST))
    if stable < bounds.least:
        return Verdict(bounds.least, able, ("TooFewReplicas", TOO_FEW))
    if bounds.most > fastest and stable > fastest:
        return Verdict(fastest, able, ("ScaleUpLimit", TOO_FAST_UP))
    if stable > bounds.most:
        return Verdict(bounds.most, able, ("TooManyReplicas", TOO_MANY))
    return Verdict(stable, able)


def _stabilized(
    recent: Iterable[Recommendation], rules: tuple[Document, Document], current: int, wanted: int, now: datetime
) -> int:
    """As near to what there is as the recommendations within both windows allow."""
    up, down = rules
    up_since = now - timedelta(seconds=up.get("stabilizationWindowSeconds", 0))
    down_since = now - timedelta(seconds=down.get("stabilizationWindowSeconds", STABILIZATION_S))
    lowest = highest = wanted
    for one in recent:
        if one.at > up_since:
            lowest = min(lowest, one.replicas)
        if one.at > down_since:
            highest = max(highest, one.replicas)
    return min(max(current, lowest), highest)


def _up(
    bounds: Bounds, changes: Sequence[Change], rules: Document, current: int, asked: Verdict, now: datetime
) -> Verdict:
    fastest = max(current, up_limit(rules, changes, current, now))
    most = min(bounds.most, fastest)
    if asked.replicas <= most:
        return asked
    why = ("ScaleUpLimit", TOO_FAST_UP) if bounds.most > fastest else ("TooManyReplicas", TOO_MANY)
    return Verdict(most, asked.able, why)


def _down(
    bounds: Bounds, changes: Sequence[Change], rules: Document, current: int, asked: Verdict, now: datetime
) -> Verdict:
    fastest = min(current, down_limit(rules, changes, current, now))
    least = max(bounds.least, fastest)
    if asked.replicas >= least:
        return asked
    why = ("ScaleDownLimit", TOO_FAST_DOWN) if bounds.least < fastest else ("TooFewReplicas", TOO_FEW)
    return Verdict(least, asked.able, why)


def up_limit(rules: Document, changes: Sequence[Change], current: int, now: datetime) -> int:
    """The most replicas that the policies of scaling up allow."""
    if rules.get("selectPolicy") == "Disabled":
        return current
    proposed = []
    for policy in rules["policies"]:
        start = _at_start(changes, policy, current, now)
        if policy["type"] == "Pods":
            proposed.append(start + int(policy["value"]))
        else:
            proposed.append(math.ceil(start * (1 + policy["value"] / 100)))
    return min(proposed) if rules.get("selectPolicy") == "Min" else max(proposed)


def down_limit(rules: Document, changes: Sequence[Change], current: int, now: datetime) -> int:
    """The fewest replicas that the policies of scaling down allow."""
    if rules.get("selectPolicy") == "Disabled":
        return current
    proposed = []
    for policy in rules["policies"]:
        start = _at_start(changes, policy, current, now)
        if policy["type"] == "Pods":
            proposed.append(start - int(policy["value"]))
        else:
            proposed.append(int(start * (1 - policy["value"] / 100)))
    return max(proposed) if rules.get("selectPolicy") == "Min" else min(proposed)


def _at_start(changes: Iterable[Change], policy: Document, current: int, now: datetime) -> int:
    """How many replicas there were when the policy's period began."""
    since = now - timedelta(seconds=policy["periodSeconds"])
    return current - sum(one.by for one in changes if one.at > since)
