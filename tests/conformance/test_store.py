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
from navarch.store.etcd.settings import Settings
from navarch.store.etcd.store import EtcdStore
from navarch.store.memory import MemoryStore
from navarch.store.sqlite import SqliteStore
from navarch.store.store import Change, Stale, Store

sys.path.insert(0, str(Path(__file__).parents[1] / "robustness"))

from etcdprocess import etcd_running

Scenario = Callable[[Store], Awaitable[None]]
STORES = ["memory", "sqlite", "etcd"]
_prefixes = count()


def new_prefix() -> str:
    return f"/test-{next(_prefixes)}"


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with etcd_running(tmp_path_factory.mktemp("etcd")) as process:
        yield Settings((process.url,), compaction_s=0)


async def made(name: str, folder: Path, etcd: Settings) -> Store:
    """A new one; on etcd under a prefix of its own."""
    if name == "etcd":
        return await EtcdStore.open(replace(etcd, prefix=new_prefix()))
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
    async with asyncio.timeout(60):
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
