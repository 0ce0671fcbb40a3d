"""The body of one request, handed on as it comes: of any size, and never more of it in memory than `BUFFER_BYTES` and
what the network gives at once.

For requests that somebody else answers. Whoever reads slowly slows the client down; whoever does not read to the end
gives the connection up, which `wire.http_connection` sees to.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Protocol

BUFFER_BYTES = 262_144
WHOLE_BYTES = 65_536
"""A body that says to be no longer is read as a whole: its request can be sent again, should a connection be stale."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Source(Protocol):
    """The connection that it comes from."""

    def set_reading(self, wanted: bool) -> None: ...

    def send(self, data: bytes) -> None: ...


class Body:
    """An asynchronous iterator for one reader. expected: the client sends nothing before it is asked to."""

    __slots__ = ("_expected", "_held_bytes", "_pieces", "_source", "_waiter", "ended", "error")

    def __init__(self, source: Source, expected: bool) -> None:
        self._source = source
        self._expected = expected
        self._pieces: deque[bytes] = deque()
        self._held_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self.ended = False
        """All of it has come, whether or not it was read."""
        self.error: Exception | None = None
        """Why its end will never come."""

    @property
    def held_bytes(self) -> int:
        return self._held_bytes

    # --- for the connection ---

    def feed(self, data: bytes) -> None:
        if self.error is not None:
            return
        self._pieces.append(data)
        self._held_bytes += len(data)
        if self._held_bytes >= BUFFER_BYTES:
            self._source.set_reading(False)
        self._wake()

    def end(self) -> None:
        self.ended = True
        self._wake()

    def fail(self, error: Exception) -> None:
        """Nothing more is heard of it, or wanted."""
        if not self.ended and self.error is None:
            self.error = error
            self._pieces.clear()
            self._held_bytes = 0
            self._wake()

    # --- for whoever reads it ---

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Raises: ConnectionError: the client is gone. ApiError: it broke its stream."""
        if self._expected:
            self._expected = False
            self._source.send(CONTINUE)
        while not self._pieces:
            if self.error is not None:
                raise self.error
            if self.ended:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        piece = self._pieces.popleft()
        full = self._held_bytes >= BUFFER_BYTES
        self._held_bytes -= len(piece)
        if full and self._held_bytes < BUFFER_BYTES:
            self._source.set_reading(True)
        return piece

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
