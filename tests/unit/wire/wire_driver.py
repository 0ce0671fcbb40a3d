"""A server on a real socket, and clients that write to it byte by byte."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import orjson

from navarch.base.clock import SystemClock, SystemIds
from navarch.base.errors import Forbidden
from navarch.base.pki import Authority, server_context
from navarch.wire.http import Limits, Server
from navarch.wire.message import Request, Response

AUTHORITY = Authority.create("test-ca", SystemClock(), SystemIds())
PAIR = AUTHORITY.server("server", ["127.0.0.1", "localhost"])


async def echo(request: Request) -> Response:
    if request.path == "/refuse":
        raise Forbidden("not for you")
    if request.path == "/bug":
        raise KeyError("oops")
    if request.path == "/big":
        return Response(body=b"x" * 200_000)
    if request.path == "/split":
        return Response(headers=(("Warning", "299 - a\r\nSet-Cookie: b"),))
    document = {
        "method": request.method,
        "path": request.path,
        "query": list(request.query),
        "body": request.body.decode(),
        "name": request.peer.common_name,
        "groups": request.peer.organizations,
        "local": request.peer.local,
        "twice": request.headers.get("x-twice", ""),
    }
    return Response(body=orjson.dumps(document))


class Wire:
    """A raw client connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, text: str | bytes) -> tuple[int, dict[str, str], bytes]:
        self.writer.write(text.encode() if isinstance(text, str) else text)
        return await self.answer()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        line, *rest = head.strip().split("\r\n")
        headers = {k.lower(): v for k, v in (entry.split(": ", 1) for entry in rest)}
        status = int(line.split()[1])
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await self.reader.readline(), 16):
                body += await self.reader.readexactly(size)
                await self.reader.readline()
            return status, headers, body
        return status, headers, await self.reader.readexactly(int(headers.get("content-length", 0)))


def serve(
    scenario: Callable[[Callable[[], Awaitable[Wire]], Server], Awaitable[None]],
    *,
    handler: Callable[[Request], Awaitable[Response]] = echo,
    limits: Limits | None = None,
    tls: bool = False,
    client: ssl.SSLContext | None = None,
) -> None:
    async def run() -> None:
        context = server_context(PAIR, AUTHORITY.pair.certificate) if tls else None
        async with Server(handler, context=context, limits=limits, grace_s=0.5) as server:
            port = await server.listen(tls=tls)

            async def connect(source: str = "127.0.0.1") -> Wire:
                address = (source, 0)
                return Wire(*await asyncio.open_connection("127.0.0.1", port, ssl=client, local_addr=address))

            await asyncio.wait_for(scenario(connect, server), 60)

    asyncio.run(run())


async def all_gone(server: Server) -> None:
    async with asyncio.timeout(60):
        while server.connections:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.01)
