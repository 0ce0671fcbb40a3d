"""Which images go when their disk fills up, or when nobody used them for long: a pure plan.

Those in use stay, and with them those that are pinned: they are named as if in use. So do young ones, which somebody
may have fetched a moment ago. Of the rest the one whose last use is longest ago goes first.

Source: https://kubernetes.io/docs/concepts/architecture/garbage-collection/#containers-images
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from navarch.agent.eviction.thresholds import Observation
from navarch.agent.imagefile import full_name
from navarch.agent.kubelet import KubeletConfig
from navarch.agent.runtime import Image


@dataclass(frozen=True, slots=True)
class Past:
    """Of one image. used_at: None when it was never seen in use."""

    seen_at: datetime
    used_at: datetime | None = None


Known = Mapping[str, Past]
"""By image id."""


@dataclass(frozen=True, slots=True)
class Plan:
    """lacking: how many bytes had to be freed and how many could be, when that was too little."""

    remove: tuple[Image, ...] = ()
    lacking: tuple[int, int] | None = None


def is_used(image: Image, used: Collection[str]) -> bool:
    """used: ids, digests and names, full or as pods write them; those that are pinned among them."""
    own = {image.id, *image.names, *image.digests}
    return any(one in own or full_name(one) in own for one in used)


def noted(images: Iterable[Image], used: Collection[str], before: Known, now: datetime) -> Known:
    """What is known of each image that is here; those that are gone are forgotten."""
    found = {}
    for image in images:
        past = before.get(image.id, Past(now))
        found[image.id] = Past(past.seen_at, now) if is_used(image, used) else past
    return found


def _removable(
    images: Iterable[Image], used: Collection[str], known: Known, now: datetime, config: KubeletConfig
) -> list[Image]:
    """Longest unused first."""

    def free(image: Image) -> bool:
        past = known.get(image.id, Past(now))
        young = (now - past.seen_at).total_seconds() < config.image_minimum_gc_age_s
        return not young and not is_used(image, used)

    def age(image: Image) -> tuple[datetime, datetime, str]:
        past = known[image.id]
        return (past.used_at or past.seen_at, past.seen_at, image.id)

    return sorted(filter(free, images), key=age)


def unused(
    images: Iterable[Image], used: Collection[str], known: Known, now: datetime, config: KubeletConfig
) -> Sequence[Image]:
    """All that could go: what a node short of disk gives up."""
    return _removable(images, used, known, now, config)


def plan(
    images: Sequence[Image],
    used: Collection[str],
    known: Known,
    disk: Observation,
    now: datetime,
    config: KubeletConfig,
    began: datetime,
) -> Plan:
    """began: since when uses are known; nothing is too long unused before that is so long ago."""
    rest = _removable(images, used, known, now, config)
    chosen = _stale(rest, known, now, config, began)
    percent = 100 - disk.available * 100 // disk.capacity if disk.capacity else 0
    if percent < config.image_gc_high_threshold_percent:
        return Plan(tuple(chosen))
    wanted = disk.capacity * (100 - config.image_gc_low_threshold_percent) // 100 - disk.available
    freed = sum(image.size_bytes for image in chosen)
    for image in rest:
        if freed >= wanted:
            break
        if image not in chosen:
            chosen.append(image)
            freed += image.size_bytes
    return Plan(tuple(chosen), (wanted, freed) if freed < wanted else None)


def _stale(rest: Sequence[Image], known: Known, now: datetime, config: KubeletConfig, began: datetime) -> list[Image]:
    longest_s = config.image_maximum_gc_age_s
    if not longest_s or (now - began).total_seconds() <= longest_s:
        return []

    def idle_s(image: Image) -> float:
        past = known[image.id]
        return (now - (past.used_at or past.seen_at)).total_seconds()

    return [image for image in rest if idle_s(image) > longest_s]
