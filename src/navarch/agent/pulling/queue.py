"""How many images are pulled at once, and how many pulls begin in a second.

The kubelet lets a pull fail that comes too soon ("pull QPS exceeded"), and its pod waits out a back-off; here it waits
for its turn, which is never later.

Source: https://kubernetes.io/docs/concepts/containers/images/#serial-and-parallel-image-pulls
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from navarch.base.clock import Clock


@dataclass(frozen=True, slots=True)
class PullLimits:
    """serialize: one after another. parallel: so many at once, 0 for any number. qps: begun in a second on average, 0
    for any number; burst: so many may begin at once."""

    serialize: bool = False
    parallel: int = 4
    qps: float = 0.0
    burst: int = 10

    @property
    def slots(self) -> int:
        return 1 if self.serialize else self.parallel


class PullQueue:
    def __init__(self, limits: PullLimits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._slots = asyncio.Semaphore(limits.slots) if limits.slots else None
        self._next_at = float("-inf")
        """When the next pull may begin, were there no burst."""

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a place and for the pace; the place is held until the block ends."""
        async with self._slots if self._slots is not None else contextlib.nullcontext():
            wait_s = self._pace(self._clock.monotonic())
            if wait_s > 0:
                await self._clock.sleep(wait_s)
            yield

    def _pace(self, now: float) -> float:
        """Take one turn of the pace; how long until it comes, in seconds."""
        if self._limits.qps <= 0:
            return 0.0
        step_s = 1.0 / self._limits.qps
        full = now - step_s * max(1, self._limits.burst)
        self._next_at = max(self._next_at, full) + step_s
        return max(0.0, self._next_at - now)
