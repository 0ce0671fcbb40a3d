"""A cached, indexed copy of the objects of one kind, kept current by a list and a watch: what organs read from.

Reads are synchronous and see one consistent moment, `revision`. Nothing is polled: the cache moves when the watch
speaks. It shares the `Object`s that the client hands it and never copies one. What to do about a change is left to the
handlers; waiting for one's own writes to show up is offered here, since only the cache knows when they did.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from itertools import count
from typing import Any, cast

from navarch.base.backoff import delay_s
from navarch.base.clock import Clock
from navarch.base.errors import ApiError, Expired, Retryable
from navarch.base.log import Log
from navarch.base.tasks import BugReport
from navarch.client.client import Client, WatchEvent
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object

Key = tuple[str, str]
"""Namespace ("" for cluster-scoped objects) and name."""

Handler = Callable[[Object | None, Object | None], None]
"""Called with the object before and after a change: (None, new), (old, new) or (old, None). It must not block."""

IndexFunction = Callable[[Object], Iterable[str]]
"""The values that an object is found under; a pure function of the object."""

FIRST_DELAY_S = 0.05
LONGEST_DELAY_S = 10.0
LONGEST_AWAY_S = 2.0
"""While nobody answers at all: once a link is healed, what was missed is to be known within seconds."""
SHORT_WATCH_S = 1.0
FIRST_SLICE = 512
"""So many objects of the first list are taken in before others get their turn."""

_log = Log("client")
_bugs = BugReport(_log)


class _Index:
    """value -> keys of objects, in the order in which they were first seen."""

    __slots__ = ("entries", "function")

    def __init__(self, function: IndexFunction) -> None:
        self.function = function
        self.entries: dict[str, dict[Key, None]] = {}

    def move(self, key: Key, old: Object | None, new: Object | None) -> None:
        was = tuple(self.function(old)) if old is not None else ()
        now = tuple(self.function(new)) if new is not None else ()
        if was == now:
            return
        for value in was:
            if value not in now:
                self._drop(value, key)
        for value in now:
            self.entries.setdefault(value, {})[key] = None

    def _drop(self, value: str, key: Key) -> None:
        found = self.entries.get(value)
        if found is not None:
            found.pop(key, None)
            if not found:
                del self.entries[value]

    def keys(self, value: str) -> Iterable[Key]:
        return self.entries.get(value, ())


class Informer:
    """One kind (or the part of it that `namespace` and `fields` select). Made by `Informers.of`."""

    def __init__(self, client: Client, clock: Clock, kind: Kind, namespace: str = "", fields: str = "") -> None:
        self.kind = kind
        self.namespace = namespace
        self.fields = fields
        self.revision = 0
        """Everything up to it is in the cache; bookmarks move it too. 0 before the first list."""
        self.synced = asyncio.Event()
        self.relists = 0
        self._client = client
        self._clock = clock
        self._objects: dict[Key, Object] = {}
        self._namespaces = _Index(lambda found: (found.namespace,))
        self._owners = _Index(lambda found: found.owners)
        self._indexes: dict[str, _Index] = {}
        self._all_indexes = [self._namespaces, self._owners]
        self._handlers: list[Handler] = []
        self._order = count()
        self._reaching: list[tuple[int, int, Callable[[], None]]] = []
        self._leaving: dict[Key, list[tuple[str, Callable[[], None]]]] = {}
        self._relisted: list[Callable[[], None]] = []

    # reads

    def get(self, namespace: str, name: str) -> Object | None:
        return self._objects.get((namespace, name))

    def list(self, namespace: str = "") -> Sequence[Object]:
        """All objects, or those of one namespace, oldest in the cache first."""
        return self._at(self._namespaces.keys(namespace)) if namespace else list(self._objects.values())

    def owned_by(self, uid: str) -> Sequence[Object]:
        """Those that name `uid` among their owners, as controller or not."""
        return self._at(self._owners.keys(uid))

    def by(self, index: str, value: str) -> Sequence[Object]:
        """Those that the index function `index` files under `value`."""
        return self._at(self._indexes[index].keys(value))

    def each(self, index: str, value: str) -> Iterator[Object]:
        """The same one by one, for who may not need them all; to be gone through before the cache moves."""
        return (self._objects[key] for key in self._indexes[index].keys(value))

    def _at(self, keys: Iterable[Key]) -> Sequence[Object]:
        objects = self._objects
        return [objects[key] for key in keys] if keys else []

    def count(self, index: str, value: str) -> int:
        """How many `by` would give."""
        return len(self._indexes[index].entries.get(value, ()))

    def __len__(self) -> int:
        return len(self._objects)

    # set-up

    def index(self, name: str, function: IndexFunction) -> None:
        """Add a named index; the same name twice keeps the first."""
        if name in self._indexes:
            return
        made = self._indexes[name] = _Index(function)
        self._all_indexes.append(made)
        for key, found in self._objects.items():
            made.move(key, None, found)

    def subscribe(self, handler: Handler) -> None:
        """Hear of every change from now on, and first of everything that is there."""
        self._handlers.append(handler)
        for found in list(self._objects.values()):
            self._tell_one(handler, None, found)

    # waiting for what was written to be seen

    def has_reached(self, revision: int) -> bool:
        return self.revision >= revision

    def when_reached(self, revision: int, callback: Callable[[], None]) -> None:
        """Call once, when everything up to `revision` is in the cache (at once if it is)."""
        if self.revision >= revision:
            callback()
        else:
            heapq.heappush(self._reaching, (revision, next(self._order), callback))

    def has_lost(self, key: Key, uid: str) -> bool:
        found = self._objects.get(key)
        return found is None or found.uid != uid

    def when_lost(self, key: Key, uid: str, callback: Callable[[], None]) -> None:
        """Call once, when the object of that uid is no longer in the cache (at once if it is not)."""
        if self.has_lost(key, uid):
            callback()
        else:
            self._leaving.setdefault(key, []).append((uid, callback))

    def on_relist(self, callback: Callable[[], None]) -> None:
        """Call after every list: what came and went since the last one was told to nobody."""
        self._relisted.append(callback)

    # the loop

    async def run(self) -> None:
        """Keep the cache current until cancelled."""
        failures = 0
        stale = True
        while True:
            started = self._clock.monotonic()
            before = self.revision
            try:
                if stale:
                    await self._fill()
                    stale = False
                await self._follow()
            except Expired:
                stale = True
            except (ApiError, Retryable) as error:
                _log.warning("watch failed, will be tried again", kind=self.kind.resource, error=error)
                failures = 0 if self.revision != before else failures
                limit_s = LONGEST_AWAY_S if isinstance(error, Retryable) else LONGEST_DELAY_S
                await self._pause(failures, getattr(error, "after_s", 0.0), limit_s)
                failures += 1
                continue
            if self.revision != before or self._clock.monotonic() - started >= SHORT_WATCH_S:
                failures = 0
            else:
                await self._pause(failures)
                failures += 1

    async def _pause(self, failures: int, at_least_s: float = 0.0, limit_s: float = LONGEST_DELAY_S) -> None:
        await self._clock.sleep(max(at_least_s, delay_s(failures, FIRST_DELAY_S, limit_s)))

    async def _fill(self) -> None:
        """List, and tell the handlers what differs from what they know."""
        listing = await self._client.list(self.kind, self.namespace, fields=self.fields)
        self.relists += 1
        fresh = {found.key: found for found in listing.items}
        for key, old in list(self._objects.items()):
            new = fresh.get(key)
            if new is None or new.uid != old.uid:
                self._change(key, old, None)
        for number, (key, new) in enumerate(fresh.items(), 1):
            if number % FIRST_SLICE == 0 and not self.synced.is_set():
                await asyncio.sleep(0)  # nobody reads yet, and there may be a hundred thousand of them
            known = self._objects.get(key)
            if known is None or known.revision != new.revision:
                self._change(key, known, new)
        self._advance(listing.revision)
        for callback in self._relisted:
            callback()
        self.synced.set()

    async def _follow(self) -> None:
        watch = self._client.watch(self.kind, self.namespace, since=self.revision, fields=self.fields)
        async with aclosing(cast(Any, watch)) as batches:
            async for batch in batches:
                self._take(batch)

    def _take(self, batch: Sequence[WatchEvent]) -> None:
        for event in batch:
            found = event.object
            if found is not None:
                key = found.key
                old = self._objects.get(key)
                if event.type != "DELETED":
                    self._change(key, old, found)
                elif old is not None:
                    self._change(key, old, None)
            if event.revision > self.revision:
                self.revision = event.revision
        self._advance(self.revision)

    def _change(self, key: Key, old: Object | None, new: Object | None) -> None:
        """key: of both, which every index shares."""
        if new is not None:
            self._objects[key] = new
        elif old is not None:
            del self._objects[key]
        for index in self._all_indexes:
            index.move(key, old, new)
        for handler in self._handlers:
            self._tell_one(handler, old, new)
        if old is not None and self._leaving and (new is None or new.uid != old.uid):
            self._let_go(old)

    def _let_go(self, old: Object) -> None:
        waiting = self._leaving.pop(old.key, [])
        kept = [(uid, callback) for uid, callback in waiting if uid != old.uid]
        if kept:
            self._leaving[old.key] = kept
        for uid, callback in waiting:
            if uid == old.uid:
                callback()

    def _tell_one(self, handler: Handler, old: Object | None, new: Object | None) -> None:
        try:
            handler(old, new)
        except Exception as bug:  # noqa: BLE001 - reported with its traceback; the cache and the other handlers go on
            _bugs.report(f"handler of {self.kind.resource}", bug)

    def _advance(self, revision: int) -> None:
        self.revision = revision
        while self._reaching and self._reaching[0][0] <= revision:
            heapq.heappop(self._reaching)[2]()


class Informers:
    """One informer for each (kind, namespace, fields), all kept in one task group."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._informers: dict[tuple[Kind, str, str], Informer] = {}
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[Informer, asyncio.Task[None]] = {}

    def of(self, kind: Kind, namespace: str = "", fields: str = "") -> Informer:
        """The shared informer; made, and started if `run` is running, when it is the first asked for."""
        key = (kind, namespace, fields)
        found = self._informers.get(key)
        if found is None:
            found = self._informers[key] = Informer(self._client, self._clock, kind, namespace, fields)
            self._start(found)
        return found

    def _start(self, informer: Informer) -> None:
        if self._group is not None:
            self._tasks[informer] = self._group.create_task(informer.run())

    def drop(self, kind: Kind) -> None:
        """Stop following a kind that is served no longer; nothing happens where it is not followed."""
        for key in [key for key in self._informers if key[0] is kind]:
            task = self._tasks.pop(self._informers.pop(key), None)
            if task is not None:
                task.cancel()

    def release(self, informer: Informer) -> None:
        """Stop one that its only user needs no longer; asked for again it begins anew."""
        for key in [key for key, found in self._informers.items() if found is informer]:
            del self._informers[key]
        task = self._tasks.pop(informer, None)
        if task is not None:
            task.cancel()

    async def synced(self) -> None:
        """Return once every informer asked for so far holds a full list."""
        for informer in list(self._informers.values()):
            await informer.synced.wait()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                for informer in list(self._informers.values()):
                    self._start(informer)
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None
