"""Who watches a kind, and what each is still owed.

Watchers with the same selection and the same form share a `Channel`: an event is matched and framed once for all of
them. A watcher's queue is bounded; one that does not keep up is closed, never silently skipped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Any

from navarch.apiserver.selection import FieldValues, Narrow, Selection
from navarch.client.client import EventType
from navarch.kinds.object import Object
from navarch.wire.message import Push

UNREAD_EVENTS = 16384

Frame = Callable[[EventType, Object], Any]
"""Makes of an event what a watcher is handed: bytes for HTTP, a `WatchEvent` in this process."""


class Change:
    """One event of one kind. object: after the change, None when deleted. gone: as it last was, at this revision."""

    __slots__ = ("_gone", "new", "object", "old", "place", "previous", "revision")

    def __init__(
        self, revision: int, place: str, object: Object | None, previous: Object | None, old: FieldValues | None
    ) -> None:
        self.revision = revision
        self.place = place
        self.object = object
        self.previous = previous
        self.old = old
        self.new: FieldValues | None = None
        self._gone: Object | None = None

    def gone(self, farewell: Callable[[Object, int], Object]) -> Object:
        if self._gone is None:
            assert self.previous is not None
            self._gone = farewell(self.previous, self.revision)
        return self._gone


def transition(
    change: Change, selection: Selection, farewell: Callable[[Object, int], Object]
) -> tuple[EventType, Object] | None:
    """What a change means to who watches `selection`: an object that stops matching is DELETED, for one."""
    now = change.object is not None and selection.matches(change.object, change.new)
    before = change.previous is not None and selection.matches(change.previous, change.old)
    if now:
        assert change.object is not None
        return ("MODIFIED" if before else "ADDED", change.object)
    return ("DELETED", change.gone(farewell)) if before else None


class Watcher:
    """One watch. `batch` hands out everything that came since the last call."""

    __slots__ = ("_channel", "_limit", "_pending", "_poked", "_waiting", "closed", "lost", "pipe", "push")

    def __init__(self, channel: Channel, limit: int = UNREAD_EVENTS) -> None:
        self._channel = channel
        self._pending: list[Any] = []
        self._waiting: asyncio.Future[None] | None = None
        self._poked = False
        self._limit = limit
        self.lost = False
        self.closed = False
        self.pipe: Push | None = None
        """How to hand over an item without waking whoever waits in `batch`; for items that are bytes."""
        self.push: Push | None = None
        """The same, while somebody waits there and has been given everything before."""

    def offer(self, item: Any) -> None:
        if self.lost:
            return
        self.push = None
        if len(self._pending) >= self._limit:
            self.lost = True
            self._pending.clear()
        else:
            self._pending.append(item)
        if self._waiting is not None:
            self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def batch(self) -> list[Any]:
        """Waits for an item, the end (`over`) or a `poke`; [] in the last two cases."""
        if not self._pending and not self.over and not self._poked:
            self._waiting = asyncio.get_running_loop().create_future()
            self.push = self.pipe
            try:
                await self._waiting
            finally:
                self._waiting = self.push = None
        self._poked = False
        return self.take()

    @property
    def over(self) -> bool:
        """Nothing more will come: it was closed, or too slow."""
        return self.closed or self.lost

    def take(self) -> list[Any]:
        """What is there now, without waiting."""
        found, self._pending = self._pending, []
        return found

    def poke(self) -> None:
        """Let `batch` return, to look at the time."""
        self._poked = True
        self._wake()

    def end(self) -> None:
        """What was offered before is still handed out."""
        self.closed = True
        self._wake()

    def leave(self) -> None:
        """The watch is no longer wanted."""
        self.end()
        self._channel.drop(self)


class Channel:
    """All watchers of one selection in one form."""

    __slots__ = ("_switchboard", "frame", "key", "selection", "watchers")

    def __init__(self, switchboard: Switchboard, key: Hashable, selection: Selection, frame: Frame) -> None:
        self._switchboard = switchboard
        self.key = key
        self.selection = selection
        self.frame = frame
        self.watchers: list[Watcher] = []

    def publish(self, change: Change, farewell: Callable[[Object, int], Object]) -> None:
        found = transition(change, self.selection, farewell)
        if found:
            self._switchboard.events += len(self.watchers)
            item = self.frame(*found)
            for watcher in self.watchers:
                push = watcher.push
                if push is None or not push(item):
                    watcher.offer(item)

    def drop(self, watcher: Watcher) -> None:
        if watcher not in self.watchers:  # it left before; the key may be another channel's by now
            return
        self.watchers.remove(watcher)
        if not self.watchers:
            self._switchboard.remove(self)


class Switchboard:
    """All channels of one kind, found by the one requirement that is cheapest to look up."""

    def __init__(self) -> None:
        self._channels: dict[Hashable, Channel] = {}
        self._narrow: dict[Narrow | None, list[Channel]] = {}
        self._names: dict[tuple[str, str], int] = {}
        self.events = 0

    def __len__(self) -> int:
        return sum(len(channel.watchers) for channel in self._channels.values())

    @property
    def names(self) -> dict[tuple[str, str], int]:
        """What channels are found by: (namespace | label | field, name) -> how many."""
        return self._names

    @property
    def reads_fields(self) -> bool:
        return any(channel.selection.reads_fields for channel in self._channels.values())

    def join(self, selection: Selection, form: Hashable, frame: Frame) -> Watcher:
        key = (selection.key, form)
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = Channel(self, key, selection, frame)
            self._narrow.setdefault(selection.narrow, []).append(channel)
            if selection.narrow:
                name = selection.narrow[:2]
                self._names[name] = self._names.get(name, 0) + 1
        watcher = Watcher(channel)
        channel.watchers.append(watcher)
        return watcher

    def remove(self, channel: Channel) -> None:
        if self._channels.pop(channel.key, None) is None:
            return
        narrow = channel.selection.narrow
        group = self._narrow[narrow]
        group.remove(channel)
        if not group:
            del self._narrow[narrow]
        if narrow:
            name = narrow[:2]
            self._names[name] -= 1
            if not self._names[name]:
                del self._names[name]

    def channels(self, values: list[Narrow]) -> list[Channel]:
        """Those that a change may concern. values: what the object had or has for each of `names`, each once."""
        found = list(self._narrow.get(None, ()))
        for value in values:
            found.extend(self._narrow.get(value, ()))
        return found

    def end(self) -> None:
        """Close every watch."""
        for channel in list(self._channels.values()):
            for watcher in channel.watchers:
                watcher.end()
