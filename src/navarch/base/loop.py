"""Event loops whose time can be turned: one for simulation, without any IO, and one that serves real IO.

Everything that waits does so by the loop's own timers (`asyncio.sleep`, `asyncio.timeout`), so these loops turn time
for all organs at once. A timer fires only once the loop is quiescent: nothing is ready to run, nothing has arrived, no
thread works for it. So whatever follows from one moment has happened before the next one begins.

Both lean on how `asyncio.BaseEventLoop` runs: it asks `_selector.select(timeout)` when it has nothing to do, with the
time until its earliest timer, `_scheduled[0]`.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import selectors
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar, TypeVarTuple

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


class Deadlock(RuntimeError):
    """Nothing is ready and no timer is set: what is awaited will never come."""


class Standstill(RuntimeError):
    """Something is always ready, and so time never goes on: somebody tries again and again without a pause."""


TURNS_OF_A_MOMENT = 50_000
"""So often the loop may go round while its time stands: a busy moment takes some hundreds."""

NANOSECOND_S = 1e-9


def finest_s(moment: float) -> float:
    """What `asyncio` must take for the resolution of a clock that stands at `moment`: a timer is due there when it is
    before that moment and this more. After some months a nanosecond more is no more at all, and none would be due."""
    return max(NANOSECOND_S, math.ulp(moment))


class _NoSelector:
    """Never waits: asked to, it turns the time to the earliest timer."""

    def __init__(self, loop: SimulationLoop) -> None:
        self._loop = loop
        self._turns = 0

    def select(self, timeout: float | None) -> list[Any]:
        self._turns = self._turns + 1 if timeout == 0 else 0
        if self._turns > TURNS_OF_A_MOMENT:
            self._turns = 0  # whoever is cancelled now gets a moment of its own
            raise Standstill(f"time stands at {self._loop.time():.3f} s: something is tried again and again")
        if timeout is None:
            raise Deadlock("the simulation waits for something that no timer and no task will bring about")
        if timeout > 0:
            self._loop.turn_to_next_timer()
        return []

    def close(self) -> None:
        return None


class SimulationLoop(asyncio.BaseEventLoop):
    """Virtual time from 0; no sockets, files or threads, and so the same order of events on every run.

    Use: `asyncio.Runner(loop_factory=SimulationLoop)`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._virtual_s = 0.0
        self._selector = _NoSelector(self)

    def time(self) -> float:
        return self._virtual_s

    def turn_to_next_timer(self) -> None:
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        self._virtual_s = max(self._virtual_s, scheduled[0].when())
        self._clock_resolution = finest_s(self._virtual_s)

    def leap(self, seconds: float) -> None:
        """Let time pass in which nothing was done: timers that were due meanwhile fire now, all of them late."""
        self._virtual_s += seconds

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Arguments], Result], *args: *Arguments
    ) -> asyncio.Future[Result]:
        """Raises: RuntimeError, always: threads have no order that could be replayed."""
        raise RuntimeError(f"a simulation has no threads to run {func!r} in")

    def _process_events(self, event_list: list[Any]) -> None:
        return None

    def _write_to_self(self) -> None:
        return None


class _TurningSelector(selectors.DefaultSelector):
    """Waits for IO as usual, except that while time is being advanced it never waits: it lets the loop jump."""

    loop: TurningLoop | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        loop = self.loop
        if loop is None or timeout == 0:
            return super().select(timeout)
        if not loop.advancing:
            return super().select(None if loop.frozen else timeout)
        found = super().select(0)
        if found:
            return found
        if loop.threads_at_work:
            return super().select(None)
        loop.jump()
        return []


def _holds(goal: _Goal) -> bool:
    """An error in the question goes to who asked it."""
    try:
        return goal.until is not None and goal.until()
    except Exception as error:  # noqa: BLE001 - handed on
        goal.done.set_exception(error)
        return True


@dataclass(order=True, slots=True)
class _Goal:
    """An advance under way. until: ends it early, once it holds when the loop is quiescent."""

    moment: float
    order: int
    done: asyncio.Future[bool] = field(compare=False)
    until: Callable[[], bool] | None = field(compare=False, default=None)


class TurningLoop(asyncio.SelectorEventLoop):
    """Serves real IO; its time goes with the machine's (or stands, when `frozen`) and can be advanced by leaps."""

    def __init__(self, *, frozen: bool = False) -> None:
        self.frozen = frozen
        self.threads_at_work = 0
        self.leaps = 0
        """How often an advance went on to a timer: what time that passes costs."""
        self._ahead_s = 0.0
        self._stands_at_s = 0.0
        self._goals: list[_Goal] = []
        self._order = count()
        selector = _TurningSelector()
        super().__init__(selector)
        selector.loop = self

    def time(self) -> float:
        return self._stands_at_s if self.frozen else time.monotonic() + self._ahead_s

    @property
    def advancing(self) -> bool:
        while self._goals and self._goals[0].done.done():
            heapq.heappop(self._goals)
        return bool(self._goals)

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once, timer by timer; returns when all that follows from them has happened.

        0 waits for quiescence and no longer.
        """
        await self._advance(seconds, None)

    async def advance_until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """The same, but only until `holds()`, asked whenever the loop is quiescent; whether it came to hold."""
        return await self._advance(seconds, holds)

    async def _advance(self, seconds: float, until: Callable[[], bool] | None) -> bool:
        done: asyncio.Future[bool] = self.create_future()
        heapq.heappush(self._goals, _Goal(self.time() + seconds, next(self._order), done, until))
        return await done

    def jump(self) -> None:
        """To the next timer, or to where the advance ends. Only when the loop is quiescent."""
        if self._reached():
            return
        goal = self._goals[0]
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        if scheduled and scheduled[0].when() <= goal.moment:
            self.leaps += 1
            self._turn_to(scheduled[0].when())
            return
        self._turn_to(goal.moment)
        heapq.heappop(self._goals).done.set_result(False)

    def _reached(self) -> bool:
        """Whether some advance has come to what it goes on until; it is told so."""
        found = [goal for goal in self._goals if goal.until is not None and not goal.done.done() and _holds(goal)]
        for goal in found:
            if not goal.done.done():
                goal.done.set_result(True)
        return bool(found)

    def _turn_to(self, moment: float) -> None:
        if moment <= self.time():
            return
        if self.frozen:
            self._stands_at_s = moment
            self._clock_resolution = finest_s(moment)
        else:
            self._ahead_s = moment - time.monotonic()

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Arguments], Result], *args: *Arguments
    ) -> asyncio.Future[Result]:
        future = super().run_in_executor(executor, func, *args)
        self.threads_at_work += 1
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, future: asyncio.Future[Any]) -> None:
        self.threads_at_work -= 1
