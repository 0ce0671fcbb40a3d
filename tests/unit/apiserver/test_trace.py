"""Slow requests tell in the log where their time went, and quick ones nothing."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import timedelta
from typing import Any

import pytest
from server_driver import Served, served

from navarch.apiserver import trace
from navarch.apiserver.admission.hook_counts import HookCounts
from navarch.apiserver.aside import Aside
from navarch.apiserver.store_counts import StoreCounts
from navarch.apiserver.turns import Turns
from navarch.base.clock import SystemClock
from navarch.base.metrics import Registry
from navarch.kinds import POD


def test_steps_are_those_of_one_request_and_of_the_tasks_that_it_starts() -> None:
    async def child() -> None:
        trace.note("webhook b", 0.25)

    async def request(name: str) -> str:
        trace.share()
        trace.note(f"store {name}", 0.1)
        trace.note("too short to tell", 0.001)
        await asyncio.create_task(child())
        return trace.told(0.0)

    async def play() -> list[str]:
        return await asyncio.gather(request("create"), request("update"))

    assert asyncio.run(play()) == ["store create 100 ms, webhook b 250 ms", "store update 100 ms, webhook b 250 ms"]


def test_what_came_before_a_request_is_none_of_its_steps() -> None:
    """A connection's requests are answered by one task, one after another."""

    async def play() -> str:
        loop = asyncio.get_running_loop()
        trace.note("of the last request", 0.1)
        await asyncio.sleep(0.001)
        began = loop.time()
        trace.note("of this one", 0.1)
        return trace.told(began)

    assert asyncio.run(play()) == "of this one 100 ms"


def test_the_steps_are_bounded() -> None:
    async def play() -> str:
        assert trace.told(0.0) == ""
        for number in range(1000):
            trace.note(f"step {number}", 1.0)
        return trace.told(0.0)

    assert asyncio.run(play()).count(",") == trace.MOST - 1


def test_a_slow_request_tells_its_steps(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(server: Served) -> None:
        handle = server.core.handle

        async def slow(call: Any) -> Any:
            trace.note("webhook slow.example", 0.75)
            server.clock.moment += timedelta(seconds=0.8)
            return await handle(call)

        with caplog.at_level(logging.INFO):
            assert (await server.send("GET", "/api/v1/nodes")).status == 200
            assert "a slow request" not in caplog.text
            server.core.handle = slow  # type: ignore[method-assign]
            assert (await server.send("GET", "/api/v1/pods")).status == 200

    served(scenario)
    told = [record for record in caplog.records if record.getMessage().startswith("a slow request")]
    assert len(told) == 1
    assert "webhook slow.example 750 ms" in str(told[0].__dict__)


def test_what_waits_for_others_notes_its_steps() -> None:
    """The store, webhooks, other writers of the object, the thread for large work."""

    class Ticking(SystemClock):
        """A second passes between two looks."""

        seconds = 0.0

        def monotonic(self) -> float:
            self.seconds += 1.0
            return self.seconds

    async def stored() -> int:
        return 7

    async def play() -> str:
        clock, metrics = Ticking(), Registry()
        assert await StoreCounts(metrics, clock).timed("update", POD, stored()) == 7
        with HookCounts(metrics, clock).call("a.example", "admit", "CREATE"):
            pass
        await Aside().run(time.sleep, 0.01)
        turns = Turns()
        async with asyncio.TaskGroup() as group:
            async with turns.of("x"):
                other = group.create_task(_in_turn(turns))
                await asyncio.sleep(0.01)
            await other
        return trace.told(0.0)

    steps = [step.rsplit(" ", 2)[0] for step in asyncio.run(play()).split(", ")]
    assert steps == ["store update", "webhook a.example", "sleep", "waiting for other writers of the object"]


async def _in_turn(turns: Turns) -> None:
    async with turns.of("x"):
        pass
