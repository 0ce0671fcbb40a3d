"""The raw connection behind an upgraded request, with back-pressure both ways and nothing lost that came early."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from navarch.wire.http_connection import Connection

BUFFER_BYTES = 262_144


class ConnectionTunnel:
    """A `wire.message.Tunnel` on a connection of our server. One reader and one writer at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pieces: list[bytes] = []
        self._size = 0
        self._ended = False
        self._waiter: asyncio.Future[None] | None = None

    def feed(self, data: bytes) -> None:
        """What the connection received."""
        self._pieces.append(data)
        self._size += len(data)
        if self._size >= BUFFER_BYTES:
            self._connection.set_reading(False)
        self._wake()

    def feed_end(self) -> None:
        self._ended = True
        self._wake()

    async def read(self) -> bytes:
        while not self._pieces:
            if self._ended:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        data = b"".join(self._pieces)
        self._pieces.clear()
        if self._size >= BUFFER_BYTES:
            self._connection.set_reading(True)
        self._size = 0
        return data

    async def write(self, data: bytes) -> None:
        """Raises: ConnectionResetError: the peer is gone."""
        if self._connection.lost:
            raise ConnectionResetError("the peer closed the tunnel")
        self._connection.send(data)
        await self._connection.drained()

    async def close(self) -> None:
        """Stop reading; the connection itself ends when the handler returns."""
        self.feed_end()

    def gone(self) -> bool:
        return self._ended or self._connection.hung_up

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
