"""watch: what was missed, then every change, as batches of frames.

The frames of one tick are handed over together. A bookmark says up to where everything was delivered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Hashable, Sequence
from typing import Any

from navarch.apiserver.options import WatchOptions
from navarch.apiserver.reply import pieces
from navarch.apiserver.selection import Selection
from navarch.apiserver.state import State, face
from navarch.apiserver.verb_read import as_new_as, light, matching
from navarch.apiserver.watchers import Frame, Watcher
from navarch.client.client import EventType
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.wire.message import Push

BOOKMARK_S = 60.0
SHORTEST_S = 1800.0
INITIAL_SLICE = 256
TICK_S = 0.01
"""Timers of the loop may fire this much early."""


Event = tuple[EventType, Object]
Through = Callable[[list[Event]], Awaitable[list[Any]]]


class Watch:
    """One watch, joined. revision: everything up to it is in `first`. through: makes frames of what the watcher has,
    where that takes time."""

    def __init__(
        self, first: Sequence[Any], revision: int, watcher: Watcher, initial: bool, through: Through | None = None
    ) -> None:
        self.through = through
        self.first = first
        self.revision = revision
        self.watcher = watcher
        self.initial = initial
        self.push: Push | None = None


class Body:
    """What is sent of a watch: `pieces`, and past them the events that come while nothing else is due."""

    def __init__(self, pieces: AsyncGenerator[bytes, None], watch: Watch) -> None:
        self._pieces = pieces
        self._watch = watch

    def pipe(self, push: Push) -> None:
        if self._watch.through is None:
            self._watch.push = push

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces

    async def __anext__(self) -> bytes:
        return await anext(self._pieces)

    async def aclose(self) -> None:
        await self._pieces.aclose()


async def join(state: State, kind: Kind, namespace: str, options: WatchOptions, form: Hashable, frame: Frame) -> Watch:
    """Raises: BadRequest; Expired, when changes after `options.since` are no longer known."""
    selection = Selection(kind, namespace, options.labels, options.fields)
    cache = state.cache(kind)
    if kind.conversion is not None:
        return await _join_converted(state, kind, selection, options, frame)
    if cache.kind is not kind:
        form, frame = (form, kind.api_version), _through(kind, frame)
    begins = options.initial if options.initial is not None else not options.since
    await as_new_as(state, None if options.initial and not options.since else options.since)
    revision = state.feed.revision  # what comes later comes as an event
    if begins:
        heavy = not light(state, selection)
        present = cache.select(Selection(kind, namespace) if heavy else selection)
        _, watcher = cache.join(selection, form, frame, None)
        first = await _initial(state, selection if heavy else None, present, frame, watcher)
    else:
        missed, watcher = cache.join(selection, form, frame, options.since or None)
        first = [frame(*event) for event in missed]
    return Watch(first, revision, watcher, bool(options.initial))


async def _initial(
    state: State, selection: Selection | None, present: Sequence[Object], frame: Frame, watcher: Watcher
) -> list[Any]:
    """Frames of what was there when the watch began, made in slices: ten thousand objects as protobuf take seconds.

    selection: by which the present objects have yet to be chosen.
    """
    first: list[Any] = []
    try:
        if selection is not None:
            present = await matching(state, selection, present)
        for piece in pieces(present):
            if first:
                await asyncio.sleep(0)
            first += [frame("ADDED", found) for found in piece]
    except BaseException:
        watcher.leave()
        raise
    return first


async def _join_converted(state: State, kind: Kind, selection: Selection, options: WatchOptions, frame: Frame) -> Watch:
    """Who watches a version that others convert to gets every event as it is stored, and has it converted in turn.

    Raises: BadRequest, Expired, ConversionFailed.
    """
    cache = state.cache(kind)
    chosen = Selection(kind, selection.namespace, options.labels) if selection.reads_fields else selection
    begins = options.initial if options.initial is not None else not options.since
    await as_new_as(state, None if options.initial and not options.since else options.since)
    before = begins or chosen is not selection
    present = cache.select(chosen, at=0 if begins else options.since or 0) if before else []
    missed, watcher = cache.join(chosen, "unconverted", _event, None if begins else options.since or None)
    revision = state.feed.revision
    converted = _Converted(state, kind, selection, frame)
    try:
        if not begins and selection.reads_fields:
            await converted.know(present)
        first = await converted.frames([("ADDED", one) for one in present] if begins else missed)
    except BaseException:
        watcher.leave()
        raise
    return Watch(first, revision, watcher, bool(options.initial), converted.frames)


def _event(type_: EventType, found: Object) -> Event:
    return type_, found


class _Converted:
    """Events in the version that is watched. Where fields of that version select, what matched is remembered."""

    def __init__(self, state: State, kind: Kind, selection: Selection, frame: Frame) -> None:
        self._state = state
        self._kind = kind
        self._selection = selection
        self._frame = frame
        self._matching: set[tuple[str, str]] = set()

    async def know(self, present: Sequence[Object]) -> None:
        """What was there before the first event. Raises: ConversionFailed."""
        found = await self._state.conversions.many(self._kind, present)
        self._matching = {one.key for one in found if self._selection.matches(one)}

    async def frames(self, events: list[Event]) -> list[Any]:
        """Raises: ConversionFailed."""
        found = await self._state.conversions.many(self._kind, [one for _, one in events])
        made: list[Any] = []
        for (type_, _), one in zip(events, found, strict=True):
            told = self._told(type_, one) if self._selection.reads_fields else type_
            if told is not None:
                made.append(self._frame(told, one))
        return made

    def _told(self, type_: EventType, found: Object) -> EventType | None:
        before = found.key in self._matching
        if type_ == "DELETED" or not self._selection.matches(found):
            self._matching.discard(found.key)
            return "DELETED" if before else None
        self._matching.add(found.key)
        return "MODIFIED" if before else "ADDED"


def _through(kind: Kind, frame: Frame) -> Frame:
    """Frames of a kind that is another face of the stored one."""
    return lambda type_, found: frame(type_, face(kind, found))


async def lasting(state: State, watch: Watch, told: int) -> AsyncGenerator[tuple[list[Any], int], None]:
    """As `batches`, for who is in this process: nobody cuts it short, and there is a bookmark only when some time has
    gone by since the revision went on without an event for this watch. told: up to where the watcher knows all."""
    watcher = watch.watcher
    state.bookmarks.join(watcher, told < state.feed.revision)
    try:
        while True:
            found = await watcher.batch()
            reached = state.feed.revision
            if found:
                yield (await watch.through(found) if watch.through else found), reached
            elif watcher.over:
                return
            elif told < reached:
                yield [], reached
            told = reached
    finally:
        state.bookmarks.leave(watcher)
        watcher.leave()


async def batches(
    state: State, watch: Watch, timeout_s: float | None, bookmark_s: float | None
) -> AsyncIterator[tuple[list[Any], int]]:
    """(frames, the revision they reach). No frames: time for a bookmark. Ends at the timeout, or when the watcher was
    too slow, or the server stops."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + (timeout_s if timeout_s else SHORTEST_S * (1 + state.ids.fraction()))
    watcher = watch.watcher
    timers = [loop.call_at(deadline, watcher.poke)]
    if bookmark_s:
        timers.append(loop.call_later(bookmark_s, watcher.poke))
    try:
        while True:
            found = await watcher.batch()
            if found:
                reached = state.feed.revision
                yield (await watch.through(found) if watch.through else found), reached
            elif watcher.over or loop.time() + TICK_S >= deadline:
                return
            elif bookmark_s:
                yield [], state.feed.revision
            if bookmark_s and timers[1].when() <= loop.time() + TICK_S:
                timers[1] = loop.call_later(bookmark_s, watcher.poke)
    finally:
        for timer in timers:
            timer.cancel()
        watcher.leave()
