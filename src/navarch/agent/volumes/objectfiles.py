"""Makes volumes whose files come from objects of the API, and keeps them as the objects are."""

from __future__ import annotations

import asyncio

from navarch.agent.volumes import kernel, writer
from navarch.agent.volumes.maker import Made, Wanted
from navarch.agent.volumes.payload import payload
from navarch.base.clock import Clock


class ObjectFiles:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def make(self, wanted: Wanted) -> Made:
        await asyncio.to_thread(self._make, wanted)
        return Made(wanted.path, read_only=True)

    def _make(self, wanted: Wanted) -> None:
        files = payload(wanted.pod, wanted.volume, wanted.lookup, wanted.around, wanted.tokens)
        if wanted.kind in ("secret", "projected") and not kernel.is_mounted(wanted.path):  # never on the disk
            wanted.path.mkdir(parents=True, exist_ok=True)
            kernel.mount_tmpfs(wanted.path, mode=0o755)
        stamp = self._clock.now().strftime("%Y_%m_%d_%H_%M_%S.%f")
        writer.write(wanted.path, files, stamp, wanted.fs_group)

    async def remove(self, uid: str) -> None:
        return None
