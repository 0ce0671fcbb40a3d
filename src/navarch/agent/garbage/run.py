"""Carries out what `garbage.images` plans: every few minutes, and at once when the node is short of disk.

Source: https://kubernetes.io/docs/concepts/architecture/garbage-collection/#containers-images
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime

from navarch.agent.eviction.thresholds import Observation
from navarch.agent.garbage.images import Known, noted, plan, unused
from navarch.agent.kubelet import KubeletConfig
from navarch.agent.runtime import Image, Runtime, RuntimeFailure
from navarch.base.clock import Clock
from navarch.base.log import Log

_log = Log("agent")

ROUND_S = 300.0


class ImageCollector:
    """disk: what is left where images lie. used: ids, digests and names of the images that containers and pods of this
    node name. tell: (type, reason, message) of an event about the node. left: told after each round which images there
    are, and when they were listed."""

    def __init__(
        self,
        config: KubeletConfig,
        runtime: Runtime,
        clock: Clock,
        *,
        disk: Callable[[], Observation | None],
        used: Callable[[], Collection[str]],
        tell: Callable[[str, str, str], None],
        left: Callable[[Sequence[Image], datetime], Awaitable[None]],
    ) -> None:
        self._config = config
        self._runtime = runtime
        self._clock = clock
        self._disk = disk
        self._used = used
        self._tell = tell
        self._left = left
        self._known: Known = {}
        self._began = clock.now()
        self._failed = False

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.round()
                self._failed = False
            except (RuntimeFailure, OSError) as error:
                _log.warning("unused images not removed", error=error)
                if self._failed:  # the first time, the runtime may only have been slow to start
                    self._tell("Warning", "ImageGCFailed", str(error))
                self._failed = True
            await self._clock.sleep(ROUND_S)

    async def round(self) -> None:
        """Raises: RuntimeFailure, OSError."""
        began = self._clock.now()
        images, used = await self._look()
        seen = await asyncio.to_thread(self._disk)
        if seen is None or not seen.capacity:
            self._tell("Warning", "InvalidDiskCapacity", "invalid capacity 0 on image filesystem")
            return
        made = plan(images, used, self._known, seen, self._clock.now(), self._config, self._began)
        await self._remove(made.remove, images, began)
        if made.lacking is not None:
            wanted, freed = made.lacking
            text = (
                f"Failed to garbage collect required amount of images. Attempted to free {wanted} bytes, "
                f"but only found {freed} bytes eligible to free."
            )
            _log.warning("the disk of images is full, and too few are unused", wanted_bytes=wanted, freed_bytes=freed)
            self._tell("Warning", "FreeDiskSpaceFailed", text)

    async def remove_unused(self) -> None:
        """All of them. Raises: RuntimeFailure."""
        began = self._clock.now()
        images, used = await self._look()
        await self._remove(unused(images, used, self._known, self._clock.now(), self._config), images, began)

    async def _look(self) -> tuple[list[Image], Collection[str]]:
        images = list(await self._runtime.images())
        used = set(self._used())
        for pod in (await self._runtime.observe()).values():
            used |= {name for item in pod.containers for name in (item.image_ref, item.image) if name}
        self._known = noted(images, used, self._known, self._clock.now())
        return images, used

    async def _remove(self, chosen: Collection[Image], images: Sequence[Image], began: datetime) -> None:
        for image in chosen:
            _log.info("unused image removed", image=image.names[0] if image.names else image.id)
            await self._runtime.remove_image(image.id)
        await self._left([image for image in images if image not in chosen], began)
