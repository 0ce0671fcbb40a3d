"""Volumes that are an image: the runtime makes them, where it can. Where it cannot, the pod is told and waits.

Source: https://kubernetes.io/docs/tasks/configure-pod-container/image-volumes/
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from navarch.agent.runtime import RuntimeInfo
from navarch.agent.volumes.maker import Made, Wanted


class ImageVolumes:
    """info: of the runtime."""

    def __init__(self, info: Callable[[], Awaitable[RuntimeInfo]]) -> None:
        self._info = info

    async def make(self, wanted: Wanted) -> Made:
        found = await self._info()
        raise wanted.failure(
            f"image volumes are not supported with the container runtime of this node, {found.name} {found.version}"
        )

    async def remove(self, uid: str) -> None:
        return None
