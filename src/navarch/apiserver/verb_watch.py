"""watch: what was missed, then every change, as batches of frames.

The frames of one tick are handed over together. A bookmark says up to where everything was delivered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable, Sequence
from typing import Any

from navarch.apiserver.options import WatchOptions
from navarch.apiserver.selection import Selection
from navarch.apiserver.state import State, face
from navarch.apiserver.verb_read import as_new_as
from navarch.apiserver.watchers import Frame, Watcher
from navarch.kinds.kind import Kind

BOOKMARK_S = 60.0
SHORTEST_S = 1800.0
INITIAL_SLICE = 256
TICK_S = 0.01
"""Timers of the loop may fire this much early."""


class Watch:
    """One watch, joined. revision: everything up to it is in `first`."""

    def __init__(self, first: Sequence[Any], revision: int, watcher: Watcher, initial: bool) -> None:
        self.first = first
        self.revision = revision
        self.watcher = watcher
        self.initial = initial


async def join(state: State, kind: Kind, namespace: str, options: WatchOptions, form: Hashable, frame: Frame) -> Watch:
    """Raises: BadRequest; Expired, when changes after `options.since` are no longer known."""
    selection = Selection(kind, namespace, options.labels, options.fields)
    cache = state.cache(kind)
    if cache.kind is not kind:
        form, frame = (form, kind.api_version), _through(kind, frame)
    begins = options.initial if options.initial is not None else not options.since
    await as_new_as(state, None if options.initial and not options.since else options.since)
    if begins:
        present = cache.select(selection)
        _, watcher = cache.join(selection, form, frame, None)
        first = [frame("ADDED", found) for found in present]
    else:
        missed, watcher = cache.join(selection, form, frame, options.since or None)
        first = [frame(*event) for event in missed]
    return Watch(first, state.feed.revision, watcher, bool(options.initial))


def _through(kind: Kind, frame: Frame) -> Frame:
    """Frames of a kind that is another face of the stored one."""
    return lambda type_, found: frame(type_, face(kind, found))


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
                yield found, state.feed.revision
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
