"""The server with weaknesses planted, to prove that the robustness tests can fail, and faults that a test can switch.

`weak_server.py WEAKNESS[,WEAKNESS...] DATA RUN`; see `WEAKNESSES`, and `eio=FILE`: every sync fails for as long as FILE
exists, which is no weakness but a fault.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apsw

from navarch.apiserver import verb_read
from navarch.apiserver.watchers import Channel
from navarch.app import server
from navarch.app.process import run_process
from navarch.store import sqlite
from navarch.store.etcd import follow
from navarch.store.etcd.follow import Follower
from navarch.store.etcd.store import EtcdStore
from navarch.store.sqlite import Settings, SqliteStore
from navarch.store.store import Change

planted = Settings()


class FailingFile(apsw.VFSFile):
    def __init__(self, flag: Path, name: object, flags: object) -> None:
        super().__init__("", name, flags)  # type: ignore[arg-type]
        self.flag = flag

    def xSync(self, flags: int) -> None:
        if self.flag.exists():
            raise apsw.IOError("planted: the disk failed")
        super().xSync(flags)


class FailingVfs(apsw.VFS):
    def __init__(self, flag: Path) -> None:
        self.flag = flag
        super().__init__("failing", "")

    def xOpen(self, name: object, flags: object) -> FailingFile:
        return FailingFile(self.flag, name, flags)


def never_waits_for_the_disk() -> None:
    global planted
    planted = Settings(synchronous="NORMAL")


def acknowledges_before_the_commit() -> None:
    """Many batches share one transaction, and their writers do not wait for its end."""
    batches = itertools.count()

    def commit(self: SqliteStore, batch: Sequence[Any], revision: int) -> int:
        execute = self._writer.execute
        if self._writer.getautocommit():
            execute("BEGIN IMMEDIATE")
        for write in batch:
            write.outcome = self._apply(execute, write, revision + 1)
            if isinstance(write.outcome, Change):
                revision = write.outcome.revision
        execute("UPDATE meta SET value=? WHERE name='revision'", (revision,))
        if next(batches) % 8 == 7:
            execute("COMMIT")
        return revision

    SqliteStore._commit = commit  # type: ignore[method-assign]


def ignores_errors_of_the_disk() -> None:
    """What failed is acknowledged as if it had not."""
    real = SqliteStore._commit

    def commit(self: SqliteStore, batch: Sequence[Any], revision: int) -> int:
        revision = real(self, batch, revision)
        for write in batch:
            if isinstance(write.outcome, sqlite.ApiError):
                revision += 1
                write.outcome = Change(write.key, revision, write.value, None)
        return revision

    SqliteStore._commit = commit  # type: ignore[method-assign]


def stays_refusing() -> None:
    """After the first error of the disk it never writes again."""
    real = SqliteStore._transact

    def transact(self: SqliteStore, batch: Sequence[Any], revision: int) -> int:
        if getattr(self, "broken", False):
            raise apsw.FullError("planted: still full")
        try:
            return real(self, batch, revision)
        except apsw.Error:
            self.broken = True  # type: ignore[attr-defined]
            raise

    SqliteStore._transact = transact  # type: ignore[method-assign]


def compares_no_revision() -> None:
    """Of two writers with the same expectation, the later one wins."""
    real: Callable[..., Any] = SqliteStore._apply

    def apply(execute: Any, write: Any, revision: int) -> Any:
        found = execute("SELECT revision FROM rows WHERE key=?", (write.key,)).fetchone()
        write.expect = found[0] if found else 0
        return real(execute, write, revision)

    SqliteStore._apply = staticmethod(apply)  # type: ignore[method-assign,assignment]


def delivers(times: int) -> Callable[[], None]:
    """Each twentieth event comes not at all, or twice."""

    def plant() -> None:
        real, events = Channel.publish, itertools.count(1)

        def publish(self: Channel, change: Any, farewell: Any) -> None:
            for _ in range(times if next(events) % 20 == 0 else 1):
                real(self, change, farewell)

        Channel.publish = publish  # type: ignore[method-assign]

    return plant


def reads_its_own_cache() -> None:
    """What other servers on the same store have written is read when it comes, which takes a while."""

    async def as_new_as(state: Any, revision: int | None) -> None:
        return None

    verb_read.as_new_as = as_new_as
    real = Follower._take

    async def take(self: Follower, stream: Any, said: Any) -> bool:
        await asyncio.sleep(0.02)
        return await real(self, stream, said)

    Follower._take = take  # type: ignore[method-assign]


def misses_changes_of_etcd() -> None:
    """Each tenth change of the clients' objects that etcd tells of is let go; the server itself must come up."""
    real, told = follow.changed, itertools.count(1)

    def changed(event: Any, cut: int) -> Change | None:
        return None if b"/shared-" in event.kv.key and next(told) % 10 == 0 else real(event, cut)

    follow.changed = changed


def compares_nothing_in_etcd() -> None:
    """Of two writers with the same expectation, on whichever servers, the later one wins."""
    real: Callable[..., Any] = EtcdStore._commit

    async def commit(self: EtcdStore, key: str, expect: int, value: Any, compare: Any, doing: Any) -> Any:
        return await real(self, key, expect, value, [], doing)

    EtcdStore._commit = commit  # type: ignore[method-assign]


def forgets_often() -> None:
    """No weakness: changes are compacted away before the caches have read them."""
    real, batches = SqliteStore._finish, itertools.count(1)

    def finish(self: SqliteStore, batch: Sequence[Any]) -> None:
        real(self, batch)
        if next(batches) % 100 == 0:
            self._window.restart(self._revision)

    SqliteStore._finish = finish  # type: ignore[method-assign]


WEAKNESSES: dict[str, Callable[[], None]] = {
    "normal": never_waits_for_the_disk,
    "early": acknowledges_before_the_commit,
    "ignores": ignores_errors_of_the_disk,
    "refuses": stays_refusing,
    "overwrites": compares_no_revision,
    "skips": delivers(0),
    "repeats": delivers(2),
    "stale": reads_its_own_cache,
    "misses": misses_changes_of_etcd,
    "overwrites-etcd": compares_nothing_in_etcd,
    "compacts": forgets_often,
}

weaknesses, *arguments = sys.argv[1:]
for weakness in weaknesses.split(","):
    if weakness.startswith("eio="):
        vfs = FailingVfs(Path(weakness.removeprefix("eio=")))
        planted = Settings(vfs="failing")
    else:
        WEAKNESSES[weakness]()
sqlite.Settings = lambda: planted  # type: ignore[assignment,misc]
sys.exit(run_process(arguments, server.serve))
