"""Work that grows with what a client sent, done beside the loop, so that everybody else is answered meanwhile.

A body of 3 MB takes seconds to be decoded, defaulted, owned and validated. That work is pure: it reads documents and
makes others. So for large bodies it is done in a thread; what reads or changes the state of the server stays on the
loop, in between. Small requests, which are nearly all, never come here (`LARGE_BYTES`).

There is one thread for the whole process: two of them would not be quicker, for one interpreter runs them, and the loop
would have to wait for both. How much may wait for it is bounded by `Aside`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from typing import ParamSpec, TypeVar

from navarch.apiserver import trace
from navarch.base import beside
from navarch.base.errors import TooMany

LARGE_BYTES = 65_536
"""What is larger than this is worked on beside the loop: at worst a second a megabyte, so that less takes no notice."""
HELD_BYTES = 24 << 20
"""Of large bodies, all together, that are worked on or wait for it: as much as is done within a request's time."""
USUAL_SWITCH_S = sys.getswitchinterval()
QUICK_SWITCH_S = 0.0005
"""How soon the thread makes way for the loop, which asks for it again at each of its steps."""

P = ParamSpec("P")
T = TypeVar("T")


class Aside:
    """inline: there are no threads in a simulation, where everything happens in one order."""

    def __init__(self, inline: bool = False, held_bytes: int = HELD_BYTES) -> None:
        self._inline = inline
        self._most = held_bytes
        self._held = 0
        self.done = 0
        """How many pieces of work were done beside the loop so far."""

    @contextmanager
    def holding(self, body_bytes: int) -> Iterator[Aside]:
        """Around all that is done with one large body. Raises: TooMany."""
        if self._held and self._held + body_bytes > self._most:
            raise TooMany("too many large requests, please try again later", retry_after_s=1)
        self._held += body_bytes
        try:
            yield self
        finally:
            self._held -= body_bytes

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the work returns. work: pure, of documents that nobody changes meanwhile; it goes on when the caller is
        cancelled. Raises: what it raises."""
        if self._inline:
            return work(*args, **kwargs)
        self.done += 1
        loop = asyncio.get_running_loop()
        came = loop.time()
        try:
            return await loop.run_in_executor(_thread(), _slowly, partial(work, *args, **kwargs))
        finally:
            trace.note(getattr(work, "__name__", "work").strip("_"), loop.time() - came)


@cache
def _thread() -> ThreadPoolExecutor:
    """Started with the first work."""
    return ThreadPoolExecutor(1, thread_name_prefix="aside")


def _slowly(work: Callable[[], T]) -> T:
    sys.setswitchinterval(QUICK_SWITCH_S)
    try:
        with beside.working():
            return work()
    finally:
        sys.setswitchinterval(USUAL_SWITCH_S)
