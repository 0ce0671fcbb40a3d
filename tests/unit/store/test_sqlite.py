"""What only the durable store does: it comes back as it was, has one owner, and gives freed pages back."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from navarch.base.errors import Unavailable
from navarch.store.sqlite import SqliteStore
from navarch.store.store import Row


def test_it_comes_back_with_rows_and_revision(tmp_path: Path) -> None:
    async def play() -> None:
        store = await SqliteStore.open(tmp_path / "s.db")
        kept = await store.put("/kept", b"1", 0)
        gone = await store.put("/gone", b"2", 0)
        last = await store.delete("/gone", gone)
        await store.close()
        again = await SqliteStore.open(tmp_path / "s.db")
        assert again.revision == last
        assert [(r.key, r.value, r.revision) for r in (await again.list("")).rows] == [("/kept", b"1", kept)]
        assert await again.put("/next", b"", 0) == last + 1
        await again.close()

    asyncio.run(play())


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    async def play() -> None:
        folder = tmp_path / "server"
        for _ in range(2):
            store = await SqliteStore.open(folder / "s.db")
            await store.put("/secret", b"1", (await store.get("/secret") or Row("", b"", 0, 0)).revision)
            assert {file.name for file in folder.iterdir()} >= {"s.db", "s.db-wal", "s.db-shm"}
            assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
            await store.close()
            (folder / "s.db").chmod(0o644)  # as an older version left it
        assert folder.stat().st_mode & 0o777 == 0o700

    before = os.umask(0)
    try:
        asyncio.run(play())
    finally:
        os.umask(before)


def test_a_second_owner_is_refused(tmp_path: Path) -> None:
    async def play() -> None:
        store = await SqliteStore.open(tmp_path / "s.db")
        with pytest.raises(Unavailable, match="another process has the store open"):
            await SqliteStore.open(tmp_path / "s.db")
        await store.close()

    asyncio.run(play())


def test_what_is_no_database_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "s.db").write_bytes(b"this is no database" * 100)

    with pytest.raises(Unavailable, match=r"cannot open the store .*s\.db"):
        asyncio.run(SqliteStore.open(tmp_path / "s.db"))


def test_the_file_shrinks_when_rows_go(tmp_path: Path) -> None:
    async def play() -> None:
        store = await SqliteStore.open(tmp_path / "s.db")
        revisions = await asyncio.gather(*(store.put(f"/{n}", b"x" * 3000, 0) for n in range(3000)))
        await asyncio.gather(*(store.delete(f"/{n}", revision) for n, revision in enumerate(revisions)))
        for n in range(50):  # each deletion gives back a bounded number of pages
            await store.delete("/again", await store.put("/again", str(n).encode(), 0))
        await store.close()

    asyncio.run(play())
    assert (tmp_path / "s.db").stat().st_size < 2_000_000


def test_a_cancelled_writer_does_not_undo_its_write(tmp_path: Path) -> None:
    async def play() -> None:
        store = await SqliteStore.open(tmp_path / "s.db")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await store.put("/a", b"1", 0)
        other = await store.put("/b", b"2", 0)
        assert other == store.revision
        row = await store.get("/a")
        assert row is None or row.value == b"1"
        await store.close()

    asyncio.run(play())


def test_closing_lets_queued_writes_finish(tmp_path: Path) -> None:
    async def play() -> None:
        store = await SqliteStore.open(tmp_path / "s.db")
        async with asyncio.TaskGroup() as group:
            writes = [group.create_task(store.put(f"/{n}", b"", 0)) for n in range(300)]
            await asyncio.sleep(0)
            await store.close()
        assert sorted(write.result() for write in writes) == list(range(2, 302))

    asyncio.run(play())
