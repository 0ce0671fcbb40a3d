"""Between the clients' WebSockets and the runtime's SPDY streams: exec and attach by channel, port-forward as it comes.

A WebSocket message starts with the number of its channel. The newest protocol (v5) can also close one channel, which is
how `kubectl exec -i < file` and `kubectl cp` say that their input has ended. Port-forwarding over a WebSocket is SPDY
inside binary messages, whose bytes the runtime understands: they are passed through.

Source: KEP-4006, https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/4006-transition-spdy-to-websockets
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from contextlib import suppress

from navarch.agent.cristreams import Wanted
from navarch.base.errors import BadRequest
from navarch.wire import websocket
from navarch.wire.join import join
from navarch.wire.message import UPGRADED, Request, Response, Tunnel
from navarch.wire.spdy import Session, SpdyError, Stream
from navarch.wire.websocket import WebSocket

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
NAMES = {STDIN: "stdin", STDOUT: "stdout", STDERR: "stderr", ERROR: "error", RESIZE: "resize"}
V5 = "v5.channel.k8s.io"
EXEC_PROTOCOLS = (V5, "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
BASE64_PROTOCOLS = ("v4.base64.channel.k8s.io", "base64.channel.k8s.io")
FORWARD_PROTOCOL = "SPDY/3.1+portforward.k8s.io"


def wanted_streams(request: Request) -> Wanted:
    """From the query, in the words of the API (`stdin`) or of a kubelet (`input`).

    Raises:
        BadRequest: no stream at all.
    """

    def flag(*names: str) -> bool:
        return any(request.param(name).lower() in ("1", "true") for name in names)

    wanted = Wanted(flag("stdin", "input"), flag("stdout", "output"), flag("stderr", "error"), flag("tty"))
    if not (wanted.stdin or wanted.stdout or wanted.stderr):
        raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
    return wanted


async def serve_channels(request: Request, tunnel: Tunnel, wanted: Wanted) -> Response:
    """Answer an exec or attach: `tunnel` leads to the runtime, ready for a SPDY session."""
    if not websocket.is_handshake(request):
        return await pass_through(request, tunnel, request.headers.get("x-stream-protocol-version", ""))
    socket, protocol = await websocket.accept(request, (*EXEC_PROTOCOLS, *BASE64_PROTOCOLS))
    async with Session(tunnel) as session:
        streams = await _open(session, wanted)
        bridge = _Bridge(socket, streams, text=protocol in BASE64_PROTOCOLS)
        await bridge.run()
    return UPGRADED


async def serve_forward(request: Request, tunnel: Tunnel) -> Response:
    """Answer a port-forward: `tunnel` leads to the runtime, which understands what the client sends."""
    if not websocket.is_handshake(request):
        return await pass_through(request, tunnel, request.headers.get("x-stream-protocol-version", ""))
    socket, _ = await websocket.accept(request, (FORWARD_PROTOCOL,))

    async def down() -> None:
        while data := await tunnel.read():
            await socket.send(data)
        await socket.close()

    async def up() -> None:
        while (message := await socket.receive()) is not None:
            if message:
                await tunnel.write(message)
        await tunnel.close()

    await first_of(down(), up())
    await tunnel.close()
    return UPGRADED


async def pass_through(request: Request, tunnel: Tunnel, protocol: str) -> Response:
    """A client that speaks SPDY itself: hand its bytes to the runtime and back.

    Raises:
        BadRequest: it asks for no upgrade.
    """
    if request.headers.get("upgrade", "").lower() != "spdy/3.1" or request.upgrade is None:
        await tunnel.close()
        raise BadRequest("an upgrade to WebSocket or SPDY/3.1 was expected")
    chosen = protocol.split(",")[0].strip()
    headers = [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1"), ("X-Stream-Protocol-Version", chosen)]
    client = await request.upgrade(101, headers)
    await join(client, tunnel)
    await tunnel.close()
    return UPGRADED


async def first_of(*sides: object) -> None:
    """Run both directions until one has ended; the other is cancelled. A peer that went away is no error."""

    async def one(side: object) -> None:
        with suppress(ConnectionResetError, SpdyError):
            await side  # type: ignore[misc]
        for task in tasks:
            if task is not asyncio.current_task():
                task.cancel()

    tasks: list[asyncio.Task[None]] = []
    async with asyncio.TaskGroup() as group:
        tasks.extend(group.create_task(one(side)) for side in sides)


async def _open(session: Session, wanted: Wanted) -> Mapping[int, Stream]:
    channels = [ERROR]
    channels += [STDIN] if wanted.stdin else []
    channels += [STDOUT] if wanted.stdout else []
    channels += [STDERR] if wanted.stderr and not wanted.tty else []
    channels += [RESIZE] if wanted.tty else []
    return {channel: await session.open({"streamType": NAMES[channel]}) for channel in channels}


class _Bridge:
    """One exec or attach: output goes to the client as it comes, the outcome last."""

    def __init__(self, socket: WebSocket, streams: Mapping[int, Stream], *, text: bool) -> None:
        self._socket = socket
        self._streams = streams
        self._text = text

    async def run(self) -> None:
        await first_of(self._out(), self._in())
        await self._socket.end()

    async def _out(self) -> None:
        async with asyncio.TaskGroup() as group:
            outcome = group.create_task(self._collect(self._streams[ERROR]))
            for channel in (STDOUT, STDERR):
                if channel in self._streams:
                    group.create_task(self._relay(channel, self._streams[channel]))
        if outcome.result():
            await self._send(ERROR, outcome.result())

    async def _collect(self, stream: Stream) -> bytes:
        found = b""
        with suppress(SpdyError):
            while data := await stream.read():
                found += data
        return found

    async def _relay(self, channel: int, stream: Stream) -> None:
        with suppress(SpdyError, ConnectionResetError):
            while data := await stream.read():
                await self._send(channel, data)

    async def _in(self) -> None:
        while (message := await self._socket.receive()) is not None:
            if not message:
                continue
            channel, data = message[0], message[1:]
            if self._text:
                channel, data = channel - ord("0"), base64.b64decode(data)
            if channel == CLOSE and data:
                if data[0] in self._streams:
                    await self._streams[data[0]].close()
            elif channel in (STDIN, RESIZE) and channel in self._streams and data:
                with suppress(SpdyError, ConnectionResetError):
                    await self._streams[channel].write(data)

    async def _send(self, channel: int, data: bytes) -> None:
        if self._text:
            await self._socket.send(bytes([ord("0") + channel]) + base64.b64encode(data))
        else:
            await self._socket.send(bytes([channel]) + data)
