"""What every store promises (see `navarch.store.store`), checked on each implementation."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from navarch.base.errors import Expired, Unavailable
from navarch.store.etcd.connection import Away
from navarch.store.etcd.settings import Settings
from navarch.store.etcd.store import EtcdStore
from navarch.store.memory import MemoryStore
from navarch.store.sqlite import SqliteStore
from navarch.store.store import PROGRESS, Change, Guard, Overtaken, Stale, Store, fence

sys.path.insert(0, str(Path(__file__).parents[1] / "robustness"))

from etcdprocess import etcd_running

Scenario = Callable[[Store], Awaitable[None]]
STORES = ["memory", "sqlite", "etcd"]
_prefixes = count()


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with etcd_running(tmp_path_factory.mktemp("etcd")) as process:
        yield Settings((process.url,), compaction_s=0)


async def made(name: str, folder: Path, etcd: Settings) -> Store:
    """A new one; on etcd under a prefix of its own."""
    if name == "etcd":
        return await EtcdStore.open(replace(etcd, prefix=f"/test-{next(_prefixes)}"))
    return MemoryStore() if name == "memory" else await SqliteStore.open(folder / "state.db")


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    """One for all tests: gRPC's own thread outlives a loop and would speak to one that is closed."""
    with asyncio.Runner() as runner:
        yield runner


@asynccontextmanager
async def opened(name: str, folder: Path, etcd: Settings) -> AsyncIterator[Store]:
    store = await made(name, folder, etcd)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture(params=STORES)
def run(
    request: pytest.FixtureRequest, tmp_path: Path, etcd: Settings, loop: asyncio.Runner
) -> Callable[[Scenario], None]:
    async def play(scenario: Scenario) -> None:
        async with opened(request.param, tmp_path, etcd) as store:
            await scenario(store)

    return lambda scenario: loop.run(play(scenario))


async def taken(watch: AsyncIterator[Sequence[Change]], count: int) -> list[Change]:
    found: list[Change] = []
    async with asyncio.timeout(5):
        while len(found) < count:
            found.extend(await anext(watch))
    return found


