"""Alarms ring in order, once, at their time, and only the last of a name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from navarch.controllers.alarms import Alarms


class TurnedClock:
    """Time moves by `advance` alone."""

    def __init__(self) -> None:
        self.at = 0.0
        self._waiting: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((self.at + seconds, future))
        await future

    @property
    def sleepers(self) -> int:
        return sum(not future.done() for _, future in self._waiting)

    async def advance(self, seconds: float) -> None:
        end = self.at + seconds
        await settle()
        while due := [entry for entry in self._waiting if entry[0] <= end and not entry[1].done()]:
            at, future = min(due, key=lambda entry: entry[0])
            self.at = max(self.at, at)
            future.set_result(None)
            await settle()
        self.at = end


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def play(script: Callable[[TurnedClock, Alarms], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        clock = TurnedClock()
        alarms = Alarms(clock)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(alarms.run())
            await settle()
            await script(clock, alarms)
            running.cancel()

    asyncio.run(main())


def test_in_order_of_time() -> None:
    async def script(clock: TurnedClock, alarms: Alarms) -> None:
        rung: list[tuple[str, float]] = []
        for name, after_s in (("late", 9), ("early", 1), ("middle", 5)):
            alarms.set(name, after_s, lambda name=name: rung.append((name, clock.at)))
        await settle()
        assert clock.sleepers == 1, "one sleeper for them all"
        await clock.advance(6)
        assert rung == [("early", 1), ("middle", 5)]
        await clock.advance(60)
        assert rung[2:] == [("late", 9)]
        assert clock.sleepers == 0
        assert len(alarms) == 0

    play(script)


def test_a_later_wish_replaces_an_earlier_one_and_a_cleared_one_is_silent() -> None:
    async def script(clock: TurnedClock, alarms: Alarms) -> None:
        rung: list[tuple[str, float]] = []
        alarms.set("a", 5, lambda: rung.append(("old", clock.at)))
        alarms.set("a", 8, lambda: rung.append(("new", clock.at)))
        alarms.set("b", 1, lambda: rung.append(("b", clock.at)))
        alarms.clear("b")
        await clock.advance(20)
        assert rung == [("new", 8)]

    play(script)


def test_a_callback_may_set_alarms() -> None:
    async def script(clock: TurnedClock, alarms: Alarms) -> None:
        rung: list[float] = []

        def again() -> None:
            rung.append(clock.at)
            if len(rung) < 3:
                alarms.set("a", 2, again)

        alarms.set("a", 2, again)
        await clock.advance(100)
        assert rung == [2, 4, 6]

    play(script)


def test_what_is_replaced_often_takes_no_room() -> None:
    async def script(clock: TurnedClock, alarms: Alarms) -> None:
        for _ in range(10_000):
            alarms.set("a", 5, lambda: None)
        assert len(alarms._heap) < 100

    play(script)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 50)), max_size=30))
def test_each_name_rings_once_at_its_last_time(wishes: list[tuple[str, int]]) -> None:
    async def script(clock: TurnedClock, alarms: Alarms) -> None:
        rung: list[tuple[str, float]] = []
        for name, after_s in wishes:
            alarms.set(name, after_s, lambda name=name: rung.append((name, clock.at)))
        await clock.advance(100)
        assert sorted(rung) == sorted((name, float(after_s)) for name, after_s in dict(wishes).items())
        assert [at for _, at in rung] == sorted(at for _, at in rung)

    play(script)
