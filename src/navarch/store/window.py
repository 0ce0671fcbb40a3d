"""The bounded window of recent changes from which stores serve their watchers.

A store publishes every commit here, in order, before it replies to the writers. The window knows nothing of how the
rows are kept. It bounds what a watcher may leave unread: one that falls behind is told `Expired`, never skipped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence

from navarch.base.errors import Expired
from navarch.store.store import Change

WINDOW_CHANGES = 1024
"""The API server's feed follows at once and keeps a window of its own for those who do not."""
UNREAD_CHANGES = 65536


class _Watcher:
    __slots__ = ("batches", "lost", "unread", "wake")

    def __init__(self) -> None:
        self.batches: deque[Sequence[Change]] = deque()
        self.unread = 0
        self.wake = asyncio.Event()
        self.lost = False


class Window:
    """start: the store's revision when the window opens; changes up to it cannot be watched."""

    def __init__(self, start: int, size: int = WINDOW_CHANGES, unread: int = UNREAD_CHANGES) -> None:
        self._floor = start
        self._revision = start
        self._size = size
        self._unread = unread
        self._recent: deque[Change] = deque()
        self._watchers: list[_Watcher] = []
        self._closed = False

    def publish(self, batch: Sequence[Change]) -> None:
        """Hand a commit to every watcher. Revisions must be above all that came before."""
        if not batch:
            return
        self._revision = batch[-1].revision
        self._recent.extend(batch)
        while len(self._recent) > self._size:
            self._floor = self._recent.popleft().revision
        for watcher in self._watchers:
            self._hand(watcher, batch)

    def forget(self, revision: int) -> None:
        """Drop changes up to `revision`."""
        while self._recent and self._recent[0].revision <= revision:
            self._recent.popleft()
        self._floor = max(self._floor, min(revision, self._revision))

    def restart(self, revision: int) -> None:
        """Changes were missed: begin anew after `revision`, and tell every watcher so."""
        self._recent.clear()
        self._floor = self._revision = revision
        for watcher in self._watchers:
            watcher.lost = True
            watcher.wake.set()

    def close(self) -> None:
        """End every watch."""
        self._closed = True
        for watcher in self._watchers:
            watcher.wake.set()

    async def watch(self, since: int) -> AsyncIterator[Sequence[Change]]:
        if since < self._floor:
            raise Expired(f"changes after revision {since} are no longer known (the oldest is {self._floor})")
        watcher = _Watcher()
        missed = [change for change in self._recent if change.revision > since]
        if missed:
            self._hand(watcher, missed)
        self._watchers.append(watcher)
        try:
            while True:
                while watcher.batches:
                    batch = watcher.batches.popleft()
                    watcher.unread -= len(batch)
                    fresh = batch if batch[0].revision > since else [c for c in batch if c.revision > since]
                    if fresh:
                        yield fresh
                if watcher.lost:
                    raise Expired(f"changes were missed, or the watcher left more than {self._unread} unread")
                if self._closed:
                    return
                watcher.wake.clear()
                await watcher.wake.wait()
        finally:
            self._watchers.remove(watcher)

    def _hand(self, watcher: _Watcher, batch: Sequence[Change]) -> None:
        if watcher.lost:
            return
        if watcher.unread + len(batch) > self._unread:
            watcher.lost = True
        else:
            watcher.unread += len(batch)
            watcher.batches.append(batch)
        watcher.wake.set()
