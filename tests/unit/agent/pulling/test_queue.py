"""How many pulls run at once, and how fast they follow each other."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navarch.agent.pulling.queue import PullLimits, PullQueue
from navarch.base.clock import LoopClock
from navarch.base.loop import SimulationLoop

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)


def played(limits: PullLimits, pulls: int = 8, takes_s: float = 1.0) -> tuple[int, list[float]]:
    """How many ran at once at most, and when each began, in seconds."""
    running = most = 0
    begun: list[float] = []

    async def one(queue: PullQueue, clock: LoopClock) -> None:
        nonlocal running, most
        async with queue.turn():
            begun.append(clock.monotonic())
            running += 1
            most = max(most, running)
            await clock.sleep(takes_s)
            running -= 1

    async def every() -> None:
        clock = LoopClock(EPOCH, asyncio.get_running_loop())
        queue = PullQueue(limits, clock)
        start = clock.monotonic()
        await asyncio.gather(*(one(queue, clock) for _ in range(pulls)))
        begun[:] = [moment - start for moment in begun]

    with asyncio.Runner(loop_factory=SimulationLoop) as runner:
        runner.run(every())
    return most, begun


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        (PullLimits(serialize=True, parallel=5), 1),
        (PullLimits(parallel=3), 3),
        (PullLimits(parallel=0), 8),
        (PullLimits(parallel=20), 8),
    ],
)
def test_so_many_run_at_once(limits: PullLimits, most: int) -> None:
    assert played(limits)[0] == most


def test_after_a_burst_they_keep_the_pace() -> None:
    _, begun = played(PullLimits(parallel=0, qps=2.0, burst=3), pulls=7)
    assert [round(moment, 3) for moment in begun] == [0, 0, 0, 0.5, 1.0, 1.5, 2.0]


@settings(max_examples=30)
@given(st.floats(0.5, 20), st.integers(1, 10), st.integers(1, 30))
def test_never_more_than_the_burst_and_the_pace_allow(qps: float, burst: int, pulls: int) -> None:
    _, begun = played(PullLimits(parallel=0, qps=qps, burst=burst), pulls)
    assert len(begun) == pulls
    for number, moment in enumerate(begun):
        assert number + 1 <= burst + moment * qps + 1e-6
