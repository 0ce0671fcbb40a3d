"""A connection that this process opened, plain or secured, as a `wire.message.Tunnel`: on the socket itself.

Whoever is handed bytes on must get all of them. asyncio's transports throw away what has come and was not read yet when
a write fails, and under TLS when the peer says goodbye: a runtime that has said all and leaves does both.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import ssl
import struct
import termios
from contextlib import suppress

from navarch.wire.hangup import is_over

READ_BYTES = 65_536
LINGER_S = 5.0
"""How long a connection that is closed may still take to send what was written; then the peer is told that it broke."""
_AT_ONCE = struct.pack("ii", 1, 0)


async def connect(host: str, port: int, tls: ssl.SSLContext | None = None, server_name: str = "") -> SocketTunnel:
    """server_name: what the certificate must be for. Raises: OSError."""
    loop = asyncio.get_running_loop()
    (family, kind, protocol, _, address), *_ = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    connecting = socket.socket(family, kind, protocol)
    try:
        connecting.setblocking(False)
        connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(connecting, address)
        if tls is None:
            return SocketTunnel(connecting)
        secured = SecuredTunnel(connecting, tls, server_name or host)
        await secured.shake_hands()
    except BaseException:
        connecting.close()
        raise
    return secured


class SocketTunnel:
    """One reader and one writer at a time, beside each other."""

    halves = True
    """Whether the peer may end its side and still listen."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._loop = asyncio.get_running_loop()
        self._early = b""
        self._closed = False

    async def until(self, mark: bytes, most_bytes: int) -> bytes:
        """All up to the mark, and it. Raises: IncompleteReadError, LimitOverrunError, OSError."""
        found, self._early = self._early, b""
        while mark not in found:
            if len(found) > most_bytes:
                raise asyncio.LimitOverrunError(f"no end within {most_bytes} bytes", len(found))
            found += await self._more(found)
        before, _, self._early = found.partition(mark)
        return before + mark

    async def exactly(self, count: int) -> bytes:
        """Raises: IncompleteReadError, OSError."""
        while len(self._early) < count:
            self._early += await self._more(self._early)
        found, self._early = self._early[:count], self._early[count:]
        return found

    async def _more(self, before: bytes) -> bytes:
        data = await self._receive()
        if not data:
            raise asyncio.IncompleteReadError(before, None)
        return data

    async def read(self) -> bytes:
        if self._early:
            data, self._early = self._early, b""
            return data
        try:
            return await self._receive()
        except OSError:  # reset, or closed meanwhile
            return b""

    async def write(self, data: bytes) -> None:
        """Raises: ConnectionResetError: the peer is gone."""
        try:
            await self._send(data)
        except OSError as error:
            raise ConnectionResetError(f"the connection is closed: {error}") from error

    async def _receive(self) -> bytes:
        """Raises: OSError."""
        return b"" if self._closed else await self._loop.sock_recv(self._socket, READ_BYTES)

    async def _send(self, data: bytes) -> None:
        """Raises: OSError."""
        if self._closed:
            raise ConnectionResetError("it was closed on this side")
        await self._loop.sock_sendall(self._socket, data)

    async def close(self) -> None:
        """What was written still goes; whoever waits for more is told that it is over."""
        if self._closed:
            return
        self._closed = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if self._unsent_bytes():
            self._loop.call_later(LINGER_S, self._abort)
        else:
            self._socket.close()

    def _unsent_bytes(self) -> int:
        try:
            return int.from_bytes(fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(4)), "little")
        except OSError:
            return 0

    def _abort(self) -> None:
        if self._unsent_bytes():
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self._socket.close()

    def gone(self) -> bool:
        return self._closed or is_over(self._socket, halves=self.halves)


class SecuredTunnel(SocketTunnel):
    halves = False

    def __init__(self, connected: socket.socket, context: ssl.SSLContext, server_name: str) -> None:
        super().__init__(connected)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self._turn = asyncio.Lock()
        """Records go out in the order in which they were made."""

    async def shake_hands(self) -> None:
        """Raises: OSError (ssl.SSLError among them)."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                if not await self._fed():
                    raise ConnectionResetError("the peer left during the handshake") from None
            else:
                await self._flush()
                return

    async def _fed(self) -> bool:
        """Whether more ciphertext came."""
        data = await super()._receive()
        self._incoming.write(data)
        return bool(data)

    async def _flush(self) -> None:
        async with self._turn:
            if self._outgoing.pending:
                await super()._send(self._outgoing.read())

    async def _receive(self) -> bytes:
        while True:
            try:
                return self._tls.read(READ_BYTES)
            except ssl.SSLWantReadError:
                if self._outgoing.pending:
                    await self._flush()
                if not await self._fed():
                    return b""
            except ssl.SSLZeroReturnError:
                return b""

    async def _send(self, data: bytes) -> None:
        sent = 0
        while sent < len(data):
            sent += self._tls.write(memoryview(data)[sent:])
        await self._flush()

    async def close(self) -> None:
        if not self._closed:
            with suppress(ssl.SSLError, OSError):  # the goodbye, if it fits; the peer's own is not waited for
                self._tls.unwrap()
            with suppress(OSError):
                if not self._turn.locked():
                    self._socket.send(self._outgoing.read())
        await super().close()
