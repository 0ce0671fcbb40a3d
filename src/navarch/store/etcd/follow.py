"""Follows etcd: one watch over the prefix, whose changes go into a window; reopened where it was when it breaks.

How far the watch is matters as much as what it says: whoever needs a revision waits here for it. Where the newest write
to etcd was somebody else's, under another prefix, no change of ours comes with that revision. Then the watch is asked
for its progress, if etcd can be trusted with the answer: before 3.4.31 and 3.5.13 it may say that it is further than
what it has delivered. Older ones are given a write to our own key, which comes back in order like any other.

Source: https://etcd.io/docs/v3.4/learning/api/#watch-streams, https://github.com/etcd-io/etcd/issues/15220
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from navarch.base.errors import ApiError, Unavailable
from navarch.base.log import Log
from navarch.store.etcd.connection import RETRY_AFTER_S, Away, Connection, Doubt, Stream, revision
from navarch.store.store import OWN, PROGRESS, Change, Row
from navarch.store.window import Window
from navarch.wire import etcd

log = Log("store.etcd")

AGAIN_S = (0.05, 0.1, 0.2, 0.5, 1.0)
NUDGE_S = 0.02
NUDGE_MOST_S = 1.0
PATIENCE_S = 10.0
TRUSTED = ((3, 4, 31), (3, 5, 13), (3, 6, 0))
"""The first releases of their lines whose progress can be trusted; later lines all can."""


def trusted(version: str) -> bool:
    """Whether an etcd of this version says its progress after what it delivers."""
    try:
        major, minor, patch = (int(part.partition("-")[0]) for part in version.split(".")[:3])
    except ValueError:
        return False
    lines = {first[:2]: first for first in TRUSTED}
    first = lines.get((major, minor))
    return (major, minor, patch) >= first if first else (major, minor) > max(lines)


class Follower:
    """prefix: of all keys, as bytes; keys in changes are without it. progress: may its answers be trusted."""

    def __init__(self, connection: Connection, window: Window, prefix: bytes, start: int, progress: bool) -> None:
        self._connection = connection
        self._window = window
        self._prefix = prefix
        self._progress = progress
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._foreign: list[asyncio.Future[None]] = []
        self._wanted = asyncio.Event()
        self._stream: Stream | None = None
        """Once etcd has said that the watch is set up."""
        self.watching = asyncio.Event()
        self.trouble = ""
        """Why nothing is heard of etcd at present."""
        self.revision = start

    async def reached(self, due: int, *, ours: bool) -> None:
        """Returns when every watcher has been handed what there is up to revision `due`. ours: it is known to be a
        change of our own keys, so that it comes by itself.

        Raises: Unavailable, when etcd does not deliver it in time.
        """
        if self.revision >= due:
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((due, waiting))
        if not ours:
            self._foreign.append(waiting)
            self._wanted.set()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await waiting
        except TimeoutError:
            why = f"etcd has not delivered revision {due} within {PATIENCE_S:g} s; the watch is at {self.revision}"
            raise Unavailable(why, retry_after_s=RETRY_AFTER_S) from None

    def close(self) -> None:
        for _, waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(Unavailable("the store is closed"))
        self._waiting.clear()

    async def run(self) -> None:
        """Until cancelled."""
        failures = 0
        while True:
            before = self.revision
            try:
                await self._follow()
            except (Away, Doubt, ApiError) as error:
                failures = 0 if self.revision > before else failures + 1
                self.trouble = str(error)
                log.warning("the watch of etcd broke, it goes on where it was", at=self.revision, error=str(error))
                await asyncio.sleep(AGAIN_S[min(failures, len(AGAIN_S) - 1)])

    async def _follow(self) -> None:
        create = etcd.WatchCreateRequest(
            key=self._prefix,
            range_end=etcd.range_end(self._prefix),
            start_revision=self.revision + 1,
            progress_notify=True,
            prev_kv=True,
        )
        stream = await self._connection.stream(etcd.WATCH, etcd.WatchRequest(create_request=create), etcd.WatchResponse)
        try:
            going = True
            while going:
                said = await stream.read()
                going = await self._take(stream, said)
        finally:
            self._stream = None
            stream.cancel()

    async def _take(self, stream: Stream, said: Any) -> bool:
        """Whether the watch goes on."""
        if said.canceled:
            if not said.compact_revision:
                raise Away(f"etcd ended the watch: {said.cancel_reason}")
            now = await revision(self._connection, self._prefix)
            log.warning("etcd has forgotten what came next; everything is read anew", at=self.revision, now=now)
            self._window.restart(now)
            self._at(now)
            return False
        if said.created:
            self._stream = stream
            self.trouble = ""
            self.watching.set()
        if said.events:
            self._publish(said.events)
        elif not said.created and self._progress and said.header.revision > self.revision:
            self._window.publish((_sign(said.header.revision),))
            self._at(said.header.revision)
        return True

    def _publish(self, events: Sequence[Any]) -> None:
        """Changes as etcd tells them, all of each revision together. One write may bring keys of our own along."""
        cut = len(self._prefix) - 1  # the slash stays
        newest = events[-1].kv.mod_revision
        changes = [change for event in events if (change := changed(event, cut)) is not None]
        if not changes or changes[-1].revision < newest:
            changes.append(_sign(newest))
        self._window.publish(changes)
        self._at(newest)

    def _at(self, reached: int) -> None:
        self.revision = reached
        if self._waiting:
            late = []
            for due, waiting in self._waiting:
                if due > reached:
                    late.append((due, waiting))
                elif not waiting.done():
                    waiting.set_result(None)
            self._waiting = late

    async def nudge(self) -> None:
        """Until cancelled: bring the watch forward where somebody waits and nothing comes."""
        pause_s = NUDGE_S
        while True:
            await self._wanted.wait()
            before = self.revision
            await asyncio.sleep(pause_s)
            self._foreign = [one for one in self._foreign if not one.done()]
            if not self._foreign:
                self._wanted.clear()
                pause_s = NUDGE_S
            elif self.revision == before and self._stream is not None:
                await self._ask_on(self._stream)
                pause_s = min(pause_s * 2, NUDGE_MOST_S)

    async def _ask_on(self, stream: Stream) -> None:
        try:
            if self._progress:
                await stream.send(etcd.WatchRequest(progress_request=etcd.WatchProgressRequest()))
            else:
                key = self._prefix + PROGRESS[1:].encode()
                put = etcd.RequestOp(request_put=etcd.PutRequest(key=key))
                await self._connection.once(etcd.TXN, etcd.TxnRequest(success=[put]), etcd.TxnResponse)
        except (Away, Doubt, ApiError) as error:
            log.info("etcd was not asked how far it is", error=str(error))


def changed(event: Any, cut: int) -> Change | None:
    """What an event tells of one of our keys; None for those that the store keeps for itself. cut: how many bytes of
    etcd's keys are not part of ours."""
    now = event.kv
    key = now.key[cut:].decode()
    if key.startswith(OWN):
        return None
    before = event.prev_kv
    previous = Row(key, before.value, before.mod_revision, before.create_revision) if before.mod_revision else None
    return Change(key, now.mod_revision, now.value if event.type == etcd.PUT else None, previous)


def _sign(reached: int) -> Change:
    return Change(PROGRESS, reached, None, None)
