"""The filter of nodes that have as many volumes of a driver as it can attach there.

Source: https://kubernetes.io/docs/concepts/storage/storage-limits/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from navarch.kinds.storage_match import NO_PROVISIONER, class_of, is_bound
from navarch.scheduler.csi import VolumeId, volume_id
from navarch.scheduler.disks import Disks
from navarch.scheduler.facts import PodFacts
from navarch.scheduler.question import Filter, News, Question, Rejection


def _limits(q: Question) -> Iterator[Rejection]:
    if not q.pod.claims or not q.table.disks.csi.limits:
        return
    table, disks = q.table, q.table.disks
    wanted = set(_volumes(disks, q.pod))
    if not wanted:
        return
    claimed = table.per_pods("claims", lambda pod: len(pod.claims))
    full = np.zeros(table.width, np.bool_)
    numbers = range(table.width)[q.at]
    for name in disks.csi.limited(driver for driver, _ in wanted):
        index = table.number.get(name, -1)
        if index not in numbers or (q.left is not None and not q.left[index]):
            continue
        limits, attached = disks.csi.limits[name], disks.csi.attached.get(name, {})
        if claimed[index] + len(attached) + len(wanted) > min(limits.values()):
            full[index] = _exceeds(limits, wanted, _there(disks, table.on(index).values(), attached.values()))
    yield Rejection("node(s) exceed max volume count", full[q.at], final=False)


def _exceeds(limits: dict[str, int], wanted: set[VolumeId], there: set[VolumeId]) -> bool:
    drivers = {driver for driver, _ in wanted - there}
    return any(
        len({id for id in wanted | there if id[0] == driver}) > limits[driver] for driver in drivers if driver in limits
    )


def _there(disks: Disks, pods: Iterable[PodFacts], attached: Iterable[str]) -> set[VolumeId]:
    """What pods use there, and what is attached still though nobody uses it."""
    found = {id for pod in pods if pod.claims for id in _volumes(disks, pod)}
    for name in attached:
        volume = disks.volumes.get(name)
        if volume is not None and (id := volume_id(volume)) is not None:
            found.add(id)
    return found


def _volumes(disks: Disks, pod: PodFacts) -> Iterator[VolumeId]:
    """Those that a claim is still to get are known by the claim."""
    for claim in disks.of(pod):
        if is_bound(claim):
            volume = disks.volumes.get(claim.view.spec.volume_name)
            id = None if volume is None else volume_id(volume)
            if id is not None:
                yield id
        else:
            found = disks.classes.get(class_of(claim))
            if found is not None and found.view.provisioner != NO_PROVISIONER:
                yield (found.view.provisioner, f"{claim.namespace}/{claim.name}")


NODE_VOLUME_LIMITS = Filter("NodeVolumeLimits", _limits, frozenset({News.CLAIM, News.NODE_ADDED, News.POD_GONE}))
