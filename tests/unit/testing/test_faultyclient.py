"""Organs feel what is in force: views held back, old lists, lost watches, an end between two writes; and no lies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from navarch.apiserver.core import Core
from navarch.base.clock import LoopClock, SeededIds
from navarch.base.errors import Expired, Retryable, Unavailable
from navarch.base.loop import SimulationLoop
from navarch.client.client import Client
from navarch.kinds import NODE
from navarch.kinds.registry import DEFAULT
from navarch.store.memory import MemoryStore
from navarch.testing.faultyclient import FaultyClient, Process
from navarch.testing.ledger import ACTOR
from navarch.testing.weather import RECOVERY_S, USUAL_LAG_S, Hold, Weather
from navarch.testing.world import ADMIN

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)


class Ground:
    def __init__(self, core: Core, clock: LoopClock) -> None:
        self.clock = clock
        self.weather = Weather(clock)
        self.core = core
        self.crashes: list[str] = []
        self.process = Process("organ", lambda: self.crashes.append("organ"))
        self.user: Client = core.local(ADMIN, "user")
        self.client = FaultyClient(core.local(ADMIN, "organ"), self.weather, SeededIds(1), clock, self.process)

    async def make(self, name: str) -> None:
        await self.user.create(NODE, {"metadata": {"name": name}})


def play(test: Callable[[Ground], Awaitable[None]]) -> None:
    async def run() -> None:
        clock = LoopClock(EPOCH, asyncio.get_running_loop())
        core = Core(MemoryStore(), DEFAULT, clock, SeededIds(2))
        await core.start()
        await test(Ground(core, clock))
        await core.close()

    with asyncio.Runner(loop_factory=SimulationLoop) as runner:
        runner.run(run())


async def heard(client: FaultyClient, names: list[str]) -> None:
    async for batch in client.watch(NODE, since=1):
        names += [f"{event.type} {event.object.name}" for event in batch if event.object is not None]


def test_a_held_view_comes_late_and_whole() -> None:
    async def test(ground: Ground) -> None:
        names: list[str] = []
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(heard(ground.client, names))
            await ground.clock.sleep(1)
            hold = ground.weather.holds["organ"] = Hold()
            await ground.make("a")
            await ground.user.delete(NODE, "", "a")
            await ground.clock.sleep(10)
            assert names == []
            del ground.weather.holds["organ"]
            hold.over.set()
            await ground.clock.sleep(1)
            assert names == ["ADDED a", "DELETED a"]
            watching.cancel()

    play(test)


def test_missed_events_are_never_heard() -> None:
    async def test(ground: Ground) -> None:
        names: list[str] = []
        hold = ground.weather.holds["organ"] = Hold(lost=True)
        watching = asyncio.ensure_future(heard(ground.client, names))
        await ground.clock.sleep(1)
        await ground.make("a")
        await ground.clock.sleep(1)
        hold.over.set()
        with pytest.raises(Expired):
            await watching
        assert names == []

    play(test)


def test_a_fresh_process_may_be_told_of_the_past_by_lists_of_its_caches_only() -> None:
    async def test(ground: Ground) -> None:
        await ground.make("a")
        before = await ground.client.list(NODE)
        assert list(ground.weather.listed["organ"]) == [NODE]
        ground.weather.holds["organ"] = Hold(lists={NODE: before})
        await ground.make("b")
        assert [one.name for one in (await ground.client.list(NODE)).items] == ["a"]
        assert [one.name for one in (await ground.client.list(NODE, fields="metadata.name=b")).items] == ["b"]
        asked = await ground.client.acting_as("a-controller").list(NODE)
        assert [one.name for one in asked.items] == ["a", "b"]
        assert ground.weather.travelling()

    play(test)


def test_an_organ_dies_after_a_write_and_hears_nothing_of_it() -> None:
    async def test(ground: Ground) -> None:
        ground.weather.crashing["organ"] = 2
        await ground.client.create(NODE, {"metadata": {"name": "a"}})
        writing = asyncio.ensure_future(ground.client.create(NODE, {"metadata": {"name": "b"}}))
        reading = asyncio.ensure_future(ground.client.get(NODE, "", "a"))
        await ground.clock.sleep(10)
        assert ground.crashes == ["organ"]
        assert not writing.done()
        assert not (reading.done() and reading.exception())
        assert sorted(one.name for one in (await ground.user.list(NODE)).items) == ["a", "b"]
        later = asyncio.ensure_future(ground.client.create(NODE, {"metadata": {"name": "c"}}))
        await ground.clock.sleep(10)
        assert len((await ground.user.list(NODE)).items) == 2
        for one in (writing, reading, later):
            one.cancel()

    play(test)


def test_errors_are_before_or_after_the_deed() -> None:
    async def test(ground: Ground) -> None:
        ground.weather.share = 1.0
        with pytest.raises(Unavailable):
            await ground.client.create(NODE, {"metadata": {"name": "a"}})
        assert not (await ground.user.list(NODE)).items
        ground.weather.lost_replies = True
        with pytest.raises(Retryable):
            await ground.client.create(NODE, {"metadata": {"name": "b"}})
        assert [one.name for one in (await ground.user.list(NODE)).items] == ["b"]

    play(test)


def test_requests_take_their_time_and_say_who_makes_them() -> None:
    async def test(ground: Ground) -> None:
        ground.weather.latency_s = 1.0
        actors: list[str] = []

        class Told:
            async def create(self, *asked: Any, **options: Any) -> str:
                actors.append(ACTOR.get())
                return "made"

        client = FaultyClient(Told(), ground.weather, SeededIds(3), ground.clock, ground.process)  # type: ignore[arg-type]
        assert await client.acting_as("job-controller").create(NODE, {}) == "made"  # type: ignore[comparison-overlap]
        assert actors == ["job-controller"]
        assert 0 < ground.clock.monotonic() < 2

    play(test)


def test_how_old_a_view_may_be() -> None:
    async def test(ground: Ground) -> None:
        weather, clock = ground.weather, ground.clock
        assert weather.lag_s() == USUAL_LAG_S
        with weather.trouble():
            await clock.sleep(30)
            assert weather.lag_s() == USUAL_LAG_S + 30
        await clock.sleep(RECOVERY_S)
        assert weather.lag_s() == USUAL_LAG_S + 30 + RECOVERY_S
        await clock.sleep(1)
        assert weather.lag_s() == USUAL_LAG_S

    play(test)


def test_a_leap_makes_timers_late() -> None:
    async def test(ground: Ground) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulationLoop)
        woken: list[float] = []

        async def wake(after_s: float) -> None:
            await ground.clock.sleep(after_s)
            woken.append(ground.clock.monotonic())

        async with asyncio.TaskGroup() as group:
            for after_s in (10, 20, 3000):
                group.create_task(wake(after_s))
            await ground.clock.sleep(1)
            loop.leap(100)
        assert woken == [101, 101, 3000]

    play(test)
