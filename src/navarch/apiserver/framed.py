"""Watches and logs over a WebSocket, for clients that have nothing else: each event, or each piece, is a message.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/ (watches); the subprotocols are those of upstream.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from navarch.apiserver.negotiate import PROTOBUF
from navarch.base.errors import BadRequest
from navarch.wire.message import UPGRADED, Request, Response
from navarch.wire.websocket import WebSocket, accept

PROTOCOLS = ("binary.k8s.io", "base64.binary.k8s.io")


async def framed(request: Request, response: Response, *, lines: bool) -> Response:
    """Send a successful response's body as messages. lines: one for each event of a watch, else as it comes (logs).

    Raises:
        BadRequest: the handshake is broken.
    """
    if response.status != 200:
        return response
    socket, protocol = await accept(request, PROTOCOLS, required=False)
    packed = any(name == "content-type" and value.startswith(PROTOBUF) for name, value in response.headers)
    split = _lengths if lines and packed else bytes.splitlines if lines else _whole
    text = lines and not packed and not protocol
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(_send(socket, protocol, response.body, split, text))
        reading = group.create_task(_until_closed(socket))
        await asyncio.wait((sending, reading), return_when=asyncio.FIRST_COMPLETED)
        sending.cancel()
        reading.cancel()
    await socket.close()
    return UPGRADED


Split = Callable[[bytes], Sequence[bytes]]


def _whole(piece: bytes) -> Sequence[bytes]:
    return (piece,)


def _lengths(piece: bytes) -> Sequence[bytes]:
    """The events of a watch in protobuf, each without the length before it."""
    found, at = [], 0
    while at < len(piece):
        end = at + 4 + int.from_bytes(piece[at : at + 4], "big")
        found.append(piece[at + 4 : end])
        at = end
    return found


async def _send(socket: WebSocket, protocol: str, body: bytes | AsyncIterator[bytes], split: Split, text: bool) -> None:
    try:
        if isinstance(body, bytes):
            await _send_piece(socket, protocol, split(body), text)
            return
        async for piece in body:
            await _send_piece(socket, protocol, split(piece), text)
    except ConnectionError:
        return  # the client went away
    finally:
        closing: Any = getattr(body, "aclose", None)
        if closing is not None:
            await closing()


async def _send_piece(socket: WebSocket, protocol: str, messages: Sequence[bytes], text: bool) -> None:
    for message in messages:
        if not message:
            continue
        if protocol.startswith("base64."):
            await socket.send(base64.b64encode(message).decode())
        else:
            await socket.send(message.decode() if text else message)


async def _until_closed(socket: WebSocket) -> None:
    try:
        while await socket.receive() is not None:
            continue  # a watcher has nothing to say
    except (ConnectionError, BadRequest):
        return
