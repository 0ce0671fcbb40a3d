"""Conditions of an object's status: reading them, and setting one so that its times say what happened.

Conditions are plain dictionaries in a list keyed by `type`. Nothing here changes its input.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/ (api-conventions: typical status properties)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from navarch.base.clock import rfc3339
from navarch.objects.value import dig

Condition = dict[str, Any]


def get(conditions: Iterable[Condition] | None, type: str) -> Condition | None:
    """The condition of that type."""
    return next((condition for condition in conditions or () if condition.get("type") == type), None)


def status(conditions: Iterable[Condition] | None, type: str) -> str:
    """`True`, `False`, or `Unknown` (also when there is no such condition)."""
    found = get(conditions, type)
    return str(found.get("status", "Unknown")) if found else "Unknown"


def is_true(document: Mapping[str, Any], type: str) -> bool:
    """Whether the object of this document has the condition with status True."""
    return status(dig(document, "status", "conditions"), type) == "True"


def set(
    conditions: Sequence[Condition] | None,
    new: Condition,
    now: datetime,
    *,
    heartbeat: str = "",
    updated: str = "",
) -> list[Condition]:
    """The list with `new` in it: in the place of the one of its type, or at the end.

    `lastTransitionTime` is `now` when the status changed, else stays. A `new` that says the same as the old changes
    nothing, so that a write can be spared.
    heartbeat: a time field that is set on every call (`lastHeartbeatTime` of Nodes, `lastProbeTime`).
    updated: a time field that is set when anything but times changed (`lastUpdateTime` of Deployments).
    """
    kept = list(conditions or ())
    place = next((i for i, old in enumerate(kept) if old.get("type") == new["type"]), len(kept))
    old = kept[place] if place < len(kept) else {}
    stamp = rfc3339(now)
    made = {**new}
    if not old or old.get("status") != new.get("status"):
        made["lastTransitionTime"] = new.get("lastTransitionTime", stamp)
    elif "lastTransitionTime" in old:
        made["lastTransitionTime"] = old["lastTransitionTime"]
    if updated:
        made[updated] = old[updated] if old and updated in old and _says_the_same(old, made) else stamp
    if heartbeat:
        made[heartbeat] = stamp
    if made != old:
        kept[place : place + 1] = [made]
    return kept


def remove(conditions: Sequence[Condition] | None, *types: str) -> list[Condition]:
    return [condition for condition in conditions or () if condition.get("type") not in types]


_TIMES = frozenset(("lastTransitionTime", "lastUpdateTime", "lastHeartbeatTime", "lastProbeTime"))


def _says_the_same(old: Condition, new: Condition) -> bool:
    def words(condition: Condition) -> Condition:
        return {key: value for key, value in condition.items() if key not in _TIMES and value != ""}

    return words(old) == words(new)
