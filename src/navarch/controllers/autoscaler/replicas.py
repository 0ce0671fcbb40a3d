"""How many replicas one metric asks for: pure arithmetic on what was measured of which pods.

Pods that are not ready, or of which nothing was measured, are supposed to use what makes the change smaller.

Source: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from navarch.kinds.object import Object
from navarch.objects import quantity
from navarch.objects.value import Document, dig

CPU_INITIALIZATION = timedelta(minutes=5)
INITIAL_READINESS = timedelta(seconds=30)
NO_PODS = "no pods returned by selector while calculating replica count"
NO_READY = "did not receive metrics for any ready pods"


class Unknown(Exception):
    """A metric says nothing; the message is Kubernetes' own."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was measured of one pod, in thousandths."""

    milli: int
    at: datetime
    window_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far from 1 the ratio of what is to what should be may be, below and above."""

    down: float = 0.1
    up: float = 0.1

    def allows(self, ratio: float) -> bool:
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@dataclass(frozen=True, slots=True)
class Count:
    """What a metric asks for. milli: its value, an average where the target is one. percent: of what is requested."""

    replicas: int
    milli: int
    percent: int | None = None


@dataclass(frozen=True, slots=True)
class Groups:
    ready: int
    ignored: frozenset[str]
    missing: frozenset[str]


def group(pods: Sequence[Object], samples: Mapping[str, Sample], resource: str, now: datetime) -> Groups:
    """Which pods count; by name. resource: "" for what is no resource."""
    ready, ignored, missing = 0, set[str](), set[str]()
    for pod in pods:
        phase = pod.view.status.phase
        if pod.view.terminating or phase == "Failed":
            continue
        if phase == "Pending":
            ignored.add(pod.name)
        elif pod.name not in samples:
            missing.add(pod.name)
        elif resource == "cpu" and _is_starting(pod, samples[pod.name], now):
            ignored.add(pod.name)
        else:
            ready += 1
    return Groups(ready, frozenset(ignored), frozenset(missing))


def _is_starting(pod: Object, sample: Sample, now: datetime) -> bool:
    """Whether its use of the processor may be that of a start."""
    status = pod.view.status
    ready = status.condition("Ready")
    if ready is None or status.start_time is None:
        return True
    turned = ready.last_transition_time or status.start_time
    if status.start_time + CPU_INITIALIZATION > now:
        return bool(ready.status == "False" or sample.at < turned + timedelta(seconds=sample.window_s))
    return bool(ready.status == "False" and status.start_time + INITIAL_READINESS > turned)


def requests(pods: Sequence[Object], container: str, resource: str) -> Mapping[str, int]:
    """What pods request, in thousandths, by name. Raises: Unknown."""
    return {pod.name: _requested(pod.document(), container, resource) for pod in pods}


def _requested(pod: Document, container: str, resource: str) -> int:
    name = pod["metadata"]["name"]
    spec = pod["spec"]
    whole = dig(spec, "resources", "requests", resource)
    if whole is not None and not container:
        return quantity.milli(whole)
    lasting = [one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"]
    total = 0
    found = False
    for one in (*spec["containers"], *lasting):
        if container and one["name"] != container:
            continue
        found = True
        asked = dig(one, "resources", "requests", resource)
        if asked is None:
            raise Unknown(f"missing request for {resource} in container {one['name']} of Pod {name}")
        total += quantity.milli(asked)
    if container and not found:
        raise Unknown(f"container {container} not found in Pod {name}")
    return total


def by_utilization(
    current: int,
    target: int,
    samples: Mapping[str, Sample],
    pods: Sequence[Object],
    asked: Mapping[str, int],
    groups: Groups,
    tolerance: Tolerance,
) -> Count:
    """target: in percent of what is requested. Raises: Unknown."""
    if not pods:
        raise Unknown(NO_PODS)
    used = {name: sample.milli for name, sample in samples.items() if name not in groups.ignored}
    if not used:
        raise Unknown(NO_READY)
    ratio, percent, average = _utilization(used, asked, target)
    fallback = max(100, target)
    supposed = {name: asked[name] * fallback // 100 for name in groups.missing}

    def again(now_used: Mapping[str, int]) -> float:
        return _utilization(now_used, asked, target)[0]

    replicas = _adjusted(current, ratio, used, supposed, groups, tolerance, again)
    return Count(replicas, average, percent)


def by_average(
    current: int,
    target: int,
    samples: Mapping[str, Sample],
    pods: Sequence[Object],
    groups: Groups,
    tolerance: Tolerance,
) -> Count:
    """target: of the average, in thousandths. Raises: Unknown."""
    if not pods:
        raise Unknown(NO_PODS)
    used = {name: sample.milli for name, sample in samples.items() if name not in groups.ignored}
    if not used:
        raise Unknown(NO_READY)

    def ratio_of(now_used: Mapping[str, int]) -> float:
        return (sum(now_used.values()) // len(now_used)) / target

    supposed = dict.fromkeys(groups.missing, target)
    replicas = _adjusted(current, ratio_of(used), used, supposed, groups, tolerance, ratio_of)
    return Count(replicas, sum(used.values()) // len(used))


def _utilization(used: Mapping[str, int], asked: Mapping[str, int], target: int) -> tuple[float, int, int]:
    """(the ratio to the target, percent of what is requested, the average in thousandths). Raises: Unknown."""
    known = [name for name in used if name in asked]
    total, wanted = sum(used[name] for name in known), sum(asked[name] for name in known)
    if not wanted:
        raise Unknown("no metrics returned matched known pods")
    percent = total * 100 // wanted
    return percent / target, percent, total // len(known)


def _adjusted(
    current: int,
    ratio: float,
    used: Mapping[str, int],
    supposed: Mapping[str, int],
    groups: Groups,
    tolerance: Tolerance,
    ratio_of: Callable[[Mapping[str, int]], float],
) -> int:
    """supposed: what the pods without a sample use if that makes a scale-down smaller."""
    rebalance = bool(groups.ignored) and ratio > 1.0
    if not rebalance and not groups.missing:
        return current if tolerance.allows(ratio) else math.ceil(ratio * groups.ready)
    filled = dict(used)
    if ratio < 1.0:
        filled |= supposed
    elif ratio > 1.0:
        filled |= dict.fromkeys(groups.missing, 0)
    if rebalance:
        filled |= dict.fromkeys(groups.ignored, 0)
    again = ratio_of(filled)
    if tolerance.allows(again) or (ratio < 1.0 < again) or (again < 1.0 < ratio):
        return current
    replicas = math.ceil(again * len(filled))
    turned = (again < 1.0 and replicas > current) or (again > 1.0 and replicas < current)
    return current if turned else replicas


def by_value(current: int, target: int, milli: int, pods: Sequence[Object], tolerance: Tolerance) -> Count:
    """Of one value for all pods. Raises: Unknown."""
    ratio = milli / target
    if not current:
        return Count(math.ceil(ratio), milli)
    if tolerance.allows(ratio):
        return Count(current, milli)
    if not pods:
        raise Unknown(f"unable to calculate ready pods: {NO_PODS}")
    ready = sum(pod.view.status.phase == "Running" and pod.view.ready for pod in pods)
    return Count(math.ceil(ratio * ready), milli)


def by_share(present: int, target: int, milli: int, tolerance: Tolerance) -> Count:
    """Of one value of which each pod has its share. present: replicas that there are."""
    wanted = math.ceil(milli / target)
    if present:
        ratio = milli / (target * present)
        replicas = present if tolerance.allows(ratio) else wanted
        return Count(replicas, math.ceil(milli / present))
    return Count(wanted, milli)
