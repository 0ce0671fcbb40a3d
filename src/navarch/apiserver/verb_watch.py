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
    limit_s = timeout_s if timeout_s else SHORTEST_S * (1 + state.ids.fraction())
    deadline = loop.time() + limit_s
    marked = loop.time()
    watcher = watch.watcher
    try:
        while True:
            wait_s = deadline - loop.time()
            if bookmark_s:
                wait_s = min(wait_s, marked + bookmark_s - loop.time())
            try:
                async with asyncio.timeout(max(wait_s, 0)):
                    found = await watcher.batch()
            except TimeoutError:
                if loop.time() >= deadline:
                    return
                marked = loop.time()
                yield [], state.feed.revision
                continue
            if not found:
                return
            yield found, state.feed.revision
    finally:
        watcher.leave()
