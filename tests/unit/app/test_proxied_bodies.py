"""A large body on its whole way: client, API server, agent, pod; each hands on what it has and keeps nothing."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from navarch.agent.podproxy import PodProxy
from navarch.apiserver import forwarding
from navarch.app.dialer import HttpsDialer
from navarch.base.clock import SystemClock, SystemIds
from navarch.base.pki import Authority, client_context, server_context, unverified_context
from navarch.kinds import NODE
from navarch.kinds.object import Object
from navarch.wire.http import Server
from navarch.wire.http_body import BUFFER_BYTES, Body
from navarch.wire.message import Request, Response

PART = bytes(range(256)) * 4096
PARTS = 50


class Reads:
    def __init__(self, port: int) -> None:
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }
        self.node = Object.of(NODE, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}, "status": status})

    def get(self, *_: Any) -> Object:
        return self.node


class Way:
    """held: the most that a server on the way held of a body at a time. gone: requests whose client left midway."""

    def __init__(self) -> None:
        self.held = 0
        self.gone = 0

    async def pod(self, request: Request) -> Response:
        found, size = hashlib.sha256(), 0
        assert request.stream is not None
        try:
            async for piece in request.stream:
                found.update(piece)
                size += len(piece)
        except (ConnectionError, asyncio.CancelledError):
            self.gone += 1
            raise
        return Response(200, (), found.hexdigest().encode())

    def seen(self, request: Request) -> None:
        body = request.stream
        assert isinstance(body, Body)

        class Watched:
            """The same body, looked at with every piece that is read."""

            def __aiter__(watched) -> Any:
                return watched

            async def __anext__(watched) -> bytes:
                piece = await body.__anext__()
                self.held = max(self.held, body.held_bytes + len(piece))
                return piece

        request.stream = Watched()


async def along(scenario: Callable[[int, Way], Awaitable[None]]) -> None:
    """scenario: with the API server's port."""
    authority, way, proxy = Authority.create("ca", SystemClock(), SystemIds()), Way(), PodProxy()
    context = server_context(authority.server("a", ("a", "127.0.0.1")), authority.pair.certificate)
    shown = authority.client("apiserver", ["system:masters"])

    async with Server(way.pod, grace_s=0.5, hands_on=lambda _: True) as pod:
        pod_port = await pod.listen(tls=False)

        async def agent(request: Request) -> Response:
            way.seen(request)
            return await proxy.serve(request, "127.0.0.1", pod_port, "http", "/")

        async with Server(agent, context=context, grace_s=0.5, hands_on=lambda _: True) as at_node:
            reads: Any = Reads(await at_node.listen())
            trusted = client_context(authority.pair.certificate, shown)
            dialer = HttpsDialer(lambda: reads, trusted, lambda: unverified_context(shown))

            async def api(request: Request) -> Response:
                headers = forwarding.sent_on(request)
                way.seen(request)
                return forwarding.returned(await dialer.request("a", "POST", "/x", headers, request.content))

            async with Server(api, grace_s=0.5, hands_on=lambda _: True) as front:
                try:
                    await asyncio.wait_for(scenario(await front.listen(tls=False), way), 120)
                finally:
                    await dialer.close()
                    await proxy.close()


def test_fifty_megabytes_arrive_and_little_of_them_is_held() -> None:
    async def scenario(port: int, way: Way) -> None:
        wanted = hashlib.sha256(PART * PARTS).hexdigest().encode()
        for chunked in (False, True):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            how = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (len(PART) * PARTS)
            writer.write(b"POST /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n%b\r\n\r\n" % how)
            for _ in range(PARTS):
                writer.write(b"%x\r\n%b\r\n" % (len(PART), PART) if chunked else PART)
                await writer.drain()
            if chunked:
                writer.write(b"0\r\n\r\n")
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert answer.endswith(b"\r\n\r\n" + wanted)
            writer.close()
        assert 0 < way.held <= 4 * BUFFER_BYTES

    asyncio.run(along(scenario))


def test_a_client_that_stops_midway_is_missed_all_along() -> None:
    async def scenario(port: int, way: Way) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 50000000\r\n\r\n" + PART)
        await writer.drain()
        while not way.held:  # noqa: ASYNC110 - until some of it is under way
            await asyncio.sleep(0.01)
        writer.transport.abort()
        while not way.gone:  # noqa: ASYNC110 - until the pod has heard of it
            await asyncio.sleep(0.01)

    asyncio.run(along(scenario))
