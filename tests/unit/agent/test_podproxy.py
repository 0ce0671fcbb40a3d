"""Requests and upgrades handed on to a server that stands for a pod."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from navarch.agent.podproxy import PodProxy
from navarch.base.errors import Unavailable
from navarch.wire.http import Server
from navarch.wire.message import Request, Response


async def echo(request: Request) -> Response:
    if request.path == "/moved":
        return Response(302, [("Location", "http://elsewhere/")])
    text = f"{request.method} {request.target} {request.headers.get('x-test')} {request.body.decode()}"
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
            request = Request("PUT", "/x", "/x", {"x-test": "kept", "host": "not kept"}, body=b"text")
            answer = await proxy.serve(request, "127.0.0.1", port, "http", "/a%20b?c=d")
            assert answer.status == 201
            assert ("X-Pod", "yes") in answer.headers
            assert await body_of(answer) == b"PUT /a%20b?c=d kept text"

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
            with pytest.raises(Unavailable, match="error trying to reach service"):
                await proxy.serve(Request("GET", "/", "/", {}), "127.0.0.1", 1, "http", "/")

    asyncio.run(play())
