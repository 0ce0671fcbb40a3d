"""Makers of volumes that are a directory (or a file) of this node: `emptyDir` and `hostPath`.

Source: https://kubernetes.io/docs/concepts/storage/volumes/
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from navarch.agent import pages
from navarch.agent.volumes.local import check_host_path, make_empty_dir
from navarch.agent.volumes.maker import Made, Wanted
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.container import Container
from navarch.kinds.podspec.volumes import EmptyDirSource, HostPathSource
from navarch.kinds.storage_local import PROVISIONER_NAME
from navarch.kinds.storage_match import PROVISIONED_BY
from navarch.kinds.view import Quantity
from navarch.objects import quantity
from navarch.objects.value import dig

HUGE_PAGES = "HugePages"


class EmptyDirs:
    async def make(self, wanted: Wanted) -> Made:
        source = wanted.volume.empty_dir or EmptyDirSource()
        limit = memory_limit_bytes(wanted.pod, wanted.around.allocatable)
        size = page_bytes(wanted.pod, source.medium) if source.medium.startswith(HUGE_PAGES) else 0
        await asyncio.to_thread(make_empty_dir, wanted.path, source, wanted.fs_group, limit, size)
        return Made(wanted.path)

    async def remove(self, uid: str) -> None:
        return None


class HostPaths:
    async def make(self, wanted: Wanted) -> Made:
        path, kind, shared = wanted.source["path"], wanted.source.get("type", ""), False
        if wanted.bound is not None:
            kind = kind or "DirectoryOrCreate"
            shared = dig(wanted.bound.volume, "metadata", "annotations", PROVISIONED_BY) == PROVISIONER_NAME
        source = HostPathSource(path=path, type=kind)
        await asyncio.to_thread(check_host_path, wanted.volume.name, source, shared=shared)
        return Made(Path(path), wanted.read_only)

    async def remove(self, uid: str) -> None:
        return None


def memory_limit_bytes(pod: Pod, allocatable: Mapping[str, Quantity]) -> int:
    """What the pod may use at most, and the node has for pods; 0 when neither is known."""
    level = pod.spec.resources.limits.get("memory")
    limit = quantity.whole(level) if level is not None else _sum_of_limits(pod)
    node = quantity.whole(allocatable.get("memory", 0))
    return min((size for size in (limit, node) if size), default=0)


def _sum_of_limits(pod: Pod) -> int:
    """Of those containers that have one; of those that run before the others, the largest."""

    def of(container: Container) -> int:
        return quantity.whole(container.resources.limits.get("memory", 0))

    sidecars = sum(of(one) for one in pod.spec.init_containers if one.is_sidecar)
    first = max((of(one) for one in pod.spec.init_containers if not one.is_sidecar), default=0)
    return sidecars + max(first, sum(map(of, pod.spec.containers)))


def page_bytes(pod: Pod, medium: str) -> int:
    """The size of the huge pages that the medium names, or that the pod's containers ask for.

    Raises: ValueError.
    """
    if size := medium.removeprefix(HUGE_PAGES).removeprefix("-"):
        return quantity.whole(size)
    every = (*pod.spec.init_containers, *pod.spec.containers)
    asked = {name for one in every for name in (*one.resources.requests, *one.resources.limits)}
    sizes = sorted(name for name in asked if name.startswith(pages.PREFIX))
    if len(sizes) > 1:
        raise ValueError(f"medium {medium} can only be used if containers ask for huge pages of one size: {sizes}")
    if not sizes:
        raise ValueError(f"medium {medium} needs containers that ask for huge pages")
    return quantity.whole(sizes[0].removeprefix(pages.PREFIX))
