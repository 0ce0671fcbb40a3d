"""A store that forgets everything at exit: for the cluster as a library and for simulation.

Everything happens on the caller's loop, without threads or IO, so that the same calls give the same history.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from navarch.base.errors import Unavailable
from navarch.store.store import Change, Guard, Listing, Row, Stale
from navarch.store.window import Window


class MemoryStore:
    """Implements `store.Store`."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._revision = 1
        self._window = Window(self._revision)
        self._closed = False

    @property
    def shared(self) -> bool:
        return False

    @property
    def revision(self) -> int:
        return self._revision

    async def newest(self) -> int:
        return self._revision

    async def get(self, key: str) -> Row | None:
        return self._rows.get(key)

    async def list(self, prefix: str) -> Listing:
        rows = sorted((row for key, row in self._rows.items() if key.startswith(prefix)), key=lambda row: row.key)
        return Listing(rows, self._revision)

    async def put(self, key: str, value: bytes, expect: int, guards: Sequence[Guard] = ()) -> int:
        previous = self._expected(key, expect)
        self._revision = revision = self._revision + 1
        value = bytes(memoryview(value))  # encoders leave room behind what they wrote, as much again
        self._rows[key] = Row(key, value, revision, previous.created if previous else revision)
        self._window.publish((Change(key, revision, value, previous),))
        return revision

    async def delete(self, key: str, expect: int) -> int:
        previous = self._expected(key, expect)
        if previous is None:
            raise Stale(key, expect, 0)
        self._revision = revision = self._revision + 1
        del self._rows[key]
        self._window.publish((Change(key, revision, None, previous),))
        return revision

    def watch(self, since: int) -> AsyncIterator[Sequence[Change]]:
        return self._window.watch(since)

    async def compact(self, revision: int) -> None:
        self._window.forget(revision)

    async def close(self) -> None:
        self._closed = True
        self._window.close()

    def _expected(self, key: str, expect: int) -> Row | None:
        if self._closed:
            raise Unavailable("the store is closed")
        row = self._rows.get(key)
        actual = row.revision if row else 0
        if actual != expect:
            raise Stale(key, expect, actual)
        return row
