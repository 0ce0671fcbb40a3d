"""Pods that hold more on the node's disk than they may: a volume, a container, or the pod as a whole. Pure.

Nothing stops a container from writing on; so it is looked at now and then, and a pod that is over is evicted.

Source: https://kubernetes.io/docs/concepts/storage/ephemeral-storage/
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.agent.eviction.ranking import STORAGE, Candidate, Eviction, PodUse, is_critical
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.container import Container
from navarch.objects import quantity

VOLUME, POD, CONTAINER = "emptydirfs.limit", "ephemeralpodfs.limit", "ephemeralcontainerfs.limit"
"""The causes that evictions are counted by."""
CAUSES = frozenset([VOLUME, POD, CONTAINER])


def is_limited(pod: Pod) -> bool:
    """Whether there is anything to measure at all."""
    return any(_sized(pod)) or any(STORAGE in one.resources.limits for one in _every(pod)) or _at_pod_level(pod)


def over(candidates: Iterable[Candidate]) -> list[Eviction]:
    """All that are over one of their limits; critical pods stay, as they do when the node runs short."""
    found = []
    for one in candidates:
        if one.use is None or is_critical(one.pod):
            continue
        told = _volume(one.pod, one.use) or _whole(one.pod, one.use) or _container(one.pod, one.use)
        if told is not None:
            found.append(Eviction(one.pod.metadata.uid, told[1], cause=told[0]))
    return found


def _sized(pod: Pod) -> Iterable[tuple[str, quantity.Quantity]]:
    for volume in pod.spec.volumes:
        directory = volume.empty_dir
        if directory is not None and directory.size_limit is not None and quantity.nano(directory.size_limit) > 0:
            yield volume.name, directory.size_limit


def _every(pod: Pod) -> Iterable[Container]:
    return (*pod.spec.init_containers, *pod.spec.containers)


def _at_pod_level(pod: Pod) -> bool:
    return STORAGE in pod.spec.resources.limits


def _volume(pod: Pod, use: PodUse) -> tuple[str, str] | None:
    for name, limit in _sized(pod):
        held = use.volumes.get(name)
        if held is not None and held.bytes > quantity.whole(limit):
            return (VOLUME, f'Usage of EmptyDir volume "{name}" exceeds the limit "{quantity.canonical(limit)}". ')
    return None


def _whole(pod: Pod, use: PodUse) -> tuple[str, str] | None:
    limits = [one.resources.limits[STORAGE] for one in pod.spec.containers if STORAGE in one.resources.limits]
    if _at_pod_level(pod):
        limits = [pod.spec.resources.limits[STORAGE]]
    if not limits:
        return None
    limit = quantity.total(limits)
    if use.held(layers=True, rest=True).bytes <= quantity.whole(limit):
        return None
    return (POD, f"Pod ephemeral local storage usage exceeds the total limit of containers {limit}. ")


def _container(pod: Pod, use: PodUse) -> tuple[str, str] | None:
    for one in _every(pod):
        held, limit = use.containers.get(one.name), one.resources.limits.get(STORAGE, 0)
        if held is not None and quantity.nano(limit) > 0 and held.disk_bytes > quantity.whole(limit):
            shown = quantity.canonical(limit)
            return (CONTAINER, f'Container {one.name} exceeded its local ephemeral storage limit "{shown}". ')
    return None
