"""Writers of one object in this server take turns, so that none is overtaken again and again.

The store's comparison of revisions stays what keeps writes apart (other servers know nothing of these turns).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from types import TracebackType

from navarch.apiserver import trace


class Turns:
    """`async with turns.of(key)`: first come, first served; nothing is kept of keys that nobody writes."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}

    def __len__(self) -> int:
        """How many keys are being written."""
        return len(self._waiting)

    def of(self, *key: Hashable) -> _Turn:
        return _Turn(self._waiting, key)


class _Turn:
    __slots__ = ("_key", "_left", "_waiting")

    def __init__(self, waiting: dict[Hashable, deque[asyncio.Future[None]]], key: Hashable) -> None:
        self._waiting = waiting
        self._key = key
        self._left = False

    def leave(self) -> None:
        """Let the next one have its turn already: this one has something to do that may take long."""
        if not self._left:
            self._left = True
            self._pass_on()

    async def __aenter__(self) -> _Turn:
        queue = self._waiting.get(self._key)
        if queue is None:
            self._waiting[self._key] = deque()
            return self
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(mine)
        came = mine.get_loop().time()
        try:
            await mine
            trace.note("waiting for other writers of the object", mine.get_loop().time() - came)
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self._pass_on()  # the turn had come already
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.leave()

    def _pass_on(self) -> None:
        queue = self._waiting[self._key]
        while queue:
            following = queue.popleft()
            if not following.done():
                following.set_result(None)
                return
        del self._waiting[self._key]
