"""Compressed answers: whole or in pieces, the client unpacks exactly what others get."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_driver import AUTHORITY, Wire, all_gone, serve

from navarch.base.errors import Invalid
from navarch.base.pki import client_context
from navarch.wire.http import Server
from navarch.wire.http_packing import GZIP_FROM_BYTES, is_packed, pack, takes_gzip
from navarch.wire.message import Request, Response

FAR = "127.0.0.2"
"""A client that is not the server's own machine as far as its address tells."""


@pytest.mark.parametrize(
    "text",
    ["gzip", "gzip, br", "br , gzip", "GZIP", "gzip;q=1.0", "deflate, gzip;q=0.5", "gzip; q=0.001", "gzip;x=y"],
)
def test_who_takes_gzip(text: str) -> None:
    assert takes_gzip(text)


@pytest.mark.parametrize(
    "text",
    ["", "identity", "*", "br", "gzip;q=0", "gzip; q=0.0", "gzip;q=0.000, br", "xgzip", "gzipped", ",;,", "gzip;q="],
)
def test_who_does_not(text: str) -> None:
    assert not takes_gzip(text)


class Told:
    """A body that says `pieces`, and how far it was read."""

    def __init__(self, pieces: list[bytes], error: Exception | None = None) -> None:
        self.pieces = list(pieces)
        self.error = error
        self.closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self.pieces:
            return self.pieces.pop(0)
        if self.error is not None:
            raise self.error
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed = True


async def whole(body: bytes | AsyncIterator[bytes]) -> bytes:
    return body if isinstance(body, bytes) else b"".join([piece async for piece in body])


@given(st.lists(st.binary(max_size=40).map(lambda text: text * 4_000), max_size=6), st.booleans())
def test_what_is_unpacked_is_what_was_said(pieces: list[bytes], in_one: bool) -> None:
    async def play() -> None:
        told = Told(pieces)
        plain = b"".join(pieces)
        response = Response(200, [("A", "b")], plain if in_one else told, packable=not in_one)
        await pack(response)
        packed = is_packed(response.headers)
        assert packed == (len(plain) >= GZIP_FROM_BYTES)
        assert (("Vary", "Accept-Encoding") in response.headers) == packed
        body = await whole(response.body)
        assert (gzip.decompress(body) if packed else body) == plain
        assert in_one or not packed or told.closed

    asyncio.run(play())


def test_what_is_packed_already_stays() -> None:
    response = Response(200, [("content-encoding", "br")], b"x" * GZIP_FROM_BYTES)
    asyncio.run(pack(response))
    assert response.body == b"x" * GZIP_FROM_BYTES


def test_a_body_that_fails_early_is_closed_and_its_error_told() -> None:
    told = Told([b"x" * 100], Invalid("no"))
    with pytest.raises(Invalid):
        asyncio.run(pack(Response(200, (), told, packable=True)))
    assert told.closed


PIECES = [b"[", *(b'{"name":"item-%06d"},' % number * 900 for number in range(40)), b"]"]
PLAIN = b"".join(PIECES)


def asking(coding: str = "gzip", version: str = "1.1", path: str = "/") -> str:
    return f"GET {path} HTTP/{version}\r\nHost: h\r\nAccept-Encoding: {coding}\r\n\r\n"


async def listed(request: Request) -> Response:
    if request.path == "/watch":
        return Response(200, (), Told(PIECES))
    if request.path == "/refused":
        return Response(200, (), Told([], Invalid("too late")), packable=True)
    if request.path == "/broken":
        return Response(200, (), Told(PIECES, Invalid("too late")), packable=True)
    return Response(200, (("content-type", "application/json"),), Told(PIECES), packable=True)


@pytest.mark.parametrize("tls", [False, True])
def test_lists_in_pieces_are_packed_for_the_far_away_alone(tls: bool) -> None:
    async def scenario(connect: Callable[..., Awaitable[Wire]], server: Server) -> None:
        wire = await connect(FAR)
        for _ in range(2):  # the connection goes on
            status, headers, body = await wire.ask(asking())
            assert (status, headers["content-encoding"], headers["vary"]) == (200, "gzip", "Accept-Encoding")
            assert headers["transfer-encoding"] == "chunked"
            assert gzip.decompress(body) == PLAIN
            assert len(body) < len(PLAIN) / 5
        for coding in ("identity", "gzip;q=0", "*"):
            _, headers, body = await wire.ask(asking(coding))
            assert ("content-encoding" in headers, body) == (False, PLAIN)
        _, headers, body = await wire.ask(asking(path="/watch"))
        assert ("content-encoding" in headers, body) == (False, PLAIN)
        near = await connect()
        _, headers, body = await near.ask(asking())
        assert ("content-encoding" in headers, body) == (False, PLAIN)

    serve(scenario, handler=listed, tls=tls, client=client_context(AUTHORITY.pair.certificate) if tls else None)


def test_a_client_of_http_1_0_reads_until_the_end() -> None:
    async def scenario(connect: Callable[..., Awaitable[Wire]], server: Server) -> None:
        wire = await connect(FAR)
        wire.writer.write(asking(version="1.0").encode())
        head = await wire.reader.readuntil(b"\r\n\r\n")
        assert b"Content-Encoding: gzip" in head
        assert gzip.decompress(await wire.reader.read()) == PLAIN

    serve(scenario, handler=listed)


def test_a_list_that_fails_is_refused_or_cut_off() -> None:
    """Before anything was sent it can still be refused; later its end is missing, and the compressed stream's too."""

    async def scenario(connect: Callable[..., Awaitable[Wire]], server: Server) -> None:
        wire = await connect(FAR)
        assert (await wire.ask(asking(path="/refused")))[0] == 422
        wire.writer.write(asking(path="/broken").encode())
        rest = await wire.reader.read()
        assert not rest.endswith(b"0\r\n\r\n")

    serve(scenario, handler=listed)


class Endless(Told):
    """Says for ever what cannot be packed, so that its reader falls behind."""

    def __init__(self) -> None:
        super().__init__([])
        self.said = 0

    async def __anext__(self) -> bytes:
        self.said += 1
        return hashlib.shake_128(b"%d" % self.said).digest(100_000)


def test_a_client_that_leaves_midway_ends_the_list() -> None:
    bodies: list[Endless] = []

    async def handler(request: Request) -> Response:
        bodies.append(Endless())
        return Response(200, (), bodies[-1], packable=True)

    async def scenario(connect: Callable[..., Awaitable[Wire]], server: Server) -> None:
        wire = await connect(FAR)
        wire.writer.write(asking().encode())
        await wire.reader.readuntil(b"\r\n\r\n")
        wire.writer.transport.abort()
        await all_gone(server)
        assert bodies[0].closed

    serve(scenario, handler=handler)


def test_others_are_served_between_the_pieces() -> None:
    turns = 0

    async def play() -> None:
        nonlocal turns
        response = Response(200, (), Told([b"x" * 200_000] * 30), packable=True)
        await pack(response)

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(others())
        await whole(response.body)
        other.cancel()

    asyncio.run(play())
    assert turns >= 30
