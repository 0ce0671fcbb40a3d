"""Volumes that are an image: the runtime mounts them, where it can. Where it cannot, the pod is told and waits.

The image is pulled before the first container that mounts it, by the rules for containers' own (`pulled_for`).

Source: https://kubernetes.io/docs/tasks/configure-pod-container/image-volumes/
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from navarch.agent.runtime import Mount, RuntimeInfo
from navarch.agent.volumes.maker import Made, Wanted
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.container import Container

NOWHERE = Path("/nonexistent")


class ImageVolumes:
    """info: of the runtime."""

    def __init__(self, info: Callable[[], Awaitable[RuntimeInfo]]) -> None:
        self._info = info

    async def make(self, wanted: Wanted) -> Made:
        found = await self._info()
        if not found.image_volumes:
            raise wanted.failure(
                f"image volumes are not supported with the container runtime of this node, {found.name} {found.version}"
            )
        return Made(NOWHERE, read_only=True, image=str(wanted.source["reference"]))

    async def remove(self, uid: str) -> None:
        return None


def pulled_for(pod: Pod, container: Container) -> list[Container]:
    """For each image that the container mounts, a stand-in that asks for it as a container would for its own."""
    mounted = {one.name for one in container.volume_mounts}
    sources = [volume.image for volume in pod.spec.volumes if volume.image is not None and volume.name in mounted]
    return [
        msgspec.structs.replace(container, image=source.reference, image_pull_policy=source.pull_policy)
        for source in sources
    ]


def by_id(mounts: Iterable[Mount], ids: Mapping[str, str]) -> tuple[Mount, ...]:
    """ids: of the images that were pulled, by the names that the pod gives them."""
    return tuple(replace(mount, image=ids[mount.image]) if mount.image else mount for mount in mounts)
