"""How many pods each revision of a Deployment should have: the arithmetic of a rollout, on plain numbers.

Surge and unavailable are numbers of pods by now; what they are made from, and which ReplicaSet a `Size` stands for, is
left to the callers.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#rolling-update-deployment
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Size:
    """One revision. available: of its pods, as its status says. limit: the most pods that the whole Deployment might
    have had when the revision was last sized (its annotation), 0 where that is not known."""

    uid: str
    replicas: int
    available: int
    created: datetime
    name: str = ""
    limit: int = 0

    @property
    def age(self) -> tuple[datetime, str]:
        return (self.created, self.name)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a rollout may do. replicas: asked for. surge: pods above that; unavailable: pods below it."""

    replicas: int
    surge: int
    unavailable: int

    @property
    def most(self) -> int:
        return self.replicas + self.surge

    @property
    def fewest(self) -> int:
        """Available pods."""
        return self.replicas - self.unavailable


def bounds(replicas: int, max_surge: int | str, max_unavailable: int | str, rolling: bool = True) -> Bounds:
    """Percentages are of `replicas`: surge rounded up, unavailable down; where both come to none, one may be
    unavailable, so that a rollout can proceed at all."""
    if not rolling:
        return Bounds(replicas, 0, 0)
    surge = scaled(max_surge, replicas, up=True)
    unavailable = scaled(max_unavailable, replicas, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Bounds(replicas, surge, min(unavailable, replicas))


def scaled(value: int | str, total: int, *, up: bool) -> int:
    """A number of pods, or a share of `total` written as a percentage; 0 for what is neither."""
    if isinstance(value, int):
        return value
    if not value.endswith("%") or not value[:-1].isdecimal():
        return 0
    share = Fraction(int(value[:-1]) * total, 100)
    return math.ceil(share) if up else math.floor(share)


def new_size(limits: Bounds, new: int, total: int) -> int:
    """Pods for the new revision. new: what it has; total: what all have, the new one included."""
    if new > limits.replicas:
        return limits.replicas
    if total >= limits.most:
        return new
    return new + min(limits.most - total, limits.replicas - new)


def old_sizes(limits: Bounds, new: Size, old: Sequence[Size]) -> dict[str, int]:
    """uid -> fewer pods, for those old revisions that can lose some now.

    Broken pods go first, as losing them costs nothing; then as many healthy ones as the available pods allow, from the
    oldest revision on.
    """
    present = {size.uid: size.replicas for size in old}
    total = new.replicas + sum(present.values())
    room = total - limits.fewest - (new.replicas - new.available)
    if not any(present.values()) or room <= 0:
        return {}
    aged = sorted(old, key=lambda size: size.age)
    for size in aged:
        lost = min(room, max(0, size.replicas - size.available))
        present[size.uid] -= lost
        room -= lost
    spare = new.available + sum(size.available for size in old) - limits.fewest
    for size in aged:
        lost = min(max(spare, 0), present[size.uid])
        present[size.uid] -= lost
        spare -= lost
    return {size.uid: present[size.uid] for size in old if present[size.uid] != size.replicas}


def proportional(limits: Bounds, active: Sequence[Size], status_replicas: int) -> dict[str, int]:
    """uid -> pods, when the Deployment is scaled in the middle of a rollout: each revision gets its share.

    active: revisions with pods. status_replicas: the pods there are, for revisions whose `limit` is not known. The
    sum is what the new size allows; what rounding leaves over goes to the largest, and what that one does not have, to
    the next (where upstream would stay above the sum).
    """
    allowed = limits.most if limits.replicas > 0 else 0
    to_add = allowed - sum(size.replicas for size in active)
    # growing: the largest first, of equal ones the newest; shrinking: of equal ones the oldest
    aged = sorted(active, key=lambda size: size.age, reverse=to_add > 0)
    order = sorted(aged, key=lambda size: -size.replicas)
    sizes: dict[str, int] = {}
    added = 0
    for size in order:
        share = _share(limits, size, to_add - added, to_add, status_replicas)
        sizes[size.uid] = size.replicas + share
        added += share
    left = to_add - added
    for size in order:
        change = max(left, -sizes[size.uid])
        sizes[size.uid] += change
        left -= change
    return sizes


def _share(limits: Bounds, size: Size, left: int, to_add: int, status_replicas: int) -> int:
    if size.replicas == 0 or to_add == 0 or left == 0:
        return 0
    if limits.replicas == 0:
        share = -size.replicas
    else:
        before = size.limit or status_replicas
        if before == 0:
            return 0
        share = _round(Fraction(size.replicas * limits.most, before)) - size.replicas
    return min(share, left) if to_add > 0 else max(share, left)


def _round(value: Fraction) -> int:
    """To the nearest, halves away from zero; `value` is not negative."""
    return math.floor(value + Fraction(1, 2))
