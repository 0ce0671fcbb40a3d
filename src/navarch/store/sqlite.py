"""A durable store on SQLite: one writer thread, commits shared by whoever writes at the same time.

Writes queue up on the loop; the writer thread takes up to `BATCH` of them into one transaction and syncs once. When the
commit is on the disk the loop publishes all of its changes and then replies to each writer. Reads use a connection of
their own on the loop and go on during commits (WAL). `upkeep` keeps the files small, after the replies.

What a failed sync means: SQLite rolls the transaction back, its frames in the log are overwritten by the next one, and
frames that were synced before stay synced; so the writers are told that the outcome is unknown (`Unavailable`) and the
store goes on with the same connection. A connection opened anew might read the lost frames from the page cache as if
they were durable, so it is never reopened after a failure.

Source: https://www.sqlite.org/wal.html, https://www.sqlite.org/pragma.html
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import queue
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from navarch.base.errors import ApiError, StorageFull, Unavailable
from navarch.base.log import Log
from navarch.store.store import Change, Guard, Listing, Row, Stale
from navarch.store.upkeep import Upkeep
from navarch.store.window import Window

log = Log("store")

BATCH = 64
BATCH_BYTES = 4 << 20
"""Of values in one transaction (a larger one goes alone): bounds the log, and how long a small write waits."""
WAITING = 8192
STUCK_S = 10.0
"""A commit that takes longer is told of by the server's health checks."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
PRIVATE = 0o600

SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (
    key TEXT PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL, created INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO meta VALUES ('revision', 1), ('format', 1);
"""
REVISION = "SELECT value FROM meta WHERE name='revision'"
"""The newest that is on the disk."""
INSERT = "INSERT INTO rows VALUES (?,?,?,?) ON CONFLICT (key) DO NOTHING"
"""Says by how much it changed whether the key was free, so that new keys need not be looked up first."""


@dataclass(frozen=True, slots=True)
class Settings:
    """synchronous: SQLite's level; anything below FULL loses acknowledged writes when power fails.

    vfs: the name of a registered SQLite VFS, "" for the platform's.
    """

    synchronous: str = "FULL"
    vfs: str = ""
    cache_kib: int = 4096


class _Write:
    """value None deletes. outcome: set by the writer thread, read by the loop."""

    __slots__ = ("expect", "future", "key", "outcome", "value")

    def __init__(self, key: str, value: bytes | None, expect: int, future: asyncio.Future[int]) -> None:
        self.key = key
        self.value = value
        self.expect = expect
        self.future = future
        self.outcome: Change | Exception | None = None


class SqliteStore:
    """Implements `store.Store`. Open it with `SqliteStore.open` on the loop that will use it."""

    def __init__(self, path: Path, settings: Settings, lock: int) -> None:
        self._lock = lock
        self._reader = _connect(path, settings)
        self._writer = _connect(path, settings)
        self._reader.execute("PRAGMA query_only=ON")
        self._upkeep = Upkeep(self._writer)
        self._revision = int(self._reader.execute(REVISION).get)
        self._window = Window(self._revision)
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Write] = []
        self._sent_at = 0.0
        self._refused = ""
        self._busy = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False
        self._batches: queue.SimpleQueue[Sequence[_Write] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_batches, name="store", daemon=True)
        self._thread.start()

    @classmethod
    async def open(cls, path: Path, settings: Settings | None = None) -> SqliteStore:
        """Open or create the database. Only its owner can read it: Secrets are in it.

        Raises:
            Unavailable: another process has it open, or the file is no database.
        """
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = _lock(path.with_name(path.name + ".lock"))
        _keep_private(path)
        try:
            return cls(path, settings or Settings(), lock)
        except apsw.Error as error:
            os.close(lock)
            raise _refusal(error, f"cannot open the store {path}") from error

    @property
    def shared(self) -> bool:
        return False

    @property
    def revision(self) -> int:
        return self._revision

    async def newest(self) -> int:
        return self._revision

    async def get(self, key: str) -> Row | None:
        found = self._reader.execute("SELECT key, value, revision, created FROM rows WHERE key=?", (key,)).fetchone()
        return _row(found) if found else None

    async def list(self, prefix: str) -> Listing:
        above = prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else None
        sql = "SELECT key, value, revision, created FROM rows"
        with self._reader:  # rows and revision of one moment: a commit may be on the disk that is not published yet
            if above:
                found = self._reader.execute(sql + " WHERE key>=? AND key<? ORDER BY key", (prefix, above)).fetchall()
            else:
                found = self._reader.execute(sql + " ORDER BY key").fetchall()
            revision = int(self._reader.execute(REVISION).get)
        return Listing([_row(row) for row in found], revision)

    async def put(self, key: str, value: bytes, expect: int, guards: Sequence[Guard] = ()) -> int:
        return await self._submit(key, value, expect)

    async def delete(self, key: str, expect: int) -> int:
        if expect == 0:
            raise Stale(key, 0, 0)
        return await self._submit(key, None, expect)

    def watch(self, since: int) -> AsyncIterator[Sequence[Change]]:
        return self._window.watch(since)

    async def compact(self, revision: int) -> None:
        self._window.forget(revision)

    async def close(self) -> None:
        """Let queued writes finish, end all watches, and empty the log into the database file."""
        if self._closed:
            return
        self._closed = True
        await self._idle.wait()
        self._batches.put(None)
        await asyncio.to_thread(self._thread.join)
        self._window.close()
        self._reader.close()
        self._writer.close()
        os.close(self._lock)

    def trouble(self) -> str:
        """As `store.Reporting`: the last commit was refused by the disk, or the present one does not come back."""
        if not self._closed and not self._thread.is_alive():
            return "the writer has stopped"
        if self._busy and self._sent_at and (late_s := self._loop.time() - self._sent_at) > STUCK_S:
            return f"a commit has been waiting for the disk for {late_s:.0f} s"
        return self._refused

    def _submit(self, key: str, value: bytes | None, expect: int) -> asyncio.Future[int]:
        if self._closed:
            raise Unavailable("the store is closed")
        if len(self._waiting) >= WAITING:
            raise Unavailable(f"{WAITING} writes are waiting for the disk", retry_after_s=1)
        future: asyncio.Future[int] = self._loop.create_future()
        self._waiting.append(_Write(key, value, expect, future))
        if not self._busy:
            self._busy = True
            self._idle.clear()
            self._loop.call_soon(self._send)
        return future

    def _send(self) -> None:
        batch = self._next_batch()
        self._busy = bool(batch)
        if batch:
            self._sent_at = self._loop.time()
            self._batches.put(batch)
        else:
            self._idle.set()

    def _next_batch(self) -> Sequence[_Write]:
        count = size = 0
        for write in self._waiting[:BATCH]:
            size += len(write.value or b"")
            if count and size > BATCH_BYTES:
                break
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch

    # --- on the writer thread ---

    def _write_batches(self) -> None:
        while (batch := self._batches.get()) is not None:
            self._commit(batch, self._revision)
            try:
                self._loop.call_soon_threadsafe(self._finish, batch)
            except RuntimeError:
                return  # the loop is gone, and with it everybody who waits for an answer
            try:
                self._upkeep.after_commit(any(write.value is None for write in batch))
            except Exception as bug:  # without this thread nothing would be written any more
                log.exception("a bug while tidying the store", error=repr(bug))

    def _commit(self, batch: Sequence[_Write], revision: int) -> int:
        """Give every write of the batch its outcome; returns the newest revision that is on the disk.

        Never raises: a write that nobody foresaw is tried alone, fails alone, and with what it raised.
        """
        try:
            return self._transact(batch, revision)
        except apsw.Error as error:
            self._roll_back()
            refused = _refusal(error, "the write did not reach the disk", self._writer.system_errno)
            for write in batch:
                write.outcome = refused
        except Exception as bug:  # noqa: BLE001 - goes to the writers whose it is
            self._roll_back()
            if len(batch) > 1:
                for write in batch:
                    revision = self._commit([write], revision)
            else:
                batch[0].outcome = bug
        return revision

    def _transact(self, batch: Sequence[_Write], revision: int) -> int:
        execute = self._writer.execute
        execute("BEGIN IMMEDIATE")
        for write in batch:
            write.outcome = outcome = self._apply(execute, write, revision + 1)
            if isinstance(outcome, Change):
                revision = outcome.revision
        execute("UPDATE meta SET value=? WHERE name='revision'", (revision,))
        execute("COMMIT")
        return revision

    def _roll_back(self) -> None:
        """Also where SQLite has done so already. If even this fails, the next transaction meets it and tries again."""
        try:
            if not self._writer.getautocommit():
                self._writer.execute("ROLLBACK")
        except apsw.Error as error:
            log.error("the store cannot roll back", error=str(error))

    @staticmethod
    def _apply(execute: Any, write: _Write, revision: int) -> Change | Stale:
        if write.value is not None and not write.expect:
            made = execute(INSERT, (write.key, write.value, revision, revision))
            if made.connection.changes():
                return Change(write.key, revision, write.value, None)
        found = execute("SELECT key, value, revision, created FROM rows WHERE key=?", (write.key,)).fetchone()
        previous = _row(found) if found else None
        actual = previous.revision if previous else 0
        if actual != write.expect:
            return Stale(write.key, write.expect, actual)
        if write.value is None:
            execute("DELETE FROM rows WHERE key=?", (write.key,))
        else:
            execute("UPDATE rows SET value=?, revision=? WHERE key=?", (write.value, revision, write.key))
        return Change(write.key, revision, write.value, previous)

    # --- on the loop ---

    def _finish(self, batch: Sequence[_Write]) -> None:
        """Publish the whole commit, then answer each writer, whatever becomes of the others."""
        changes = [write.outcome for write in batch if isinstance(write.outcome, Change)]
        try:
            if changes:
                self._revision = changes[-1].revision
                self._window.publish(changes)
            failed = next((write.outcome for write in batch if isinstance(write.outcome, ApiError)), None)
            if changes or failed is not None:
                self._refused = failed.message if failed is not None else ""
        finally:
            self._answer(batch)
            self._send()

    @staticmethod
    def _answer(batch: Sequence[_Write]) -> None:
        for write in batch:
            if write.future.done():
                continue  # its writer was cancelled meanwhile; the write stands
            if isinstance(write.outcome, Change):
                write.future.set_result(write.outcome.revision)
            else:
                assert write.outcome is not None
                write.future.set_exception(write.outcome)


def _row(columns: Any) -> Row:
    key, value, revision, created = columns
    return Row(key, value, revision, created)


def _connect(path: Path, settings: Settings) -> apsw.Connection:
    connection = apsw.Connection(str(path), vfs=settings.vfs or None)
    connection.set_busy_timeout(5000)
    if connection.execute("PRAGMA page_count").get == 0:
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    connection.execute("PRAGMA journal_mode=WAL").fetchall()
    connection.execute(f"PRAGMA synchronous={settings.synchronous}")
    connection.execute(f"PRAGMA cache_size=-{settings.cache_kib}")
    connection.execute("PRAGMA journal_size_limit=8388608").fetchall()
    if connection.execute("SELECT count(*) FROM sqlite_master WHERE name='meta'").get == 0:
        connection.execute("BEGIN IMMEDIATE;" + SCHEMA + "COMMIT")
    return connection


def _keep_private(path: Path) -> None:
    """The files that SQLite makes beside the database get the modes that it has; those that are there are put right."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE))
    for file in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        if file.exists() and file.stat().st_mode & 0o077:
            file.chmod(PRIVATE)


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Unavailable(f"another process has the store open ({path}); stop it first") from None
    return descriptor


def _refusal(error: apsw.Error, what: str, number: int = 0) -> ApiError:
    """number: what the operating system said last, which belongs to `error` only if that is of input or output."""
    text = f"{what}: {type(error).__name__}: {error}"
    if isinstance(error, apsw.FullError) or (isinstance(error, apsw.IOError) and number in NO_ROOM):
        return StorageFull(f"{text}; free some space on the disk of the store, then try again", retry_after_s=1)
    return Unavailable(f"{text}; its outcome is unknown, read before you write again", retry_after_s=1)
