"""Bodies that are handed on as they come: whole, in order, of any size, and never much of them in memory."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from wire_driver import AUTHORITY, Wire, all_gone, serve

from navarch.base.errors import Forbidden
from navarch.base.pki import client_context
from navarch.wire.http import Limits, Server
from navarch.wire.http_body import BUFFER_BYTES, WHOLE_BYTES, Body
from navarch.wire.message import Request, Response

MOST_AT_ONCE = 262_144
"""What a transport hands over in one piece."""
Connect = Callable[[], Awaitable[Wire]]
LIMITS = Limits(body_bytes=100_000, linger_s=30.0)


def proxied(request: Request) -> bool:
    return request.path.startswith("/proxy")


def play(
    scenario: Callable[[Connect, Server], Awaitable[None]],
    handler: Callable[[Request], Awaitable[Response]],
    *,
    tls: bool = False,
) -> None:
    client = client_context(AUTHORITY.pair.certificate) if tls else None

    async def with_streams(connect: Connect, server: Server) -> None:
        server.hands_on = proxied
        await scenario(connect, server)

    serve(with_streams, handler=handler, limits=LIMITS, tls=tls, client=client)


async def digest(request: Request) -> Response:
    """What came, and in which form."""
    if isinstance(request.content, bytes):
        return Response(200, (("Form", "whole"),), request.content[:20])
    found = hashlib.sha256()
    async for piece in request.content:
        found.update(piece)
        await asyncio.sleep(0)
    return Response(200, (("Form", "stream"),), found.hexdigest().encode())


def pieces(count: int) -> list[bytes]:
    return [hashlib.shake_128(b"%d" % number).digest(100_000) for number in range(count)]


def in_chunks(parts: list[bytes]) -> bytes:
    return b"".join([b"%x\r\n%b\r\n" % (len(part), part) for part in parts]) + b"0\r\n\r\n"


def head(length: int | None, *more: str, path: str = "/proxy", method: str = "POST") -> bytes:
    how = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: h", how, *more, "", ""]).encode()


@pytest.mark.parametrize("tls", [False, True])
def test_bodies_over_the_limit_arrive_and_the_connection_goes_on(tls: bool) -> None:
    async def scenario(connect: Connect, server: Server) -> None:
        wire = await connect()
        parts = pieces(30)
        whole = b"".join(parts)
        wanted = hashlib.sha256(whole).hexdigest().encode()
        for sent in (head(len(whole)) + whole, head(None) + in_chunks(parts)):
            status, headers, body = await wire.ask(sent)
            assert (status, headers["form"], body) == (200, "stream", wanted)
            assert "connection" not in headers
        await wire.ask(head(5) + b"small")
        wire.writer.write(head(len(whole)) + whole + head(5, path="/other") + b"next!")  # one behind the other
        assert (await wire.answer())[2] == wanted
        assert (await wire.answer())[2] == b"next!"

    play(scenario, digest, tls=tls)


@pytest.mark.parametrize(
    ("sent", "form"),
    [
        (head(WHOLE_BYTES) + b"x" * WHOLE_BYTES, "whole"),
        (head(WHOLE_BYTES + 1) + b"x" * (WHOLE_BYTES + 1), "stream"),
        (head(None) + in_chunks([b"x"]), "stream"),
        (head(None) + in_chunks([]), "stream"),
        (head(90_000, path="/else") + b"x" * 90_000, "whole"),
        (head(None, path="/else") + in_chunks([b"x"]), "whole"),
        (head(None, "Connection: Upgrade", "Upgrade: what") + in_chunks([b"x"]), "whole"),
        (head(0), "whole"),
    ],
)
def test_which_are_streams(sent: bytes, form: str) -> None:
    async def scenario(connect: Connect, server: Server) -> None:
        assert (await (await connect()).ask(sent))[1]["form"] == form

    play(scenario, digest)


@pytest.mark.parametrize("sent", [head(100_001, path="/else"), head(None, path="/else") + in_chunks(pieces(2))])
def test_what_is_read_here_keeps_its_limit(sent: bytes) -> None:
    async def scenario(connect: Connect, server: Server) -> None:
        assert (await (await connect()).ask(sent))[0] == 413

    play(scenario, digest)


@pytest.mark.parametrize("tls", [False, True])
def test_a_slow_reader_slows_the_client_down(tls: bool) -> None:
    parts = pieces(120)
    whole = b"".join(parts)
    most = 0

    async def handler(request: Request) -> Response:
        nonlocal most
        assert isinstance(request.stream, Body)
        size = 0
        async for piece in request.stream:
            size += len(piece)
            most = max(most, request.stream.held_bytes + len(piece))
            await asyncio.sleep(0.001)
        return Response(200, (), b"%d" % size)

    async def scenario(connect: Connect, server: Server) -> None:
        wire = await connect()
        assert (await wire.ask(head(len(whole)) + whole))[2] == b"%d" % len(whole)
        assert MOST_AT_ONCE / 2 < most <= BUFFER_BYTES + 2 * MOST_AT_ONCE

    play(scenario, handler, tls=tls)


def test_a_body_is_asked_for_when_it_is_read() -> None:
    """Who is refused need not send it."""
    allowed = asyncio.Event()

    async def handler(request: Request) -> Response:
        if request.path == "/proxy/forbidden":
            raise Forbidden("not for you")
        await allowed.wait()
        return await digest(request)

    async def scenario(connect: Connect, server: Server) -> None:
        wire = await connect()
        wire.writer.write(head(200_000, "Expect: 100-continue"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wire.reader.readexactly(1), 0.05)
        allowed.set()
        assert await wire.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await wire.ask(b"x" * 200_000))[2] == hashlib.sha256(b"x" * 200_000).hexdigest().encode()
        refused = await connect()
        status, headers, _ = await refused.ask(head(10**10, "Expect: 100-continue", path="/proxy/forbidden"))
        assert (status, headers["connection"]) == (403, "close")
        assert await refused.reader.read() == b""

    play(scenario, handler)


def test_a_client_that_stops_midway_ends_the_request() -> None:
    ends: list[type[BaseException]] = []
    begun = asyncio.Event()

    async def handler(request: Request) -> Response:
        async def elsewhere() -> None:
            """Another task reads it, as clients of HTTP do."""
            try:
                await digest(request)
            except ConnectionError as end:
                ends.append(type(end))

        task = asyncio.create_task(elsewhere())
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ends.append(asyncio.CancelledError)
            await asyncio.wait([task])
        return Response()

    async def scenario(connect: Connect, server: Server) -> None:
        wire = await connect()
        wire.writer.write(head(10_000_000) + b"x" * 300_000)
        await begun.wait()
        wire.writer.transport.abort()
        await all_gone(server)
        assert set(ends) == {asyncio.CancelledError, ConnectionResetError}

    play(scenario, handler)


def test_a_broken_stream_is_told_of() -> None:
    async def scenario(connect: Connect, server: Server) -> None:
        wire = await connect()
        status, headers, body = await wire.ask(head(None) + b"5\r\nhello\r\nnonsense\r\n")
        assert (status, headers["connection"]) == (400, "close")
        assert b"this is no HTTP request" in body
        assert await wire.reader.read() == b""

    play(scenario, digest)


@pytest.mark.parametrize("in_pieces", [False, True])
def test_an_early_answer_reaches_a_client_that_still_sends(in_pieces: bool) -> None:
    async def said() -> AsyncIterator[bytes]:
        yield b"too "
        yield b"large"

    async def handler(request: Request) -> Response:
        assert not isinstance(request.content, bytes)
        async for _ in request.content:
            break
        return Response(413, (), said() if in_pieces else b"too large")

    async def scenario(connect: Connect, server: Server) -> None:
        wire = await connect()
        wire.writer.write(head(20_000_000))
        for part in pieces(200):
            wire.writer.write(part)
            await wire.writer.drain()
        status, headers, body = await wire.answer()
        assert (status, headers["connection"], body) == (413, "close", b"too large")
        assert (await wire.reader.read()).strip() == b""

    play(scenario, handler)


def test_requests_and_answers_may_flow_at_once() -> None:
    async def handler(request: Request) -> Response:
        async def back() -> AsyncIterator[bytes]:
            assert not isinstance(request.content, bytes)
            async for piece in request.content:
                yield piece.upper()

        return Response(200, (), back())

    async def scenario(connect: Connect, server: Server) -> None:
        wire = await connect()
        wire.writer.write(head(None))
        await wire.reader.readuntil(b"\r\n\r\n")
        for word in (b"ping", b"pong"):
            wire.writer.write(b"4\r\n%b\r\n" % word)
            assert await wire.reader.readuntil(b"\n") == b"4\r\n"
            assert await wire.reader.readuntil(b"\n") == word.upper() + b"\r\n"
        wire.writer.write(b"0\r\n\r\n")
        assert await wire.reader.read() == b"0\r\n\r\n"

    play(scenario, handler)
