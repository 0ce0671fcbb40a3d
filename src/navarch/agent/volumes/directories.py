"""Makers of volumes that are a directory (or a file) of this node: `emptyDir` and `hostPath`.

Source: https://kubernetes.io/docs/concepts/storage/volumes/
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from navarch.agent.volumes.local import check_host_path, make_empty_dir
from navarch.agent.volumes.maker import Made, Wanted
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.volumes import EmptyDirSource, HostPathSource
from navarch.kinds.storage_local import PROVISIONER_NAME
from navarch.kinds.storage_match import PROVISIONED_BY
from navarch.objects import quantity
from navarch.objects.value import dig


class EmptyDirs:
    async def make(self, wanted: Wanted) -> Made:
        source = wanted.volume.empty_dir or EmptyDirSource()
        limit = memory_limit_bytes(wanted.pod)
        await asyncio.to_thread(make_empty_dir, wanted.path, source, wanted.fs_group, limit)
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


class LocalVolumes:
    """`local` PersistentVolumes: a directory that is there already."""

    async def make(self, wanted: Wanted) -> Made:
        path = wanted.source["path"]
        await asyncio.to_thread(check_host_path, wanted.volume.name, HostPathSource(path=path))
        return Made(Path(path), wanted.read_only)

    async def remove(self, uid: str) -> None:
        return None


def memory_limit_bytes(pod: Pod) -> int:
    """What all containers of the pod may use together; 0 when one of them is not bounded."""
    limits = [container.resources.limits.get("memory") for container in pod.spec.containers]
    return sum(quantity.whole(limit) for limit in limits if limit is not None) if all(limits) else 0
