"""Events are news: an hour after their last write they are gone, and leave nothing behind.

Expiry is a deletion like any other (watchers see it), made by the server that holds the clock.
"""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import datetime, timedelta

from navarch.apiserver import keys
from navarch.apiserver.state import State
from navarch.base.clock import parse_rfc3339
from navarch.base.errors import ApiError
from navarch.base.log import Log
from navarch.kinds import EVENT
from navarch.kinds.event import last_seen
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.store.store import Change, Stale

log = Log("apiserver.expiry")

LIFE_S = 3600
RETRY_S = 60.0
TOGETHER = 64


class Expiry:
    """One entry for each write of an event, in order of time; entries of overwritten events are skipped when due."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._due: deque[tuple[datetime, str, int]] = deque()
        self._more = asyncio.Event()
        state.listeners.append(self._changed)
        state.loaded.append(self._load)

    def __len__(self) -> int:
        return len(self._due)

    def _load(self) -> None:
        """After a start nobody knows when the event was written, but it says when it happened."""
        now = self._state.clock.now()
        found = [
            (min(_happened(one) or now, now) + timedelta(seconds=LIFE_S), keys.place(*one.key), one.revision)
            for one in self._state.list(EVENT)
        ]
        self._due = deque(sorted(found))
        self._more.set()

    def _changed(self, kind: Kind, change: Change) -> None:
        if kind is EVENT and change.value is not None:
            due = self._state.clock.now() + timedelta(seconds=LIFE_S)
            self._due.append((due, keys.split(change.key)[1], change.revision))
            self._more.set()

    async def run(self) -> None:
        """Until cancelled. Sleeps until the oldest event is due, and for ever where there is none."""
        while True:
            if not self._due:
                self._more.clear()
                await self._more.wait()
                continue
            wait_s = (self._due[0][0] - self._state.clock.now()).total_seconds()
            if wait_s > 0:
                await self._state.clock.sleep(wait_s)
                continue
            doomed = self._doomed()
            try:
                await asyncio.gather(*(self._remove(one) for one in doomed))
            except ApiError as error:
                log.warning("events cannot be expired now", error=error.message, retry_s=RETRY_S)
                now = self._state.clock.now()
                self._due.extendleft((now, keys.place(*one.key), one.revision) for one in doomed)
                await self._state.clock.sleep(RETRY_S)

    def _doomed(self) -> list[Object]:
        """The next few that are due and were not written again."""
        now, cache = self._state.clock.now(), self._state.cache(EVENT)
        found: list[Object] = []
        while self._due and self._due[0][0] <= now and len(found) < TOGETHER:
            _, place, revision = self._due.popleft()
            present = cache.get(place)
            if present is not None and present.revision == revision:
                found.append(present)
        return found

    async def _remove(self, event: Object) -> None:
        try:
            await self._state.remove(event)
        except Stale:
            return  # written or deleted in this moment: not ours any more


def _happened(event: Object) -> datetime | None:
    document = event.document()
    seen = last_seen(document)
    if seen is None and (created := document["metadata"].get("creationTimestamp")):
        seen = parse_rfc3339(created)
    return seen
