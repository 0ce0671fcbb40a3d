from __future__ import annotations

import asyncio
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.base.backoff import Backoff, delay_s
from navarch.base.clock import SeededIds
from navarch.base.errors import Retryable
from navarch.base.log import Log, configure
from navarch.base.metrics import Registry
from navarch.base.tasks import BugReport, KeyQueue, QueueFull, supervise


def test_a_key_waits_once_and_is_worked_on_by_one() -> None:
    async def run() -> None:
        queue: KeyQueue[str] = KeyQueue()
        for key in ("a", "b", "a"):
            queue.add(key)
        assert len(queue) == 2
        assert await queue.get() == "a"
        queue.add("a")
        assert await queue.get() == "b"
        assert len(queue) == 1
        queue.done("b")
        queue.done("a")
        assert await queue.get() == "a"
        queue.done("a")
        assert queue.idle

    asyncio.run(run())


def test_a_cancelled_reader_loses_no_wake_up() -> None:
    async def run() -> None:
        queue: KeyQueue[str] = KeyQueue()
        async with asyncio.TaskGroup() as group:
            first, second = group.create_task(queue.get()), group.create_task(queue.get())
            await asyncio.sleep(0)
            queue.add("a")
            first.cancel()
            assert await asyncio.wait_for(second, 60) == "a"

    asyncio.run(run())


def test_who_is_done_may_come_again_though_the_queue_is_full() -> None:
    async def run() -> None:
        queue: KeyQueue[int] = KeyQueue(2)
        queue.add(1)
        assert await queue.get() == 1
        for key in (1, 2, 3):
            queue.add(key)
        queue.done(1)
        assert [await queue.get() for _ in range(3)] == [2, 3, 1]

    asyncio.run(run())


def test_the_queue_is_bounded() -> None:
    queue: KeyQueue[int] = KeyQueue(limit=2)
    queue.add(1)
    queue.add(2)
    queue.add(1)
    with pytest.raises(QueueFull):
        queue.add(3)


@given(st.integers(0, 200), st.floats(0.001, 10), st.floats(10, 1000))
def test_delays_grow_to_their_limit(failures: int, first_s: float, limit_s: float) -> None:
    now_s, next_s = delay_s(failures, first_s, limit_s), delay_s(failures + 1, first_s, limit_s)
    assert first_s <= now_s <= next_s <= limit_s


def test_backoff_counts_and_resets() -> None:
    backoff = Backoff(SeededIds(1), first_s=1, limit_s=4)
    waits = [backoff.next_s() for _ in range(4)]
    for wait, least in zip(waits, (1, 2, 4, 4), strict=True):
        assert least <= wait <= least * 1.5
    backoff.reset()
    assert backoff.next_s() < 2


def test_a_supervised_loop_outlives_bugs() -> None:
    out = io.StringIO()
    configure("info", "text", out)
    counter = Registry().counter("bugs", "b", ("where",))
    steps = 0
    enough = asyncio.Event()

    async def step() -> None:
        nonlocal steps
        steps += 1
        if steps == 1:
            raise Retryable("later")
        if steps < 4:
            raise KeyError("bug")
        enough.set()
        await asyncio.Event().wait()

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(supervise("x", step, BugReport(Log("t"), counter), lambda: asyncio.sleep(0)))
            await enough.wait()
            task.cancel()

    asyncio.run(run())
    assert counter.value("x") == 2
    assert out.getvalue().count("Traceback") == 1
