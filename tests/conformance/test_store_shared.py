"""What a store promises that others write to as well: each test has two stores on one etcd."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import test_store
from test_store import new_prefix, taken

from navarch.base.errors import Expired
from navarch.store.etcd.connection import Away
from navarch.store.etcd.settings import Settings
from navarch.store.etcd.store import EtcdStore
from navarch.store.store import PROGRESS, Change, Guard, Overtaken, Stale, Store, fence

etcd, loop = test_store.etcd, test_store.loop
"""Fixtures."""


@pytest.fixture
def both(etcd: Settings, loop: asyncio.Runner) -> Callable[[Callable[[Store, Store], Awaitable[None]]], None]:
    async def play(scenario: Callable[[Store, Store], Awaitable[None]]) -> None:
        chosen = replace(etcd, prefix=new_prefix())
        one, two = await EtcdStore.open(chosen), await EtcdStore.open(chosen)
        try:
            await scenario(one, two)
        finally:
            await one.close()
            await two.close()

    return lambda scenario: loop.run(play(scenario))


Both = Callable[[Callable[[Store, Store], Awaitable[None]]], None]


def test_what_one_server_has_written_another_knows_to_be_the_newest(both: Both) -> None:
    async def scenario(one: Store, two: Store) -> None:
        seen: list[Change] = []

        async def follow(start: int) -> None:
            async for batch in two.watch(start):
                seen.extend(batch)

        async with asyncio.TaskGroup() as group:
            follower = group.create_task(follow(two.revision))
            await asyncio.sleep(0)
            for n in range(20):
                written = await one.put(f"/{n}", b"", 0)
                assert await two.newest() >= written
                assert two.revision >= written
                await asyncio.sleep(0)
                assert seen[-1].revision >= written
            follower.cancel()
        assert [change.key for change in seen if change.key != PROGRESS] == [f"/{n}" for n in range(20)]

    both(scenario)


@pytest.mark.parametrize("progress", [False, True])
def test_the_newest_is_proven_where_others_use_the_same_etcd(
    etcd: Settings, loop: asyncio.Runner, progress: bool
) -> None:
    """Writes under another prefix make revisions that no change of ours comes with."""

    async def scenario() -> None:
        ours = await EtcdStore.open(replace(etcd, prefix="/ours-of-two"))
        theirs = await EtcdStore.open(replace(etcd, prefix="/ours-of-two-others"))
        ours._follower._progress = progress
        try:
            start = ours.revision
            watch = ours.watch(start)
            for n in range(3):
                foreign = await theirs.put(f"/{progress}-{n}", b"", 0)
                assert await ours.newest() >= foreign
                (sign,) = await taken(watch, 1)
                assert (sign.key, sign.value) == (PROGRESS, None)
                assert sign.revision >= foreign
            assert (await ours.list("")).rows == [], "nobody else's keys, and none that the store keeps for itself"
        finally:
            await ours.close()
            await theirs.close()

    loop.run(scenario())


def test_a_guard_holds_back_what_was_decided_by_the_past(both: Both) -> None:
    async def scenario(one: Store, two: Store) -> None:
        at = await one.put("/space", b"here", 0)
        await one.put("/space/a", b"", 0, [Guard("/space", at)])
        gone = await two.put("/space", b"going", at)
        with pytest.raises(Overtaken):
            await one.put("/space/b", b"", 0, [Guard("/space", at)])
        assert await one.get("/space/b") is None
        await one.put("/space/b", b"", 0, [Guard("/space", gone)])
        with pytest.raises(Stale):
            await one.put("/space/b", b"", 0, [Guard("/space", gone)])

    both(scenario)


def test_of_many_decisions_behind_a_fence_each_knows_of_those_before(both: Both) -> None:
    """Two servers hand out the numbers 0 to 39, each by what it has seen."""

    async def scenario(one: Store, two: Store) -> None:
        async def take(store: Store, who: str) -> None:
            for n in range(20):
                while True:
                    at = await store.newest()
                    taken = {row.value for row in (await store.list("/numbers/")).rows}
                    free = next(number for number in range(40) if str(number).encode() not in taken)
                    try:
                        await store.put(
                            f"/numbers/{who}-{n}", str(free).encode(), 0, [Guard(fence("numbers"), at, passes=True)]
                        )
                        break
                    except Overtaken:
                        continue

        await asyncio.gather(take(one, "one"), take(two, "two"))
        rows = (await one.list("/")).rows
        assert sorted(int(row.value) for row in rows) == list(range(40))

    both(scenario)


def test_a_listing_of_many_pages_is_of_one_moment(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(one: Store, two: Store) -> None:
        monkeypatch.setattr("navarch.store.etcd.store.PAGE_ROWS", 7)
        written = [await one.put(f"/{n:03}", b"0", 0) for n in range(30)]

        async def disturb() -> None:
            for n in reversed(range(30)):
                await two.put(f"/{n:03}", b"1", written[n])

        async with asyncio.TaskGroup() as group:
            group.create_task(disturb())
            for _ in range(10):
                found = await one.list("")
                assert [row.key for row in found.rows] == [f"/{n:03}" for n in range(30)]
                changed = sum(row.value == b"1" for row in found.rows)
                assert all(row.value == b"1" for row in found.rows[30 - changed :]), "a moment that never was"

    both(scenario)


def test_a_watch_that_etcd_has_forgotten_is_expired(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(one: EtcdStore, two: EtcdStore) -> None:
        first = await one.put("/a", b"1", 0)
        await two.newest()
        watch = two.watch(first)

        async def away(*_: object) -> None:
            raise Away("planted")

        with monkeypatch.context() as planted:
            planted.setattr(two._follower, "_take", away)
            planted.setattr(two._connection, "stream", away)
            second = await one.put("/a", b"2", first)
            third = await one.put("/a", b"3", second)
            await one.compact(third)
        with pytest.raises(Expired):
            await asyncio.wait_for(anext(watch), 60)
        fourth = await one.put("/a", b"4", third)
        assert await two.newest() >= fourth
        assert (await two.list("")).rows[0].revision == fourth

    both(scenario)
