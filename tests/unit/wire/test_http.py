"""The HTTP server on real sockets: what clients send in good and bad faith."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import orjson
import pytest
from wire_driver import AUTHORITY, Wire, all_gone, echo, serve

from navarch.base.clock import SystemClock, SystemIds
from navarch.base.pki import Authority, client_context
from navarch.wire.http import Limits, ListenError, Server
from navarch.wire.message import UPGRADED, Request, Response


def test_get_and_keep_alive() -> None:
    async def scenario(connect: Callable[[], Awaitable[Wire]], server: Server) -> None:
        wire = await connect()
        status, headers, body = await wire.ask("GET /a%20b?x=1&y=%2F&x= HTTP/1.1\r\nHost: h\r\n\r\n")
        found = orjson.loads(body)
        assert status == 200
        assert found["path"] == "/a b"
        assert found["query"] == [["x", "1"], ["y", "/"], ["x", ""]]
        assert "connection" not in headers
        assert headers["date"].endswith("GMT")
        assert (await wire.ask("GET /b HTTP/1.1\r\nHost: h\r\nX-Twice: 1\r\nx-twice: 2\r\n\r\n"))[0] == 200
        assert server.connections == 1
        status, headers, _ = await wire.ask("GET /c HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert (status, headers["connection"]) == (200, "close")
        assert await wire.reader.read() == b""

    serve(scenario)


def test_repeated_headers_are_joined() -> None:
    async def scenario(connect: Callable[[], Awaitable[Wire]], server: Server) -> None:
        _, _, body = await (await connect()).ask("GET / HTTP/1.1\r\nHost: h\r\nX-Twice: 1\r\nx-twice: 2\r\n\r\n")
        assert orjson.loads(body)["twice"] == "1, 2"

    serve(scenario)


def test_pipelined_requests_are_answered_in_order() -> None:
    async def scenario(connect: Callable[[], Awaitable[Wire]], server: Server) -> None:
        wire = await connect()
        count = 50
        wire.writer.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % n for n in range(count)))
        for n in range(count):
            assert orjson.loads((await wire.answer())[2])["path"] == f"/{n}"

    serve(scenario)


def test_bodies_plain_chunked_and_with_expectation() -> None:
    async def scenario(connect: Callable[[], Awaitable[Wire]], server: Server) -> None:
        wire = await connect()
        _, _, body = await wire.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
        assert orjson.loads(body)["body"] == "hello"
        _, _, body = await wire.ask(
            "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        )
        assert orjson.loads(body)["body"] == "abcde"
        wire.writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert await wire.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert orjson.loads((await wire.ask("xyz"))[2])["body"] == "xyz"

    serve(scenario)


@pytest.mark.parametrize("declared", [True, False])
def test_too_large_a_body_is_refused_with_a_status(declared: bool) -> None:
    async def scenario(connect: Callable[[], Awaitable[Wire]], server: Server) -> None:
        wire = await connect()
        if declared:
            wire.writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000)
        else:
            wire.writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
            wire.writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
        status, headers, body = await wire.answer()
        assert status == 413
        found = orjson.loads(body)
        assert (found["kind"], found["reason"]) == ("Status", "RequestEntityTooLarge")
        assert found["message"] == "Request entity too large: limit is 1000"
        assert headers["connection"] == "close"
        assert await wire.reader.read() == b""

    serve(scenario, limits=Limits(body_bytes=1000))


def test_a_server_can_end_while_a_refused_client_still_sends() -> None:
    async def scenario(connect: Callable[[], Awaitable[Wire]], server: Server) -> None:
        wire = await connect()
        wire.writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\n" + b"x" * 1000)
        assert (await wire.answer())[0] == 413
        await server.close()

    serve(scenario, limits=Limits(body_bytes=1000), tls=True, client=client_context(AUTHORITY.pair.certificate))


def test_a_closing_server_ends_its_streams_after_its_last_request_and_waits_for_nobody_who_does_not_read() -> None:
    begun, told, may_end = asyncio.Event(), asyncio.Event(), asyncio.Event()
    order: list[str] = []

    async def endless() -> AsyncIterator[bytes]:
        yield b"first"
        await told.wait()
        yield b"last"

    async def handler(request: Request) -> Response:
        if request.path == "/stream":
            return Response(body=endless())
        if request.path == "/much":
            return Response(body=b"x" * 20_000_000)
        begun.set()
        await may_end.wait()
        order.append("answered")
        return Response(body=b"done")

    async def end_streams() -> None:
        order.append("told")
        told.set()

    async def run() -> None:
        async with Server(handler, grace_s=30.0, stream_grace_s=30.0, end_streams=end_streams) as server:
            port = await server.listen(tls=False)
            stream, slow, deaf = [Wire(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(3)]
            stream.writer.write(b"GET /stream HTTP/1.1\r\nHost: h\r\n\r\n")
            deaf.writer.write(b"GET /much HTTP/1.1\r\nHost: h\r\n\r\n")
            slow.writer.write(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
            await stream.reader.readuntil(b"first")
            await deaf.reader.readuntil(b"x")
            await begun.wait()
            closing = asyncio.create_task(server.close())
            await asyncio.sleep(0.1)
            assert order == []
            may_end.set()
            assert (await slow.answer())[2] == b"done"
            assert (await stream.reader.read()).endswith(b"last\r\n0\r\n\r\n")
            assert order == ["answered", "told"]
            assert not closing.done(), "the rest of the large answer is still to be taken"
            assert len(await deaf.reader.read()) > 19_000_000
            await closing

    asyncio.run(asyncio.wait_for(run(), 60))


@pytest.mark.parametrize(
    ("bytes_sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 300 + b"\r\n", 431),
    ],
)
def test_broken_requests_are_refused(bytes_sent: bytes, status: int) -> None:
    async def scenario(connect: Callable[[], Awaitable[Wire]], server: Server) -> None:
        wire = await connect()
        assert (await wire.ask(bytes_sent))[0] == status
        assert await wire.reader.read() == b""

    serve(scenario)


def test_a_header_that_never_ends_is_cut_off() -> None:
    async def scenario(connect: Callable[[], Awaitable[Wire]], server: Server) -> None:
        wire = await connect()
        wire.writer.write(b"GET / HTTP/1.1\r\nX: ")
        for _ in range(20):
            wire.writer.write(b"y" * 4000)
            await wire.writer.drain()
            await asyncio.sleep(0)
        assert (await wire.answer())[0] == 431

    serve(scenario)


def test_slow_clients_are_ended() -> None:
    async def scenario(connect: Callable[[], Awaitable[Wire]], server: Server) -> None:
        idle = await connect()
        await idle.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        silent, half = await connect(), await connect()
        half.writer.write(b"GET / HTTP/1.1\r\nHo")
        for wire in (silent, half, idle):
            with contextlib.suppress(ConnectionResetError):
                assert await wire.reader.read() == b""
        await all_gone(server)

    serve(scenario, limits=Limits(head_s=1.0, idle_s=0.1))


def test_errors_of_handlers() -> None:
    async def scenario(connect: Callable[[], Awaitable[Wire]], server: Server) -> None:
        wire = await connect()
        status, _, body = await wire.ask("GET /refuse HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (status, orjson.loads(body)["reason"]) == (403, "Forbidden")
        assert (await wire.ask("GET /bug HTTP/1.1\r\nHost: h\r\n\r\n"))[0] == 500
        _, headers, _ = await wire.ask("GET /split HTTP/1.1\r\nHost: h\r\n\r\n")
        assert "set-cookie" not in headers

    serve(scenario)


def test_head_has_no_body() -> None:
    async def scenario(connect: Callable[[], Awaitable[Wire]], server: Server) -> None:
        wire = await connect()
        wire.writer.write(b"HEAD /big HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")
        head = await wire.reader.readuntil(b"\r\n\r\n")
        assert b"Content-Length: 200000" in head
        assert (await wire.answer())[0] == 200

    serve(scenario)


def test_what_several_connections_send_is_made_once_and_not_kept() -> None:
    async def scenario(connect: Callable[[], Awaitable[Wire]], server: Server) -> None:
        piece, pieces = b"x" * 100_000, [b"a" * 100_000, b"b" * 100_000]
        assert server.chunk(piece) is server.chunk(piece)
        assert server.joined(pieces) is server.joined(list(pieces))
        await asyncio.sleep(0)
        assert (server._piece, server._chunk, server._pieces, server._whole) == (b"", b"", [], b"")
        assert server.joined(pieces) == pieces[0] + pieces[1]

    serve(scenario)


def test_streams_are_chunked_and_end_with_the_client() -> None:
    closed = asyncio.Event()

    async def ticks(count: int) -> AsyncIterator[bytes]:
        try:
            for n in range(count):
                yield b"tick %d\n" % n
            if count == 3:
                return
            await asyncio.sleep(3600)
        finally:
            closed.set()

    async def handler(request: Request) -> Response:
        return Response(body=ticks(3 if request.path == "/three" else 2))

    async def scenario(connect: Callable[[], Awaitable[Wire]], server: Server) -> None:
        wire = await connect()
        assert (await wire.ask("GET /three HTTP/1.1\r\nHost: h\r\n\r\n"))[2] == b"tick 0\ntick 1\ntick 2\n"
        closed.clear()
        wire.writer.write(b"GET /endless HTTP/1.1\r\nHost: h\r\n\r\n")
        await wire.reader.readuntil(b"tick 1")
        wire.writer.close()
        await asyncio.wait_for(closed.wait(), 60)
        await all_gone(server)

    serve(scenario, handler=handler)


def test_a_stream_may_say_its_length_and_must_keep_it() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"abc"
        yield b"def"

    async def handler(request: Request) -> Response:
        if request.path == "/nothing":
            return Response(304, [("ETag", "x")], pieces())
        length = "6" if request.path == "/whole" else "7"
        return Response(200, [("Content-Length", length)], pieces())

    async def scenario(connect: Callable[[], Awaitable[Wire]], server: Server) -> None:
        wire = await connect()
        for _ in range(2):
            status, headers, body = await wire.ask("GET /whole HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (status, headers["content-length"], body) == (200, "6", b"abcdef")
            assert "transfer-encoding" not in headers
        wire.writer.write(b"GET /short HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await wire.reader.read()).endswith(b"\r\n\r\nabcdef")  # and then the end, which tells the client
        wire = await connect()
        wire.writer.write(b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await wire.reader.read()
        assert answer.endswith(b"\r\n\r\n")
        assert b"chunked" not in answer

    serve(scenario, handler=handler)


def test_a_reader_that_stops_reading_stops_the_stream() -> None:
    sent = 0

    async def flood() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65_536
            yield b"x" * 65_536

    async def handler(request: Request) -> Response:
        return Response(body=flood())

    async def scenario(connect: Callable[[], Awaitable[Wire]], server: Server) -> None:
        wire = await connect()
        wire.writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        seen = -1
        while not sent or seen != sent:
            seen = sent
            await asyncio.sleep(0.05)
        assert 0 < sent < 64 * 1024 * 1024
        wire.writer.transport.abort()

    serve(scenario, handler=handler)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_reader_that_never_reads_is_ended(streamed: bool) -> None:
    async def one_piece() -> AsyncIterator[bytes]:
        yield b"x" * 20_000_000

    async def handler(request: Request) -> Response:
        return Response(body=one_piece() if streamed else b"x" * 20_000_000)

    async def scenario(connect: Callable[[], Awaitable[Wire]], server: Server) -> None:
        wire = await connect()
        wire.writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        while not server.connections:  # noqa: ASYNC110 - nor for this
            await asyncio.sleep(0)
        await all_gone(server)

    limits = Limits(stall_s=0.05, stream_stall_s=0.05, head_s=0.2, slowest_bytes_s=1e9)
    serve(scenario, handler=handler, limits=limits)


def test_old_clients_get_streams_without_chunks() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    async def handler(request: Request) -> Response:
        return Response(body=pieces())

    async def scenario(connect: Callable[[], Awaitable[Wire]], server: Server) -> None:
        wire = await connect()
        wire.writer.write(b"GET / HTTP/1.0\r\n\r\n")
        head, _, body = (await wire.reader.read()).partition(b"\r\n\r\n")
        assert b"chunked" not in head
        assert body == b"one two"

    serve(scenario, handler=handler)


@pytest.mark.parametrize("tls", [False, True])
def test_upgrade_loses_no_early_bytes(tls: bool) -> None:
    async def handler(request: Request) -> Response:
        assert request.upgrade is not None
        tunnel = await request.upgrade(101, (("Upgrade", "echo"), ("Connection", "Upgrade")))
        while data := await tunnel.read():
            await tunnel.write(data.upper())
            if data.endswith(b"."):
                break
        return UPGRADED

    async def scenario(connect: Callable[[], Awaitable[Wire]], server: Server) -> None:
        wire = await connect()
        wire.writer.write(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly")
        head = await wire.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"Content-Length" not in head
        assert await wire.reader.readexactly(5) == b"EARLY"
        wire.writer.write(b"x" * 1_000_000 + b".")
        assert await wire.reader.read() == b"X" * 1_000_000 + b"."

    serve(scenario, handler=handler, tls=tls, client=client_context(AUTHORITY.pair.certificate) if tls else None)


def test_an_upgrade_that_nobody_wants_is_an_ordinary_request() -> None:
    async def scenario(connect: Callable[[], Awaitable[Wire]], server: Server) -> None:
        wire = await connect()
        wire.writer.write(
            b"GET /1 HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"
            b"GET /2 HTTP/1.1\r\nHost: h\r\n\r\n"
        )
        assert orjson.loads((await wire.answer())[2])["path"] == "/1"
        assert orjson.loads((await wire.answer())[2])["path"] == "/2"
        assert orjson.loads((await wire.ask("GET /3 HTTP/1.1\r\nHost: h\r\n\r\n"))[2])["path"] == "/3"

    serve(scenario)


def test_the_client_certificate_is_seen() -> None:
    pair = AUTHORITY.client("jane", ["devs", "ops"])

    async def scenario(connect: Callable[[], Awaitable[Wire]], server: Server) -> None:
        found = orjson.loads((await (await connect()).ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n"))[2])
        assert (found["name"], found["groups"], found["local"]) == ("jane", ["devs", "ops"], False)

    serve(scenario, tls=True, client=client_context(AUTHORITY.pair.certificate, pair))


def test_a_foreign_certificate_is_refused() -> None:
    other = Authority.create("other-ca", SystemClock(), SystemIds()).client("jane", ["system:masters"])

    async def scenario(connect: Callable[[], Awaitable[Wire]], server: Server) -> None:
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await (await connect()).ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n")

    serve(scenario, tls=True, client=client_context(AUTHORITY.pair.certificate, other))


def test_no_tls_on_a_tls_port_harms_nobody() -> None:
    async def scenario(connect: Callable[[], Awaitable[Wire]], server: Server) -> None:
        wire = await connect()
        wire.writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b"200" not in await wire.reader.read()

    serve(scenario, tls=True)


def test_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"

    async def run() -> None:
        async with Server(echo) as server:
            await server.listen_unix(path)
            assert path.stat().st_mode & 0o777 == 0o600
            wire = Wire(*await asyncio.open_unix_connection(str(path)))
            assert orjson.loads((await wire.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n"))[2])["local"]
            other = Server(echo)
            with pytest.raises(ListenError, match="another process listens there"):
                await other.listen_unix(path)
        assert not path.exists()
        path.write_text("no socket")
        with pytest.raises(ListenError, match="is no socket"):
            await Server(echo).listen_unix(path)

    asyncio.run(run())


def test_a_port_in_use_is_named() -> None:
    async def run() -> None:
        async with Server(echo) as server:
            port = await server.listen(tls=False)
            with pytest.raises(ListenError, match=f"port {port} is in use"):
                await Server(echo).listen(port=port, tls=False)
            with pytest.raises(ListenError, match="not an address of this machine"):
                await Server(echo).listen("203.0.113.9", tls=False)

    asyncio.run(run())


def test_shutdown_answers_what_was_asked() -> None:
    started = asyncio.Event()

    async def handler(request: Request) -> Response:
        started.set()
        await asyncio.sleep(0.05)
        return Response(body=b"done")

    async def run() -> None:
        async with Server(handler) as server:
            port = await server.listen(tls=False)
            wire = Wire(*await asyncio.open_connection("127.0.0.1", port))
            idle = Wire(*await asyncio.open_connection("127.0.0.1", port))
            wire.writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            await started.wait()
        assert (await wire.answer())[2] == b"done"
        assert await idle.reader.read() == b""

    asyncio.run(run())


def test_too_many_connections_are_not_taken() -> None:
    async def scenario(connect: Callable[[], Awaitable[Wire]], server: Server) -> None:
        first = await connect()
        await first.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        second = await connect()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await second.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n")

    serve(scenario, limits=Limits(connections=1))
