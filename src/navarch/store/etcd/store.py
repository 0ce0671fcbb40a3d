"""The seam `Store` on etcd: revisions are etcd's own, a write is one transaction that compares and puts.

Keys are kept under a prefix, so that others may use the same etcd; revisions then have gaps. Everything that is written
comes back by the one watch of `follow`, also what other servers wrote, and a write returns when its own change has, so
that reader and watcher here see it no later than its writer.

A read is proven to be the newest by etcd itself: `newest` asks for its revision in a read that a majority of the
members confirms, and waits until the watch is as far. Who asks while such a read is under way shares the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from navarch.base.errors import ApiError, Expired, GatewayTimeout, Unavailable
from navarch.base.log import Log
from navarch.store.etcd.compaction import Compactor, forget
from navarch.store.etcd.connection import ATTEMPT_S, RETRY_AFTER_S, Away, Connection, Doubt, revision
from navarch.store.etcd.follow import Follower, trusted
from navarch.store.etcd.settings import Settings
from navarch.store.store import OWN, Change, Guard, Listing, Overtaken, Row, Stale
from navarch.store.window import Window
from navarch.wire import etcd

log = Log("store.etcd")

PAGE_ROWS = 1000
LIST_ATTEMPTS = 5


class EtcdStore:
    """Implements `store.Store` and `store.Reporting`. Open it with `EtcdStore.open` on the loop that will use it."""

    def __init__(self, settings: Settings, connection: Connection, prefix: bytes, start: int, version: str) -> None:
        self._settings = settings
        self._connection = connection
        self._prefix = prefix
        self._cut = len(prefix) - 1
        self._window = Window(start)
        self._follower = Follower(connection, self._window, prefix, start, trusted(version))
        self._readers: list[asyncio.Future[int]] = []
        self._asked = asyncio.Event()
        self._closed = False
        self._work: asyncio.Task[None] = asyncio.get_running_loop().create_task(self._run(), name="etcd")

    @classmethod
    async def open(cls, settings: Settings) -> EtcdStore:
        """Raises: Unavailable, when no member answers; BadEndpoint."""
        connection = Connection(settings)
        prefix = settings.prefix.strip("/").encode()
        prefix = b"/" + prefix + b"/" if prefix else b"/"
        try:
            start = await revision(connection, prefix)
            version = await _version(connection)
        except BaseException:
            await connection.close()
            raise
        store = cls(settings, connection, prefix, start, version)
        try:
            async with asyncio.timeout(ATTEMPT_S):
                await store._follower.watching.wait()
        except TimeoutError:
            await store.close()
            raise Unavailable(f"etcd lets nobody watch {prefix.decode()}", retry_after_s=RETRY_AFTER_S) from None
        return store

    async def _run(self) -> None:
        """Until cancelled, or until a bug ends it: then every watch ends, and who follows the store notices."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follower.run())
                group.create_task(self._follower.nudge())
                group.create_task(self._confirm())
                if self._settings.compaction_s:
                    group.create_task(self._compact())
        except* Exception as bugs:
            log.exception("the store on etcd stopped", error=repr(bugs.exceptions))
        finally:
            self._closed = True
            self._window.close()
            self._follower.close()
            for reader in self._readers:
                if not reader.done():
                    reader.set_exception(Unavailable("the store is closed"))

    @property
    def shared(self) -> bool:
        return True

    @property
    def revision(self) -> int:
        return self._follower.revision

    def trouble(self) -> str:
        return self._follower.trouble

    async def close(self) -> None:
        if not self._work.done():
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)
        await self._connection.close()

    # Reads.

    async def newest(self) -> int:
        if self._closed:
            raise Unavailable("the store is closed")
        reader: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._readers.append(reader)
        self._asked.set()
        found = await reader
        await self._follower.reached(found, ours=False)
        return found

    async def _confirm(self) -> None:
        """Until cancelled: ask etcd for its revision whenever there are readers, for all of them at once."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            readers, self._readers = self._readers, []
            try:
                found = await revision(self._connection, self._prefix)
            except ApiError as error:
                for reader in readers:
                    if not reader.done():
                        reader.set_exception(type(error)(error.message, retry_after_s=error.retry_after_s))
            else:
                for reader in readers:
                    if not reader.done():
                        reader.set_result(found)

    async def get(self, key: str) -> Row | None:
        request = etcd.RangeRequest(key=self._key(key))
        kvs = (await self._connection.ask(etcd.RANGE, request, etcd.RangeResponse)).kvs
        return self._row(kvs[0]) if kvs else None

    async def list(self, prefix: str) -> Listing:
        """Raises: Unavailable, when etcd forgets the revision again and again before everything was read."""
        for _ in range(LIST_ATTEMPTS):
            try:
                return await self._list(self._key(prefix) if prefix else self._prefix)
            except Expired:
                continue
        raise Unavailable("etcd is compacted faster than it can be read", retry_after_s=RETRY_AFTER_S)

    async def _list(self, first: bytes) -> Listing:
        """Page after page, all of the revision of the first."""
        rows: list[Row] = []
        at, start, end = 0, first, etcd.range_end(first)
        while True:
            request = etcd.RangeRequest(key=start, range_end=end, limit=PAGE_ROWS, revision=at)
            found = await self._connection.ask(etcd.RANGE, request, etcd.RangeResponse)
            at = at or found.header.revision
            rows.extend(row for row in map(self._row, found.kvs) if not row.key.startswith(OWN))
            if not found.more:
                return Listing(rows, at)
            start = found.kvs[-1].key + b"\0"

    def watch(self, since: int) -> AsyncIterator[Sequence[Change]]:
        return self._window.watch(since)

    # Writes.

    async def put(self, key: str, value: bytes, expect: int, guards: Sequence[Guard] = ()) -> int:
        at = self._key(key)
        doing = [etcd.RequestOp(request_put=etcd.PutRequest(key=at, value=value))]
        compare = [etcd.Compare(result=etcd.EQUAL, target=etcd.MOD, key=at, mod_revision=expect)]
        for guard in guards:
            behind = self._key(guard.key)
            compare.append(etcd.Compare(result=etcd.LESS, target=etcd.MOD, key=behind, mod_revision=guard.at + 1))
            if guard.passes:
                doing.append(etcd.RequestOp(request_put=etcd.PutRequest(key=behind)))
        return await self._commit(key, expect, value, compare, doing)

    async def delete(self, key: str, expect: int) -> int:
        if expect == 0:
            raise Stale(key, 0, 0)
        at = self._key(key)
        doing = [etcd.RequestOp(request_delete_range=etcd.DeleteRangeRequest(key=at))]
        compare = [etcd.Compare(result=etcd.EQUAL, target=etcd.MOD, key=at, mod_revision=expect)]
        return await self._commit(key, expect, None, compare, doing)

    async def _commit(self, key: str, expect: int, value: bytes | None, compare: Any, doing: Any) -> int:
        """A transaction that may be sent again: it holds only where it was not made before.

        Raises: Stale, Overtaken; GatewayTimeout, when it may have been made or not.
        """
        if self._closed:
            raise Unavailable("the store is closed")
        found = etcd.RequestOp(request_range=etcd.RangeRequest(key=self._key(key)))
        request = etcd.TxnRequest(compare=compare, success=doing, failure=[found])
        doubt: Exception | None = None
        async for last in self._connection.attempts():
            try:
                answer = await self._connection.once(etcd.TXN, request, etcd.TxnResponse)
                break
            except (Away, Doubt) as error:
                doubt = error if isinstance(error, Doubt) else doubt
                if last and doubt:
                    raise _unknown(doubt) from None
                if last:
                    raise Unavailable(f"nothing was written: {error}", retry_after_s=RETRY_AFTER_S) from None
            except ApiError:
                if doubt:
                    raise _unknown(doubt) from None
                raise
        made: int = answer.header.revision
        if not answer.succeeded:
            made = self._refused(key, expect, value, answer.responses[0].response_range.kvs, doubt)
        try:
            await self._follower.reached(made, ours=True)
        except Unavailable as late:
            raise GatewayTimeout(f"written, but not seen yet: {late.message}", retry_after_s=RETRY_AFTER_S) from None
        return made

    def _refused(self, key: str, expect: int, value: bytes | None, kvs: Any, doubt: Exception | None) -> int:
        """Why the transaction did not hold; the revision of the write if it was made by an attempt before.

        Raises: Stale, Overtaken, GatewayTimeout.
        """
        actual: int = kvs[0].mod_revision if kvs else 0
        if doubt and actual != expect:
            if kvs and value is not None and kvs[0].value == value:
                return actual
            raise _unknown(doubt)
        if actual == expect:
            raise Overtaken(key)
        raise Stale(key, expect, actual)

    # Forgetting.

    async def compact(self, revision: int) -> None:
        self._window.forget(revision)
        await forget(self._connection, revision)

    async def _compact(self) -> None:
        """Until cancelled: take part in making etcd forget."""
        compactor = Compactor(self._connection, self._prefix)
        while True:
            await compactor.turn()
            await asyncio.sleep(self._settings.compaction_s)

    def _key(self, key: str) -> bytes:
        return self._prefix + key.removeprefix("/").encode()

    def _row(self, found: Any) -> Row:
        return Row(found.key[self._cut :].decode(), found.value, found.mod_revision, found.create_revision)


def _unknown(doubt: Exception) -> GatewayTimeout:
    return GatewayTimeout(
        f"the outcome of the write is unknown: {doubt}; read the object before writing it again",
        retry_after_s=RETRY_AFTER_S,
    )


async def _version(connection: Connection) -> str:
    """Of the member that answers; "" where it does not tell (its users may have no right to ask)."""
    try:
        found: str = (await connection.ask(etcd.STATUS, etcd.StatusRequest(), etcd.StatusResponse)).version
    except ApiError as error:
        log.info("etcd does not tell its version; it is taken for an old one", error=error.message)
        return ""
    return found
