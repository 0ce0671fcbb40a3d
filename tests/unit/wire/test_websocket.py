"""WebSockets: whole messages whatever the network does, and a client that is not ours."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Sequence

import pytest
import websocket as theirs
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, TextMessage

from navarch.base.errors import BadRequest
from navarch.wire.http import Server
from navarch.wire.message import UPGRADED, Request, Response, Tunnel
from navarch.wire.websocket import MESSAGE_BYTES, WebSocket, accept


class Pipe:
    """A tunnel whose other end is the test."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.written = b""

    async def read(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    async def write(self, data: bytes) -> None:
        self.written += data

    async def close(self) -> None:
        return None


@given(st.lists(st.one_of(st.binary(max_size=200), st.text(max_size=50)), max_size=8), st.integers(1, 50))
def test_messages_arrive_whole_and_in_order(messages: list[bytes | str], cut: int) -> None:
    client = Connection(ConnectionType.CLIENT)
    stream = b"".join(
        client.send(TextMessage(data=m) if isinstance(m, str) else BytesMessage(data=m)) for m in messages
    )
    stream += client.send(CloseConnection(1000))

    async def run() -> list[bytes]:
        socket = WebSocket(Pipe(*(stream[at : at + cut] for at in range(0, len(stream), cut))))
        found = []
        while (message := await socket.receive()) is not None:
            found.append(message)
        return found

    assert asyncio.run(run()) == [m.encode() if isinstance(m, str) else m for m in messages]


def test_too_large_a_message_is_refused_however_it_is_cut() -> None:
    client = Connection(ConnectionType.CLIENT)
    half = b"x" * (MESSAGE_BYTES // 2 + 1)
    stream = client.send(BytesMessage(data=half, message_finished=False)) + client.send(BytesMessage(data=half))

    async def run() -> None:
        with pytest.raises(BadRequest, match="over 4 MiB"):
            await WebSocket(Pipe(stream)).receive()

    asyncio.run(run())


def test_nonsense_ends_it_with_a_reason() -> None:
    async def run() -> None:
        pipe = Pipe(b"\xff\xff\xff\xff", b"more")
        assert await WebSocket(pipe).receive() is None
        assert (pipe.written[0], int.from_bytes(pipe.written[2:4], "big")) == (0x88, 1002)

    asyncio.run(run())


def test_a_peer_that_is_gone_ends_it() -> None:
    async def run() -> None:
        socket = WebSocket(Pipe())
        assert await socket.receive() is None
        with pytest.raises(ConnectionResetError):
            await socket.send(b"x")

    asyncio.run(run())


def handshake(**headers: str) -> Request:
    async def upgrade(status: int, answered: Sequence[tuple[str, str]]) -> Tunnel:
        return Pipe()

    sent = {"connection": "Upgrade", **{key.replace("_", "-"): value for key, value in headers.items()}}
    return Request("GET", "/", "/", sent, upgrade=upgrade)


GOOD = {"upgrade": "websocket", "sec_websocket_version": "13", "sec_websocket_key": "x"}


def test_handshakes_that_are_none() -> None:
    async def run() -> None:
        for headers in (
            {},
            {"upgrade": "SPDY/3.1"},
            {**GOOD, "sec_websocket_version": "8"},
            {**GOOD, "sec_websocket_key": ""},
            {**GOOD, "sec_websocket_protocol": "other"},
        ):
            with pytest.raises(BadRequest):
                await accept(handshake(**headers), ("v5.channel.k8s.io",))
        other = handshake(**GOOD, sec_websocket_protocol="other")
        assert (await accept(other, ("v5.channel.k8s.io",), required=False))[1] == ""

    asyncio.run(run())


def test_another_client_speaks_with_our_server() -> None:
    async def echo(request: Request) -> Response:
        socket, _ = await accept(request, ("v5.channel.k8s.io",))
        while (message := await socket.receive()) is not None:
            await socket.send(message if len(message) > 10 else message.decode())
        return UPGRADED

    said: list[object] = []

    def client(port: int) -> None:
        with contextlib.closing(
            theirs.create_connection(f"ws://127.0.0.1:{port}/", subprotocols=["x", "v5.channel.k8s.io"], timeout=10)
        ) as socket:
            said.append(socket.getsubprotocol())
            socket.ping("p")
            socket.send_binary(b"x" * 100_000)
            said.append(len(socket.recv()))
            socket.send("text")
            said.append(socket.recv())

    async def run() -> None:
        async with Server(echo, grace_s=1) as server:
            port = await server.listen(tls=False)
            thread = threading.Thread(target=client, args=(port,))
            thread.start()
            await asyncio.to_thread(thread.join)

    asyncio.run(run())
    assert said == ["v5.channel.k8s.io", 100_000, "text"]
