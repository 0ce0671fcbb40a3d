"""Whom the server believes to be an agent: a real TLS port with a certificate of somebody else's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from navarch.app.dialer import HttpsDialer
from navarch.base.clock import SystemClock, SystemIds
from navarch.base.errors import Unavailable
from navarch.base.pki import Authority, client_context, server_context, unverified_context
from navarch.kinds import NODE
from navarch.kinds.object import Object

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nsaid"


async def _answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(ANSWER)
    await writer.drain()
    writer.close()


class Reads:
    """One node, whose agent listens on a port."""

    def __init__(self, port: int) -> None:
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }
        document = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}, "status": status}
        self.node = Object.of(NODE, document)

    def get(self, *_: Any) -> Object:
        return self.node


def test_a_stranger_is_believed_only_where_the_client_says_so() -> None:
    async def scenario() -> None:
        ours, theirs = (Authority.create(name, SystemClock(), SystemIds()) for name in ("ours", "theirs"))
        context = server_context(theirs.server("a", ("a", "127.0.0.1")), ours.pair.certificate)
        listening = await asyncio.start_server(_answered, "127.0.0.1", 0, ssl=context)
        reads: Any = Reads(listening.sockets[0].getsockname()[1])
        shown = ours.client("apiserver", [])
        dialer = HttpsDialer(
            lambda: reads, client_context(ours.pair.certificate, shown), lambda: unverified_context(shown)
        )
        try:
            with pytest.raises(Unavailable, match="does not answer"):
                await dialer.request("a", "GET", "/healthz")
            answer = await dialer.request("a", "GET", "/healthz", insecure=True)
            assert not isinstance(answer.body, bytes)
            assert b"".join([piece async for piece in answer.body]) == b"said"
            with pytest.raises(Unavailable):
                await dialer.request("a", "GET", "/healthz")
        finally:
            await dialer.close()
            listening.close()

    asyncio.run(asyncio.wait_for(scenario(), 60))
