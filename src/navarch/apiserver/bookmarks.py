"""Reminds those who watch from this process, for as long as it lives, that the revision went on without them.

Organs watch some eighty kinds, most of which never change. A timer for each of them would be all that an idle server
does; so there is one for all, set only while somebody is behind. Watches over HTTP have their own (`verb_watch`).
"""

from __future__ import annotations

import asyncio

from navarch.apiserver.watchers import Watcher

AFTER_S = 300.0
"""From the first write that somebody may not have heard of until all are told how far things are."""


class Bookmarks:
    """`moved` with every step of the feed; who is in here is poked some time after it."""

    __slots__ = ("_timer", "_watchers")

    def __init__(self) -> None:
        self._watchers: dict[Watcher, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def moved(self) -> None:
        if self._timer is None and self._watchers:
            self._timer = asyncio.get_running_loop().call_later(AFTER_S, self._ring)

    def join(self, watcher: Watcher, behind: bool) -> None:
        """behind: the revision has gone on since it was told."""
        self._watchers[watcher] = None
        if behind:
            self.moved()

    def leave(self, watcher: Watcher) -> None:
        self._watchers.pop(watcher, None)
        if not self._watchers and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        for watcher in self._watchers:
            watcher.poke()
