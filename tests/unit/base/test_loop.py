"""Loops whose time is turned: order, quiescence, and that nothing waits for real."""

from __future__ import annotations

import asyncio
import threading
import time
from itertools import count

import pytest

from navarch.base.clock import LoopClock, parse_rfc3339
from navarch.base.loop import Deadlock, SimulationLoop, Standstill, TurningLoop

EPOCH = parse_rfc3339("2030-01-01T00:00:00Z")
YEAR_S = 365.25 * 86400


def test_simulated_time_passes_only_by_timers() -> None:
    seen: list[tuple[str, float]] = []

    async def tick(name: str, every_s: float) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(3):
            await asyncio.sleep(every_s)
            seen.append((name, loop.time()))

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(tick("hour", 3600.0))
            group.create_task(tick("day", 86400.0 * 3))

    began = time.monotonic()
    with asyncio.Runner(loop_factory=SimulationLoop) as runner:
        runner.run(main())
    assert time.monotonic() - began < 60.0
    assert seen == [
        *(("hour", 3600.0 * n) for n in (1, 2, 3)),
        *(("day", 86400.0 * 3 * n) for n in (1, 2, 3)),
    ]


def test_a_simulation_says_when_it_is_stuck() -> None:
    async def main() -> None:
        async with asyncio.timeout(60.0):
            await asyncio.sleep(1.0)
        await asyncio.get_running_loop().create_future()

    with asyncio.Runner(loop_factory=SimulationLoop) as runner, pytest.raises(Deadlock):
        runner.run(main())


def test_a_simulation_whose_time_stands_ends() -> None:
    async def again_and_again() -> None:
        await asyncio.sleep(7)
        for _ in count():
            await asyncio.sleep(0)

    with (
        asyncio.Runner(loop_factory=SimulationLoop) as runner,
        pytest.raises(Standstill, match=r"time stands at 7\.000 s"),
    ):
        runner.run(again_and_again())


def test_a_simulation_has_no_threads_and_no_sockets() -> None:
    async def threads() -> None:
        await asyncio.to_thread(int)

    async def sockets() -> None:
        await asyncio.open_connection("127.0.0.1", 1)

    with asyncio.Runner(loop_factory=SimulationLoop) as runner:
        with pytest.raises(RuntimeError, match="no threads"):
            runner.run(threads())
        with pytest.raises((RuntimeError, NotImplementedError)):
            runner.run(sockets())


@pytest.mark.parametrize("frozen", [True, False])
def test_advance_goes_timer_by_timer(frozen: bool) -> None:
    async def main(loop: TurningLoop) -> None:
        clock = LoopClock(EPOCH, loop)
        began, seen = loop.time(), []

        async def tick() -> None:
            for _ in range(5):
                await clock.sleep(60.0)
                seen.append(round(loop.time() - began))
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            group.create_task(tick())
            await loop.advance(150.0)
            assert seen == [60, 120]
            assert 150.0 <= loop.time() - began < 151.0
            await loop.advance(3600.0)
            assert seen == [60, 120, 180, 240, 300]

    with asyncio.Runner(loop_factory=lambda: TurningLoop(frozen=frozen)) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, TurningLoop)
        began = time.monotonic()
        runner.run(main(loop))
        assert time.monotonic() - began < 60.0


def test_a_timer_waits_until_all_that_came_before_has_happened() -> None:
    """Bytes that travel between two tasks of the loop arrive before a timer one millisecond away."""

    async def main(loop: TurningLoop) -> None:
        order: list[str] = []

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readexactly(4))
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]

        async def ask() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"ping")
            await reader.readexactly(4)
            writer.close()
            order.append("answer")

        async with server, asyncio.TaskGroup() as group:
            group.create_task(ask())
            loop.call_later(0.001, order.append, "timer")
            await loop.advance(1.0)
        assert order == ["answer", "timer"]

    with asyncio.Runner(loop_factory=lambda: TurningLoop(frozen=True)) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, TurningLoop)
        runner.run(main(loop))


def test_a_timer_waits_for_threads() -> None:
    async def main(loop: TurningLoop) -> None:
        order: list[str] = []
        go = threading.Event()

        async def work() -> None:
            await asyncio.to_thread(go.wait, 5.0)
            order.append("thread")

        threading.Timer(0.05, go.set).start()
        async with asyncio.TaskGroup() as group:
            group.create_task(work())
            loop.call_later(0.001, order.append, "timer")
            await loop.advance(1.0)
        assert order == ["thread", "timer"]

    with asyncio.Runner(loop_factory=lambda: TurningLoop(frozen=True)) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, TurningLoop)
        runner.run(main(loop))


def test_time_flows_unless_it_is_frozen() -> None:
    flowing, frozen = TurningLoop(), TurningLoop(frozen=True)
    try:
        before = flowing.time(), frozen.time()
        time.sleep(0.01)
        assert flowing.time() > before[0]
        assert frozen.time() == before[1]
    finally:
        flowing.close()
        frozen.close()


def test_a_frozen_loop_wakes_for_calls_from_other_threads() -> None:
    async def main(loop: TurningLoop) -> None:
        came = asyncio.Event()
        threading.Timer(0.02, lambda: loop.call_soon_threadsafe(came.set)).start()
        async with asyncio.timeout(3600.0):
            await came.wait()

    with asyncio.Runner(loop_factory=lambda: TurningLoop(frozen=True)) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, TurningLoop)
        runner.run(main(loop))


def test_a_clock_begins_at_its_epoch_whatever_the_loop_counts_from() -> None:
    """Loops that go with the machine's time count from when it was switched on."""

    async def main() -> None:
        clock = LoopClock(EPOCH, asyncio.get_running_loop())
        assert abs((clock.now() - EPOCH).total_seconds()) < 1.0

    with asyncio.Runner(loop_factory=TurningLoop) as runner:
        runner.run(main())


@pytest.mark.timeout(60)
def test_timers_fire_after_centuries_too() -> None:
    """Where two moments that floating point can tell apart lie further from each other than the clock's ticks."""

    async def main() -> list[float]:
        seen: list[float] = []
        for years in (0.6, 30, 900):
            await asyncio.sleep(years * YEAR_S + 0.1)
            seen.append(asyncio.get_running_loop().time())
        return seen

    with asyncio.Runner(loop_factory=SimulationLoop) as runner:
        seen = runner.run(main())
    assert seen == pytest.approx([0.6 * YEAR_S, 30.6 * YEAR_S, 930.6 * YEAR_S])
    loop = TurningLoop(frozen=True)

    async def advanced() -> list[float]:
        waiting = asyncio.ensure_future(main())
        await loop.advance(1000 * YEAR_S)
        assert waiting.done()
        return waiting.result()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        assert runner.run(advanced()) == seen
