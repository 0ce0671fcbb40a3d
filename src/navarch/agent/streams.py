"""Between the clients' WebSockets and the runtime's SPDY streams: exec and attach by channel, port-forward as it comes.

A WebSocket message starts with the number of its channel. The newest protocol (v5) can also close one channel, which is
how `kubectl exec -i < file` and `kubectl cp` say that their input has ended; its clients are told on the channel of
errors why there is nothing to stream. Port-forwarding over a WebSocket is SPDY inside binary messages, whose bytes the
runtime understands: they are passed through, as are those of clients that speak SPDY themselves.

Source: KEP-4006, https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/4006-transition-spdy-to-websockets
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping
from contextlib import suppress

import orjson

from navarch.agent.cristreams import Dialed, Wanted
from navarch.base.errors import ApiError, BadRequest, Internal
from navarch.wire import websocket
from navarch.wire.join import Flow, join
from navarch.wire.message import UPGRADED, Request, Response
from navarch.wire.spdy import Session, SpdyError, Stream
from navarch.wire.websocket import WebSocket

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
NAMES = {STDIN: "stdin", STDOUT: "stdout", STDERR: "stderr", ERROR: "error", RESIZE: "resize"}
V5 = "v5.channel.k8s.io"
EXEC_PROTOCOLS = (V5, "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
BASE64_PROTOCOLS = ("v4.base64.channel.k8s.io", "base64.channel.k8s.io")
TELL_STATUS = (V5, "v4.channel.k8s.io", "v4.base64.channel.k8s.io")
"""How it ended is a Status there; in the older ones a text."""
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


def protocols_of(request: Request) -> tuple[str, ...]:
    """What a client that speaks SPDY itself offers, for the runtime to choose from; () for others."""
    if websocket.is_handshake(request):
        return ()
    offered = request.headers.get("x-stream-protocol-version", "").split(",")
    return tuple(name.strip() for name in offered if name.strip())


async def serve_channels(request: Request, dialed: Dialed, wanted: Wanted) -> Response:
    """Answer an exec or attach: `dialed` leads to the runtime, ready for a SPDY session."""
    if not websocket.is_handshake(request):
        return await pass_through(request, dialed)
    socket, protocol = await websocket.accept(request, (*EXEC_PROTOCOLS, *BASE64_PROTOCOLS))
    async with Session(dialed.tunnel) as session:
        try:
            bridge = _Bridge(socket, await _open(session, wanted), protocol)
        except SpdyError as error:
            await _say_no(socket, f"error sending request: {error}")
        else:
            await bridge.run()
    return UPGRADED


async def refuse(request: Request, error: ApiError) -> Response:
    """Why an exec or attach does not happen, for a client that hears it on a channel. Raises: ApiError, for others."""
    if not websocket.is_handshake(request) or V5 not in websocket.offered(request):
        raise error
    socket, _ = await websocket.accept(request, (V5,))
    await _say_no(socket, f"unable to upgrade connection: {error.message}")
    return UPGRADED


async def _say_no(socket: WebSocket, why: str) -> None:
    said = Internal(f"Internal error occurred: {why}")
    with suppress(ConnectionResetError):
        await socket.send(bytes([ERROR]) + orjson.dumps(said.status()))
    await socket.end()


async def serve_forward(request: Request, dialed: Dialed) -> Response:
    """Answer a port-forward: `dialed` leads to the runtime, which understands what the client sends."""
    if not websocket.is_handshake(request):
        return await pass_through(request, dialed)
    socket, _ = await websocket.accept(request, (FORWARD_PROTOCOL,))
    tunnel, flow = dialed.tunnel, Flow(socket.tunnel, socket.ping)

    async def down() -> None:
        while data := await tunnel.read():
            await socket.send(data)
        await socket.close()

    async def up() -> None:
        while (piece := await socket.receive_piece()) is not None:
            await flow.hand_on(tunnel.write(piece[0]))

    await first_of(down(), up(), flow.until_stuck())
    await tunnel.close()
    return UPGRADED


async def pass_through(request: Request, dialed: Dialed) -> Response:
    """A client that speaks SPDY itself: hand its bytes to the runtime and back.

    Raises:
        BadRequest: it asks for no upgrade.
    """
    if request.headers.get("upgrade", "").lower() != "spdy/3.1" or request.upgrade is None:
        await dialed.tunnel.close()
        raise BadRequest("an upgrade to WebSocket or SPDY/3.1 was expected")
    headers = [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")]
    if dialed.protocol:
        headers.append(("X-Stream-Protocol-Version", dialed.protocol))
    client = await request.upgrade(101, headers)
    await join(client, dialed.tunnel)
    await dialed.tunnel.close()
    return UPGRADED


async def first_of(*sides: object) -> None:
    """Run both directions until one has ended; the other is cancelled. A peer that went away is no error."""

    async def one(side: object) -> None:
        with suppress(ConnectionResetError, SpdyError, BadRequest):
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

    def __init__(self, socket: WebSocket, streams: Mapping[int, Stream], protocol: str) -> None:
        self._socket = socket
        self._streams = streams
        self._text = protocol in BASE64_PROTOCOLS
        self._plain_outcome = protocol not in TELL_STATUS
        self._flow = Flow(socket.tunnel, socket.ping)

    async def run(self) -> None:
        with suppress(ConnectionResetError):
            first = next(channel for channel in (STDOUT, STDERR, ERROR) if channel in self._streams)
            await self._send(first, b"")  # it begins: what a kubelet sends, too
            await first_of(self._out(), self._in(), self._flow.until_stuck())
        await self._socket.end()

    async def _out(self) -> None:
        async with asyncio.TaskGroup() as group:
            outcome = group.create_task(self._collect(self._streams[ERROR]))
            for channel in (STDOUT, STDERR):
                if channel in self._streams:
                    group.create_task(self._relay(channel, self._streams[channel]))
        if told := self._told(outcome.result()):
            await self._send(ERROR, told)

    async def _collect(self, stream: Stream) -> bytes:
        """How it ended, as the runtime says it; that nobody will know is an outcome, too."""
        found = b""
        try:
            while data := await stream.read():
                found += data
        except SpdyError as error:
            broken = Internal(f"Internal error occurred: error reading from error stream: {error}")
            return found or orjson.dumps(broken.status())
        return found

    def _told(self, outcome: bytes) -> bytes:
        """The outcome in the words of the protocol: older ones have a text for failures and nothing else."""
        if not outcome or not self._plain_outcome:
            return outcome
        status = orjson.loads(outcome)
        return b"" if status.get("status") == "Success" else str(status.get("message", "")).encode()

    async def _relay(self, channel: int, stream: Stream) -> None:
        with suppress(SpdyError, ConnectionResetError):
            while data := await stream.read():
                await self._send(channel, data)

    async def _in(self) -> None:
        if self._text:
            while (message := await self._socket.receive()) is not None:
                if message:
                    await self._take(message[0] - ord("0"), _decoded(message[1:]))
            return
        channel = ERROR
        while (piece := await self._socket.receive_piece()) is not None:
            data, begins = piece
            if begins:
                channel, data = data[0], data[1:]
            await self._take(channel, data)

    async def _take(self, channel: int, data: bytes) -> None:
        if not data:
            return
        with suppress(SpdyError, ConnectionResetError):
            if channel == CLOSE and data[0] in self._streams:
                await self._streams[data[0]].close()
            elif channel in (STDIN, RESIZE) and channel in self._streams:
                await self._flow.hand_on(self._streams[channel].write(data))

    async def _send(self, channel: int, data: bytes) -> None:
        if self._text:
            await self._socket.send(bytes([ord("0") + channel]) + base64.b64encode(data))
        else:
            await self._socket.send(bytes([channel]) + data)


def _decoded(data: bytes) -> bytes:
    """Raises: ConnectionResetError: whoever sends that is not talked to any more."""
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise ConnectionResetError(f"the client sent what is no base64: {error}") from error