def test_a_new_store_is_empty(run: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        assert store.revision >= 1
        assert store.revision == 1 or store.shared
        assert await store.newest() == store.revision
        assert await store.get("/a") is None
        assert (await store.list("")).rows == []

    run(scenario)


def test_a_write_gets_the_next_revision_and_is_read_back(run: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        start = store.revision
        first = await store.put("/a", b"1", 0)
        second = await store.put("/b", b"2", 0)
        third = await store.put("/a", b"3", first)
        assert [first, second, third] == [start + 1, start + 2, start + 3]
        row = await store.get("/a")
        assert row is not None
        assert (row.value, row.revision, row.created) == (b"3", third, first)
        assert store.revision == await store.newest() == third

    run(scenario)


@pytest.mark.parametrize(("key", "expect", "actual"), [("/a", 0, 2), ("/a", 1, 2), ("/a", 3, 2), ("/none", 2, 0)])
def test_a_stale_write_changes_nothing(run: Callable[[Scenario], None], key: str, expect: int, actual: int) -> None:
    async def scenario(store: Store) -> None:
        before = store.revision - 1
        first = await store.put("/a", b"1", 0)
        with pytest.raises(Stale) as caught:
            await store.put(key, b"2", before + expect if expect else 0)
        assert caught.value.actual == (before + actual if actual else 0)
        with pytest.raises(Stale):
            await store.delete(key, before + expect if expect else 0)
        assert store.revision == await store.newest() == first
        assert [row.value for row in (await store.list("")).rows] == [b"1"]

    run(scenario)


def test_a_deleted_key_may_be_made_again(run: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        revision = await store.put("/a", b"1", 0)
        assert await store.delete("/a", revision) == revision + 1
        assert await store.get("/a") is None
        assert await store.put("/a", b"2", 0) == revision + 2
        row = await store.get("/a")
        assert row is not None
        assert row.created == revision + 2

    run(scenario)


def test_a_list_has_the_prefix_in_key_order(run: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        start = store.revision
        for key in ("/pods/b/1", "/pods/a/2", "/podsx/a", "/nodes/a", "/pods/a/1"):
            await store.put(key, key.encode(), 0)
        listing = await store.list("/pods/")
        assert [row.key for row in listing.rows] == ["/pods/a/1", "/pods/a/2", "/pods/b/1"]
        assert listing.revision == start + 5

    run(scenario)


def test_of_many_writers_with_one_expectation_one_wins(run: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        revision = await store.put("/a", b"0", 0)
        results = await asyncio.gather(
            *(store.put("/a", str(n).encode(), revision) for n in range(200)), return_exceptions=True
        )
        assert [r for r in results if isinstance(r, int)] == [revision + 1]
        assert sum(isinstance(r, Stale) for r in results) == 199

    run(scenario)


def test_a_watch_replays_then_follows(run: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        first = await store.put("/a", b"1", 0)
        second = await store.put("/a", b"2", first)
        watch = store.watch(first)
        assert [c.revision for c in await taken(watch, 1)] == [second]
        third = await store.delete("/a", second)
        (gone,) = await taken(watch, 1)
        assert (gone.revision, gone.value) == (third, None)
        assert gone.previous is not None
        assert (gone.previous.value, gone.previous.revision) == (b"2", second)

    run(scenario)


def test_a_watcher_has_the_change_when_its_writer_is_told(run: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        seen: list[int] = []
        start = store.revision

        async def follow() -> None:
            async for batch in store.watch(start):
                seen.extend(change.revision for change in batch)

        async with asyncio.TaskGroup() as group:
            follower = group.create_task(follow())
            await asyncio.sleep(0)
            for n in range(20):
                revision = await store.put(f"/{n}", b"", 0)
                await asyncio.sleep(0)
                assert seen[-1] == revision
            follower.cancel()

    run(scenario)


def test_compaction_ends_old_watches_with_expired(run: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        first = await store.put("/a", b"1", 0)
        second = await store.put("/a", b"2", first)
        await store.compact(first)
        with pytest.raises(Expired):
            await anext(store.watch(first - 1))
        assert [c.revision for c in await taken(store.watch(first), 1)] == [second]

    run(scenario)


def test_a_window_that_overflows_says_expired(run: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        revision = start = store.revision
        for _ in range(66):
            writes = [store.put(f"/{revision}-{n}", b"", 0) for n in range(64)]
            revision = max(await asyncio.gather(*writes))
        with pytest.raises(Expired):
            await anext(store.watch(start))
        assert len(await taken(store.watch(revision - 100), 100)) == 100

    run(scenario)


def test_closing_ends_watches_and_refuses_writes(run: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        async def count() -> int:
            return len([batch async for batch in store.watch(start)])

        start = store.revision

        async with asyncio.TaskGroup() as group:
            counting = group.create_task(count())
            await asyncio.sleep(0)
            await store.put("/a", b"", 0)
            await store.close()
        assert counting.result() == 1
        with pytest.raises(Unavailable):
            await store.put("/b", b"", 0)

    run(scenario)


STEPS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["put", "delete", "stale"]), st.binary(max_size=3)), max_size=25
)


@pytest.mark.parametrize("name", STORES)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_replaying_a_watch_gives_what_a_list_gives(
    name: str,
    tmp_path_factory: pytest.TempPathFactory,
    etcd: Settings,
    loop: asyncio.Runner,
    steps: list[tuple[str, str, bytes]],
) -> None:
    async def play() -> None:
        async with opened(name, tmp_path_factory.mktemp("store"), etcd) as store:
            start = store.revision
            replayed: dict[str, tuple[bytes, int]] = {}
            held: dict[str, int] = {}
            for key, act, value in steps:
                expect = held.get(key, 0) + (99 if act == "stale" else 0)
                try:
                    if act == "delete":
                        await store.delete(f"/{key}", expect)
                        del held[key]
                    else:
                        held[key] = await store.put(f"/{key}", value, expect)
                except Stale:
                    assert act != "put"
            if store.revision > start:
                for change in await taken(store.watch(start), store.revision - start):
                    if change.value is None:
                        del replayed[change.key]
                    else:
                        replayed[change.key] = (change.value, change.revision)
            assert {row.key: (row.value, row.revision) for row in (await store.list("")).rows} == replayed

    loop.run(play())


# What a store promises that others write to as well; each test has two of them on one etcd.


@pytest.fixture
def both(etcd: Settings, loop: asyncio.Runner) -> Callable[[Callable[[Store, Store], Awaitable[None]]], None]:
    async def play(scenario: Callable[[Store, Store], Awaitable[None]]) -> None:
        chosen = replace(etcd, prefix=f"/test-{next(_prefixes)}")
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
            await asyncio.wait_for(anext(watch), 10)
        fourth = await one.put("/a", b"4", third)
        assert await two.newest() >= fourth
        assert (await two.list("")).rows[0].revision == fourth

    both(scenario)
