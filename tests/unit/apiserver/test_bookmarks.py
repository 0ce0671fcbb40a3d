"""Watches from this process: told how far things are when others moved on, and asleep when nothing moves at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, cast

from navarch.apiserver.bookmarks import AFTER_S
from navarch.apiserver.call import User
from navarch.apiserver.core import Core
from navarch.base.clock import LoopClock, SeededIds
from navarch.base.loop import SimulationLoop
from navarch.client.client import Client
from navarch.kinds import CONFIGMAP, NAMESPACE, SECRET
from navarch.kinds.registry import DEFAULT
from navarch.store.memory import MemoryStore

ADMIN = User("admin", groups=("system:masters",))


class CountingLoop(SimulationLoop):
    """turns: how often time went on because a timer was due."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = 0

    def turn_to_next_timer(self) -> None:
        self.turns += 1
        super().turn_to_next_timer()


def run(test: Callable[[Client, CountingLoop], Awaitable[None]]) -> None:
    loop = CountingLoop()

    async def main() -> None:
        core = Core(
            MemoryStore(), DEFAULT, LoopClock(datetime(2030, 1, 1, tzinfo=UTC), loop), SeededIds(1), simulated=True
        )
        await core.start()
        client = core.local(ADMIN, "test")
        await client.create(NAMESPACE, {"metadata": {"name": "default"}})
        try:
            await test(client, loop)
        finally:
            await core.close()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())


async def stopped(*waiting: asyncio.Future[Any]) -> None:
    for one in waiting:
        one.cancel()
    await asyncio.wait(waiting)


def a_config(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default"}}


def test_a_watch_hears_how_far_others_have_come_and_nothing_more() -> None:
    async def test(client: Client, loop: CountingLoop) -> None:
        begun = (await client.list(SECRET)).revision
        async with aclosing(cast(Any, client.watch(SECRET, since=begun))) as watch:
            first = asyncio.ensure_future(anext(watch))
            await asyncio.sleep(2 * AFTER_S)
            assert not first.done(), "nothing has happened"
            made = [await client.create(CONFIGMAP, a_config(f"c{number}")) for number in range(3)]
            written_s = loop.time()
            [event] = await first
            assert (event.type, event.object, event.revision) == ("BOOKMARK", None, made[-1].revision)
            assert loop.time() - written_s == AFTER_S
            second = asyncio.ensure_future(anext(watch))
            await asyncio.sleep(10 * AFTER_S)
            assert not second.done(), "it knows all that there is to know"
            secret = await client.create(SECRET, a_config("s"))
            [event] = await second
            assert (event.type, event.revision) == ("ADDED", secret.revision)
            third = asyncio.ensure_future(anext(watch))
            await asyncio.sleep(2 * AFTER_S)
            assert not third.done(), "its own events told it already"
            await stopped(third)

    run(test)


def test_one_that_begins_behind_is_told_too() -> None:
    async def test(client: Client, loop: CountingLoop) -> None:
        begun = (await client.list(SECRET)).revision
        made = await client.create(CONFIGMAP, a_config("c"))
        async with aclosing(cast(Any, client.watch(SECRET, since=begun, fields="metadata.name=none"))) as watch:
            [event] = await anext(watch)
            assert (event.type, event.revision) == ("BOOKMARK", made.revision)

    run(test)


def test_watches_cost_no_timer_however_long_nothing_happens() -> None:
    async def test(client: Client, loop: CountingLoop) -> None:
        watches = []
        for kind in (SECRET, CONFIGMAP, NAMESPACE):
            since = (await client.list(kind)).revision
            watches.append(asyncio.ensure_future(anext(cast(Any, client.watch(kind, since=since)))))
        await asyncio.sleep(3600)  # what came before is told
        before = loop.turns
        await asyncio.sleep(365 * 86400)
        assert loop.turns - before == 1, "the sleep of this test alone"
        assert not any(watch.done() for watch in watches)
        await stopped(*watches)

    run(test)
