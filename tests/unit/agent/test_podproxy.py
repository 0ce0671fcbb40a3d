"""Requests and upgrades handed on to a server that stands for a pod."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from navarch.agent.fake import FakeRuntime
from navarch.agent.podproxy import PodProxy
from navarch.agent.port import Port, Streams
from navarch.agent.runtime import SandboxSpec
from navarch.base.clock import SystemClock, SystemIds
from navarch.base.errors import Unavailable
from navarch.wire.http import Server
from navarch.wire.message import Peer, Request, Response


async def echo(request: Request) -> Response:
    if request.path == "/moved":
        return Response(302, [("Location", "http://elsewhere/")])
    headers = {name: value for name, value in request.headers.items() if name not in ("content-length", "host")}
    text = f"{request.method} {request.target} {headers} {request.headers['host']} {request.body.decode()}"
    return Response(201, [("X-Pod", "yes")], text.encode())


@asynccontextmanager
async def pod() -> AsyncIterator[tuple[PodProxy, int]]:
    proxy = PodProxy()
    async with Server(echo) as server:
        port = await server.listen(tls=False)
        try:
            yield proxy, port
        finally:
            await proxy.close()


async def body_of(response: Response) -> bytes:
    assert not isinstance(response.body, bytes)
    return b"".join([piece async for piece in response.body])


def test_method_path_headers_and_body_arrive_and_the_answer_comes_back() -> None:
    async def play() -> None:
        async with pod() as (proxy, port):
            request = Request(
                "PUT", "/x", "/x", {"x-test": "kept", "host": "api:6443", "content-length": "9"}, body=b"text"
            )
            answer = await proxy.serve(request, "127.0.0.1", port, "http", "/a%20b?c=d")
            assert answer.status == 201
            assert ("X-Pod", "yes") in answer.headers
            assert await body_of(answer) == b"PUT /a%20b?c=d {'x-test': 'kept'} api:6443 text"

    asyncio.run(play())


@pytest.mark.parametrize("length", ["1000000", ""])
def test_a_body_goes_on_as_it_comes_and_says_its_length_if_it_has_one(length: str) -> None:
    async def content() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 100_000

    async def counted(request: Request) -> Response:
        how = request.headers.get("transfer-encoding", request.headers.get("content-length", ""))
        return Response(200, (), f"{how} {len(request.body)}".encode())

    async def play() -> None:
        proxy = PodProxy()
        async with Server(counted) as server:
            port = await server.listen(tls=False)
            headers = {"content-length": length} if length else {"transfer-encoding": "chunked"}
            request = Request("POST", "/x", "/x", headers, stream=content())
            answer = await proxy.serve(request, "127.0.0.1", port, "http", "/")
            assert await body_of(answer) == f"{length or 'chunked'} 1000000".encode()
            await proxy.close()

    asyncio.run(play())


def test_redirects_are_handed_back() -> None:
    async def play() -> None:
        async with pod() as (proxy, port):
            answer = await proxy.serve(Request("GET", "/", "/", {}), "127.0.0.1", port, "http", "/moved")
            assert (answer.status, dict(answer.headers)["Location"]) == (302, "http://elsewhere/")
            await body_of(answer)

    asyncio.run(play())


def test_a_pod_that_does_not_answer_is_unavailable() -> None:
    async def play() -> None:
        async with pod() as (proxy, _):
            refused = "error trying to reach service: dial tcp 127.0.0.1:1: connect: connection refused"
            with pytest.raises(Unavailable, match=refused):
                await proxy.serve(Request("GET", "/", "/", {}), "127.0.0.1", 1, "http", "/")

    asyncio.run(play())


def test_the_port_hands_on_to_pods_and_to_the_node() -> None:
    """A namespace and a pod may have any name, those of schemes and ports too."""
    asked: list[tuple[str, int, str, str]] = []

    class Spy(PodProxy):
        async def serve(self, request: Request, address: str, port: int, scheme: str, target: str) -> Response:
            asked.append((address, port, scheme, target))
            return Response(200)

    async def play() -> None:
        clock = SystemClock()
        runtime = FakeRuntime(clock, SystemIds())
        await runtime.start_sandbox(SandboxSpec("http", "80", "u"))
        (box,) = next(iter((await runtime.observe()).values())).sandboxes
        port = Port(runtime, cast(Streams, object()), clock, Spy(), "192.0.2.1")
        server = Peer(organizations=("system:masters",))
        for target in (
            "/podProxy/http/80/http/80/http/80/x?a=/b",
            "/nodeProxy/https/9100/metrics/",
            "/nodeProxy/http/1/",
        ):
            answer = await port.handle(Request("GET", target.partition("?")[0], target, {}, peer=server))
            assert answer.status == 200, answer.body
        address = box.ips[0] if box.ips else "192.0.2.1"
        assert asked == [
            (address, 80, "http", "/http/80/x?a=/b"),
            ("192.0.2.1", 9100, "https", "/metrics/"),
            ("192.0.2.1", 1, "http", "/"),
        ]

    asyncio.run(play())
