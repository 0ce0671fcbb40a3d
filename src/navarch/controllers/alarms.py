"""Calls at a later time, one for each name, on a clock that is handed in.

All queues of a process share one `Alarms`: one sleeping task however many keys wait. What is called is the business of
whoever set the alarm.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Hashable
from itertools import count

from navarch.base.clock import Clock


class Alarms:
    """`set` and `clear` are synchronous and may be used before `run` starts; alarms ring only while it runs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._order = count()
        self._heap: list[tuple[float, int, Hashable]] = []
        self._set: dict[Hashable, tuple[int, Callable[[], None]]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._sleeper: asyncio.Task[None] | None = None
        self._sleeps_until = 0.0

    def __len__(self) -> int:
        return len(self._set)

    def set(self, name: Hashable, after_s: float, callback: Callable[[], None]) -> None:
        """Call once after that many seconds; replaces an alarm of the same name."""
        number = next(self._order)
        self._set[name] = (number, callback)
        heapq.heappush(self._heap, (self._clock.monotonic() + max(0.0, after_s), number, name))
        if len(self._heap) > 64 and len(self._heap) > 4 * len(self._set):
            self._sweep()
        self._rest()

    def clear(self, name: Hashable) -> None:
        self._set.pop(name, None)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                self._rest()
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = self._sleeper = None

    def _live(self, entry: tuple[float, int, Hashable]) -> bool:
        found = self._set.get(entry[2])
        return found is not None and found[0] == entry[1]

    def _sweep(self) -> None:
        self._heap = [entry for entry in self._heap if self._live(entry)]
        heapq.heapify(self._heap)

    def _rest(self) -> None:
        """Have exactly one task asleep until the earliest alarm."""
        while self._heap and not self._live(self._heap[0]):
            heapq.heappop(self._heap)
        if self._group is None or not self._heap:
            return
        due = self._heap[0][0]
        if self._sleeper is not None:
            if self._sleeps_until <= due:
                return
            self._sleeper.cancel()
        self._sleeps_until = due
        self._sleeper = self._group.create_task(self._sleep(due))

    async def _sleep(self, due: float) -> None:
        await self._clock.sleep(max(0.0, due - self._clock.monotonic()))
        self._sleeper = None
        self._ring()
        self._rest()

    def _ring(self) -> None:
        now = self._clock.monotonic()
        while self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)
            if self._live(entry):
                self._set.pop(entry[2])[1]()
