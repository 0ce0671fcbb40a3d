"""The durable store when its disk fails, its log cannot be emptied, or a write is not what anybody foresaw."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from navarch.base.errors import StorageFull, Unavailable
from navarch.store import sqlite
from navarch.store.sqlite import Settings, SqliteStore
from navarch.store.store import Change
from navarch.store.upkeep import LOG_PAGES

from .faulty_vfs import FaultyVfs

Scenario = Callable[[SqliteStore, FaultyVfs], Awaitable[None]]


def played(path: Path, scenario: Scenario) -> dict[str, bytes]:
    """Run the scenario, and return what another process would find without the store having been closed properly."""
    vfs = FaultyVfs()

    async def play() -> dict[str, bytes]:
        store = await SqliteStore.open(path, Settings(vfs=vfs.name))
        await scenario(store, vfs)
        found = await reopened(path)
        vfs.fails.clear()
        await store.close()
        return found

    return asyncio.run(play())


async def reopened(path: Path) -> dict[str, bytes]:
    """What is found by whoever recovers from a copy of the files as they are now."""
    copy = path.with_name("copy.db")
    for end in ("", "-wal"):
        copy.with_name(copy.name + end).write_bytes(path.with_name(path.name + end).read_bytes())
    store = await SqliteStore.open(copy)
    rows = (await store.list("")).rows
    await store.close()
    return {row.key: row.value for row in rows}


@pytest.mark.parametrize(
    ("error", "refused"), [(apsw.IOError, Unavailable), (apsw.FullError, StorageFull)], ids=["EIO", "full"]
)
@pytest.mark.parametrize("what", ["sync", "write"])
def test_a_failing_log_refuses_and_recovers(
    tmp_path: Path, what: str, error: type[apsw.Error], refused: type[Exception]
) -> None:
    async def scenario(store: SqliteStore, vfs: FaultyVfs) -> None:
        first = await store.put("/a", b"1", 0)
        vfs.error = error
        vfs.fails.add((what, "-wal"))
        for key, expect in (("/b", 0), ("/a", first)):
            with pytest.raises(refused, match="the write did not reach the disk"):
                await store.put(key, b"lost", expect)
        row = await store.get("/a")
        assert row is not None
        assert row.value == b"1"
        assert store.revision == first
        vfs.fails.clear()
        assert await store.put("/c", b"3", 0) == first + 1

    assert played(tmp_path / "s.db", scenario) == {"/a": b"1", "/c": b"3"}


def test_a_log_that_cannot_be_emptied_refuses_nobody_and_is_emptied_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "s.db"
    sizes: list[int] = []

    async def fill(store: SqliteStore, start: int, count: int) -> None:
        for number in range(start, start + count):
            await store.put(f"/{number}", b"x" * 40_000, 0)

    async def scenario(store: SqliteStore, vfs: FaultyVfs) -> None:
        vfs.fails.add(("sync", "s.db"))
        await fill(store, 0, 220)
        sizes.append(path.with_name("s.db-wal").stat().st_size)
        vfs.fails.clear()
        for start in range(220, 580, 60):
            await fill(store, start, 60)
        sizes.append(path.with_name("s.db-wal").stat().st_size)

    with caplog.at_level(logging.INFO, "navarch.store"):
        found = played(path, scenario)
    assert len(found) == 580
    assert sizes[0] > 2 * LOG_PAGES * 4096, "the log was emptied although the database could not be synced"
    assert sizes[1] < sizes[0] + 2 * LOG_PAGES * 4096, "the log went on growing"
    said = [record.message for record in caplog.records]
    assert sum("cannot be emptied" in text for text in said) == 1
    assert sum("emptied again" in text for text in said) == 1


def test_a_log_stays_small_under_steady_writes(tmp_path: Path) -> None:
    path = tmp_path / "s.db"

    async def scenario(store: SqliteStore, vfs: FaultyVfs) -> None:
        revision = 0
        for _ in range(1200):
            revision = await store.put("/lease", b"x" * 3000, revision)
        assert path.with_name("s.db-wal").stat().st_size < 1.5 * LOG_PAGES * 4096

    played(path, scenario)
    assert path.stat().st_size < 100_000, "one row takes more than one row's room"


def test_large_values_share_no_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    commit = SqliteStore._commit

    def counted(self: SqliteStore, batch: Any, revision: int) -> int:
        seen.append(sum(len(write.value) for write in batch))
        return commit(self, batch, revision)

    monkeypatch.setattr(SqliteStore, "_commit", counted)

    async def scenario(store: SqliteStore, vfs: FaultyVfs) -> None:
        value = b"x" * (sqlite.BATCH_BYTES // 2)
        await asyncio.gather(*(store.put(f"/{n}", value, 0) for n in range(5)))
        await store.put("/big", b"x" * (sqlite.BATCH_BYTES + 1), 0)

    assert len(played(tmp_path / "s.db", scenario)) == 6
    assert seen == [sqlite.BATCH_BYTES, sqlite.BATCH_BYTES, sqlite.BATCH_BYTES // 2, sqlite.BATCH_BYTES + 1]


def test_a_write_that_nobody_foresaw_fails_alone(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore, vfs: FaultyVfs) -> None:
        unwritable = "/\ud800"
        results = await asyncio.gather(
            store.put("/a", b"1", 0), store.put(unwritable, b"2", 0), store.put("/b", b"3", 0), return_exceptions=True
        )
        assert results[0] == 2
        assert isinstance(results[1], UnicodeEncodeError)
        assert results[2] == 3
        assert await store.put("/c", b"4", 0) == 4

    assert played(tmp_path / "s.db", scenario) == {"/a": b"1", "/b": b"3", "/c": b"4"}


def test_the_writer_outlives_bugs_in_upkeep_and_publishing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(store: SqliteStore, vfs: FaultyVfs) -> None:
        def broken(*_: object) -> None:
            raise ZeroDivisionError("planted")

        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: None)
        store._upkeep.after_commit = broken  # type: ignore[method-assign]
        publish, store._window.publish = store._window.publish, broken  # type: ignore[method-assign]
        async with asyncio.timeout(60):
            assert await store.put("/a", b"1", 0) == 2
            store._window.publish = publish  # type: ignore[method-assign]
            assert await store.put("/b", b"2", 0) == 3

    assert played(tmp_path / "s.db", scenario) == {"/a": b"1", "/b": b"2"}
    assert "a bug while tidying the store" in caplog.text


def test_a_failed_rollback_is_met_by_the_next_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(store: SqliteStore, vfs: FaultyVfs) -> None:
        roll_back = SqliteStore._roll_back
        monkeypatch.setattr(SqliteStore, "_roll_back", lambda self: None)
        with pytest.raises(UnicodeEncodeError):
            await store.put("/\ud800", b"", 0)
        monkeypatch.setattr(SqliteStore, "_roll_back", roll_back)
        with pytest.raises(Unavailable):
            await store.put("/a", b"refused", 0)
        assert await store.put("/a", b"1", 0) == 2

    assert played(tmp_path / "s.db", scenario) == {"/a": b"1"}


def test_revisions_of_refused_writes_are_not_published(tmp_path: Path) -> None:
    async def scenario(store: SqliteStore, vfs: FaultyVfs) -> None:
        seen: list[Change] = []

        async def follow() -> None:
            async for batch in store.watch(1):
                seen.extend(batch)

        async with asyncio.TaskGroup() as group:
            following = group.create_task(follow())
            await asyncio.sleep(0)
            vfs.fails.add(("sync", "-wal"))
            with pytest.raises(Unavailable):
                await store.put("/a", b"lost", 0)
            vfs.fails.clear()
            await store.put("/a", b"1", 0)
            await asyncio.sleep(0)
            following.cancel()
        assert [(change.revision, change.value) for change in seen] == [(2, b"1")]

    played(tmp_path / "s.db", scenario)
