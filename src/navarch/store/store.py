"""The seam between the API server and what remembers its objects.

A store holds bytes under keys and gives every write a revision of one counter that never goes back, not even over a
restart. It knows nothing of JSON or kinds. It keeps the present, not history: `watch` serves from a bounded window of
recent changes and says `Expired` beyond it, so that its size is bounded by what lives in it.

Promises, checked by `tests/conformance/test_store.py` on every implementation:

1. `put` and `delete` return only once the change would survive the loss of power (the memory store: of nothing).
2. One write, one revision; revisions are handed out in commit order without holes being visible as reordering.
3. `expect` is compared and the change made in one step: of two writers with the same `expect`, one gets `Stale`.
4. `watch(since)` yields every change after `since` exactly once and in order, or raises `Expired`.
5. A reader sees a write before its writer is told, and a watcher is handed it no later than the reply.
6. `newest` proves how new the store is, whoever else writes to it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol, runtime_checkable

import msgspec

OWN = "/navarch/"
"""Keys that stores keep for themselves start with this; lists leave them out."""
PROGRESS = OWN + "progress/"
"""The key of a change that nobody made: it says that a watch has come as far as its revision."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """One key at one moment. revision: of the last write to it; created: of the write that made it."""

    key: str
    value: bytes
    revision: int
    created: int


class Change(msgspec.Struct, frozen=True, gc=False):
    """One write. value: None when the key was deleted. previous: the row before it, None when the key is new."""

    key: str
    revision: int
    value: bytes | None
    previous: Row | None


class Stale(Exception):
    """The key is not at the revision that the writer expected; `actual` is what it is at (0: absent)."""

    def __init__(self, key: str, expected: int, actual: int) -> None:
        super().__init__(f"{key}: expected revision {expected}, is {actual}")
        self.key = key
        self.expected = expected
        self.actual = actual


class Guard(msgspec.Struct, frozen=True, gc=False):
    """A write holds only if nobody has written `key` after revision `at`. passes: the write itself then counts as one
    to `key`, so that of several writes behind the same guard each must know of those before it."""

    key: str
    at: int
    passes: bool = False


class Overtaken(Exception):
    """A guard did not hold: what the write was decided by is no longer so. Decide anew."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key}: somebody else has written what this write was decided by")
        self.key = key


def fence(name: str) -> str:
    """The key of a guard that stands for no object, for decisions that must be made one after another."""
    return f"{OWN}fences/{name}"


class Listing(msgspec.Struct, frozen=True, gc=False):
    """Rows in key order, all as they were at `revision`."""

    rows: Sequence[Row]
    revision: int


class Store(Protocol):
    """See the module's promises. Every method may raise `base.errors.StorageFull`, `Unavailable`, and `GatewayTimeout`
    where a write may have been made or not."""

    @property
    def shared(self) -> bool:
        """Whether others may write to it too. Where nobody does, guards are not needed and not looked at."""
        ...

    @property
    def revision(self) -> int:
        """Of the newest write that this store knows of; 1 for a store that was never written."""
        ...

    async def newest(self) -> int:
        """A revision not older than any write that was acknowledged before the call, to whomever; watches are handed a
        change with it or a later one, if need be one of the key `PROGRESS`."""
        ...

    async def get(self, key: str) -> Row | None: ...

    async def list(self, prefix: str) -> Listing:
        """All rows whose key starts with `prefix`, from one moment."""
        ...

    async def put(self, key: str, value: bytes, expect: int, guards: Sequence[Guard] = ()) -> int:
        """Write and return the new revision. expect: the key's present revision, 0 for "must not exist".

        Raises:
            Stale: the key is at another revision; nothing was written.
            Overtaken: a guard did not hold; nothing was written.
        """
        ...

    async def delete(self, key: str, expect: int) -> int:
        """Remove the key and return the revision of the removal.

        Raises:
            Stale: the key is at another revision, or absent (actual 0).
        """
        ...

    def watch(self, since: int) -> AsyncIterator[Sequence[Change]]:
        """Every change after revision `since`, in batches of what was committed together.

        Registers at the first `anext`. Ends when the store closes.

        Raises:
            base.errors.Expired: changes after `since` are no longer all known, or the watcher fell too far behind.
        """
        ...

    async def compact(self, revision: int) -> None:
        """Forget changes up to `revision`; watches from before it raise `Expired`."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class Reporting(Protocol):
    """A store that can tell how it is."""

    def trouble(self) -> str:
        """Why writes do not get through at present, "" while they do. Without asking the disk or the network."""
        ...
