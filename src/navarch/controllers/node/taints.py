"""Which taints a node's conditions come to, and which of them a pod tolerates for how long.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from navarch.base.clock import rfc3339
from navarch.kinds.node import Node, Taint
from navarch.kinds.podspec.fits import tolerates
from navarch.kinds.podspec.placement import Toleration

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
NO_SCHEDULE, NO_EXECUTE = "NoSchedule", "NoExecute"

_BY_CONDITION = {
    ("Ready", "False"): NOT_READY,
    ("Ready", "Unknown"): UNREACHABLE,
    ("MemoryPressure", "True"): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", "True"): "node.kubernetes.io/disk-pressure",
    ("NetworkUnavailable", "True"): "node.kubernetes.io/network-unavailable",
    ("PIDPressure", "True"): "node.kubernetes.io/pid-pressure",
}
_OURS = frozenset((*_BY_CONDITION.values(), UNSCHEDULABLE))
_EVICTING = frozenset((NOT_READY, UNREACHABLE))

Key = tuple[str, str]
"""A taint's key and effect, which together tell it from others."""


def wanted(conditions: Iterable[tuple[str, str]], unschedulable: bool, evicting: bool) -> list[Key]:
    """conditions: (type, status). evicting: whether pods may be evicted from a node that is not ready."""
    found: list[Key] = []
    for condition in conditions:
        key = _BY_CONDITION.get(condition)
        if key is not None:
            found.append((key, NO_SCHEDULE))
            if evicting and key in _EVICTING:
                found.append((key, NO_EXECUTE))
    if unschedulable:
        found.append((UNSCHEDULABLE, NO_SCHEDULE))
    return found


def managed(key: Key) -> bool:
    """Whether this controller alone sets and removes such a taint."""
    return key[0] in _OURS and (key[1] == NO_SCHEDULE or (key[1] == NO_EXECUTE and key[0] in _EVICTING))


def changed(present: Sequence[dict[str, Any]], keys: Sequence[Key], now: datetime) -> list[dict[str, Any]]:
    """The node's taints as documents with exactly `keys` of ours among them; `present` itself where nothing changes."""
    kept = [taint for taint in present if not managed(_key(taint)) or _key(taint) in keys]
    there = [_key(taint) for taint in kept]
    added = [
        {"key": key, "effect": effect, "timeAdded": rfc3339(now)} for key, effect in keys if (key, effect) not in there
    ]
    return [*kept, *added]


def _key(taint: dict[str, Any]) -> Key:
    return (str(taint.get("key", "")), str(taint.get("effect", "")))


def emptied(node: Node) -> bool:
    """Whether pods are told to leave because it is not ready."""
    return any(taint.key in _EVICTING and taint.effect == NO_EXECUTE for taint in node.spec.taints)


def evicting(node: Node) -> list[Taint]:
    return [taint for taint in node.spec.taints if taint.effect == NO_EXECUTE]


def leaves_at(taints: Sequence[Taint], tolerations: Sequence[Toleration], now: datetime) -> datetime | None:
    """When a pod with these tolerations has to leave; `now` for at once, None for never.

    Of several tolerations of a taint the first one counts.
    """
    moments: list[datetime] = []
    for taint in taints:
        fitting = next((toleration for toleration in tolerations if tolerates(toleration, taint)), None)
        if fitting is None:
            return now
        if fitting.toleration_seconds is not None:
            moments.append(_after(taint.time_added or now, max(0, fitting.toleration_seconds)))
    return min(moments) if moments else None


def _after(moment: datetime, seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(moment.timestamp() + seconds, moment.tzinfo)
    except (OverflowError, ValueError):  # a toleration of thousands of years
        return datetime.max.replace(tzinfo=moment.tzinfo)
