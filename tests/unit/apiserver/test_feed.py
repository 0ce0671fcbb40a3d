"""Waiting for revisions: each waiter goes on when the caches have what he waits for, and not before."""

from __future__ import annotations

import asyncio

import pytest

from navarch.apiserver.feed import Feed
from navarch.base.errors import Unavailable
from navarch.store.memory import MemoryStore


def test_waiters_go_on_in_the_order_of_their_revisions() -> None:
    async def run() -> None:
        store = MemoryStore()
        feed = Feed(store, [], lambda kind, change: None, lambda: None)
        await feed.load()
        gone: list[int] = []

        async def wait(revision: int) -> None:
            await feed.reached(revision)
            assert feed.revision >= revision
            gone.append(revision)

        first = store.revision + 1
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            waiting = [group.create_task(wait(first + offset)) for offset in (2, 0, 1, 2, 0)]
            left = group.create_task(wait(first + 1))
            late = group.create_task(wait(first + 50))
            await asyncio.sleep(0)
            left.cancel()
            following = group.create_task(feed.run())
            assert await store.put("/core/pods/a", b"{}", 0) == first
            await waiting[1]
            assert gone == [first, first]
            await store.put("/core/pods/b", b"{}", 0)
            await store.put("/core/pods/c", b"{}", 0)
            await asyncio.gather(*waiting)
            assert gone == [first, first, first + 1, first + 2, first + 2]
            feed.close()
            with pytest.raises(Unavailable):
                await feed.reached(first + 60)
            following.cancel()
            late.cancel()

    asyncio.run(run())
