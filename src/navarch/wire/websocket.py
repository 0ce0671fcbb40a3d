"""WebSockets over a taken-over connection: the server's handshake, and whole messages both ways.

Framing is wsproto's; this adds the choice of a subprotocol, back-pressure and the joining of fragments. Text messages
are handed on as bytes: the protocols that kubectl speaks over WebSockets do not tell them apart.

Source: https://www.rfc-editor.org/rfc/rfc6455
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections import deque
from collections.abc import Sequence
from typing import Any

from navarch.base.errors import BadRequest
from navarch.wire.message import Request, Tunnel

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
MESSAGE_BYTES = 4 << 20
LINGER_S = 30.0
"""How long a client that says nothing (not even a ping) is waited for after the goodbye."""


def is_handshake(request: Request) -> bool:
    """Whether the client asks to go on with WebSocket frames."""
    tokens = {token.strip().lower() for token in request.headers.get("connection", "").split(",")}
    return "upgrade" in tokens and request.headers.get("upgrade", "").lower() == "websocket"


def offered(request: Request) -> list[str]:
    """The subprotocols that the client offers, in its order."""
    found = request.headers.get("sec-websocket-protocol", "").split(",")
    return [name.strip() for name in found if name.strip()]


async def accept(request: Request, protocols: Sequence[str], *, required: bool = True) -> tuple[WebSocket, str]:
    """Complete the handshake; returns the socket and the chosen one of `protocols` ("" when the client offered none).

    required: refuse a client that offers others only; else none is chosen.

    Raises:
        BadRequest: no handshake of version 13, or none of the offered protocols is known.
    """
    key = request.headers.get("sec-websocket-key", "")
    if not is_handshake(request) or not key or request.headers.get("sec-websocket-version") != "13":
        raise BadRequest("a WebSocket handshake of version 13 was expected")
    if request.upgrade is None:
        raise BadRequest("this connection cannot be upgraded")
    wanted = offered(request)
    chosen = next((name for name in wanted if name in protocols), "")
    if wanted and not chosen and required:
        raise BadRequest(f"unknown WebSocket protocols {', '.join(wanted)}; known: {', '.join(protocols)}")
    digest = base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()
    headers = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", digest)]
    if chosen:
        headers.append(("Sec-WebSocket-Protocol", chosen))
    return WebSocket(await request.upgrade(101, headers)), chosen


class WebSocket:
    """The server's end. One reader and any number of writers that take turns."""

    def __init__(self, tunnel: Tunnel) -> None:
        from wsproto.connection import Connection, ConnectionType

        self._tunnel = tunnel
        self._frames = Connection(ConnectionType.SERVER)
        self._events: deque[Any] = deque()
        self._begins = True
        self._closed = False

    @property
    def tunnel(self) -> Tunnel:
        return self._tunnel

    async def receive(self) -> bytes | None:
        """The next whole message, None when the client has closed or gone.

        Raises:
            BadRequest: the message is over 4 MiB.
        """
        pieces: list[bytes] = []
        size_bytes = 0
        while (event := await self._next()) is not None:
            pieces.append(_bytes(event.data))
            size_bytes += len(pieces[-1])
            if size_bytes > MESSAGE_BYTES:
                raise BadRequest("a WebSocket message is over 4 MiB")
            if event.message_finished:
                return b"".join(pieces)
        return None

    async def receive_piece(self) -> tuple[bytes, bool] | None:
        """What has come of a message, whose size is not bounded then, and whether it is the message's beginning.

        Never empty; None when the client has closed or gone. Not to be mixed with `receive`.
        """
        while (event := await self._next()) is not None:
            data, begins = _bytes(event.data), self._begins
            self._begins = event.message_finished or (begins and not data)
            if data:
                return data, begins
        return None

    async def _next(self) -> Any:
        """The next event that holds data; None at the end."""
        from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

        while not self._closed:
            while self._events:
                event = self._events.popleft()
                if isinstance(event, BytesMessage | TextMessage):
                    return event
                if isinstance(event, Ping):
                    await self._tunnel.write(self._frames.send(event.response()))
                elif isinstance(event, CloseConnection):
                    await self._answer_close(event)
                    return None
            data = await self._tunnel.read()
            if not data:
                self._closed = True
                return None
            self._take(data)
        return None

    async def send(self, message: bytes | str) -> None:
        """Text is sent as text. Raises: ConnectionResetError: the client is gone."""
        from wsproto.events import BytesMessage, TextMessage

        if self._closed:
            raise ConnectionResetError("the WebSocket is closed")
        event = TextMessage(data=message) if isinstance(message, str) else BytesMessage(data=message)
        await self._tunnel.write(self._frames.send(event))

    async def ping(self) -> None:
        """Raises: ConnectionResetError: the client is gone."""
        from wsproto.events import Ping

        if not self._closed:
            await self._tunnel.write(self._frames.send(Ping()))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye; harmless when it was said before or nobody is there."""
        from wsproto.events import CloseConnection

        if self._closed:
            return
        self._closed = True
        try:
            await self._tunnel.write(self._frames.send(CloseConnection(code, reason)))
        except ConnectionResetError:
            return

    async def end(self, patience_s: float = LINGER_S) -> None:
        """Say goodbye and wait until the client has heard it, which is after everything that was sent before.

        A connection that is closed while its peer still sends is reset, and what the peer has not yet read is lost.
        """
        from wsproto.events import CloseConnection

        await self.close()
        while not any(isinstance(event, CloseConnection) for event in self._events):
            self._events.clear()
            try:
                async with asyncio.timeout(patience_s):
                    data = await self._tunnel.read()
            except TimeoutError:
                return
            if not data:
                return
            self._take(data)

    def _take(self, data: bytes) -> None:
        from wsproto.utilities import ProtocolError

        self._frames.receive_data(data)
        try:
            self._events.extend(self._frames.events())
        except ProtocolError as error:
            raise BadRequest(f"bytes that are no WebSocket frames: {error}") from error

    async def _answer_close(self, event: Any) -> None:
        if not self._closed:
            self._closed = True
            try:
                await self._tunnel.write(self._frames.send(event.response()))
            except ConnectionResetError:
                return


def _bytes(data: bytes | bytearray | str) -> bytes:
    return data.encode() if isinstance(data, str) else bytes(data)
