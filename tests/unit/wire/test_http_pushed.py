"""Bodies that push their pieces: nothing is lost, doubled or put in another order, however slowly the client reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from wire_driver import AUTHORITY, Wire, serve

from navarch.base.pki import client_context
from navarch.wire.http import Limits, Server
from navarch.wire.message import Push, Request, Response


class Numbers:
    """Says `first`, and from then on what it is `told`: pushed while that is taken, else from its own queue."""

    def __init__(self) -> None:
        self.push: Push | None = None
        self.refused = 0
        self.closed = False
        self._waits = False
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._queue.put_nowait(b"first;")

    def pipe(self, push: Push) -> None:
        self.push = push

    def tell(self, piece: bytes) -> None:
        if self._waits and self._queue.empty() and self.push is not None and self.push(piece):
            return
        self.refused += self._waits
        self._waits = False
        self._queue.put_nowait(piece)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._queue.empty():
            self._waits = True
        piece = await self._queue.get()
        self._waits = False
        if piece == b"end":
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        self.closed = True


def piece(number: int) -> bytes:
    return b"%06d;" % number + b"x" * 20_000


@pytest.mark.parametrize("tls", [False, True])
def test_what_is_pushed_comes_in_order_to_one_who_pauses(tls: bool) -> None:
    bodies: list[Numbers] = []

    async def handler(request: Request) -> Response:
        if len(bodies) == 2:
            return Response(body=b"done")
        bodies.append(Numbers())
        return Response(body=bodies[-1])

    async def scenario(connect: Any, server: Server) -> None:
        wires: list[Wire] = [await connect(), await connect()]
        for wire in wires:
            wire.writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert b"chunked" in await wire.reader.readuntil(b"\r\n\r\n")
            assert b"first;" in await wire.reader.readuntil(b"first;\r\n")
        told = 0
        while not all(body.refused for body in bodies):  # until the windows of both are full
            for _ in range(8):
                told += 1
                shared = piece(told)
                for body in bodies:
                    body.tell(shared)
            await asyncio.sleep(0)
            assert told < 10_000
        for body in bodies:
            body.tell(b"end")
        for wire in wires:
            found = await whole(wire)
            assert found == b"".join(piece(number) for number in range(1, told + 1))
            assert (await wire.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"))[0] == 200

    serve(scenario, handler=handler, tls=tls, client=client_context(AUTHORITY.pair.certificate) if tls else None)


async def whole(wire: Wire) -> bytes:
    body = b""
    while size := int(await wire.reader.readline(), 16):
        body += await wire.reader.readexactly(size)
        await wire.reader.readline()
    await wire.reader.readline()
    return body


def test_one_who_takes_nothing_of_what_is_pushed_is_ended() -> None:
    body = Numbers()

    async def handler(request: Request) -> Response:
        return Response(body=body)

    async def scenario(connect: Any, server: Server) -> None:
        wire = await connect()
        wire.writer.transport.pause_reading()
        wire.writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        async with asyncio.timeout(50):
            while not body.refused:
                body.tell(piece(0))
                await asyncio.sleep(0)
            while server.connections:  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0.05)
        assert body.closed
        assert body.push is not None
        assert not body.push(b"late")
        wire.writer.transport.abort()

    serve(scenario, handler=handler, limits=Limits(stream_stall_s=0.05, head_s=0.2, slowest_bytes_s=1e9))


def test_nothing_is_pushed_to_a_client_that_knows_no_chunks() -> None:
    body = Numbers()

    async def handler(request: Request) -> Response:
        return Response(body=body)

    async def scenario(connect: Any, server: Server) -> None:
        wire = await connect()
        wire.writer.write(b"GET / HTTP/1.0\r\n\r\n")
        await wire.reader.readuntil(b"first;")
        body.tell(b"second;")
        body.tell(b"end")
        assert (await wire.reader.read()).endswith(b"second;")
        assert body.push is None

    serve(scenario, handler=handler)
