"""Certificates of server and agent change twenty times under requests and streams: none of them notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from navarch.app import identity
from navarch.app.dialer import HttpsDialer
from navarch.app.layout import Layout, Settings
from navarch.base.clock import SystemClock
from navarch.base.pki import client_context, server_context, unverified_context
from navarch.kinds import NODE
from navarch.kinds.object import Object
from navarch.wire.http import Server
from navarch.wire.message import UPGRADED, Request, Response

TURNS = 20
SETTINGS = Settings("one", "127.0.0.1")
UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")]


class Agent:
    """Answers as an agent does: a request at once, `/logs` a line whenever there is one, `/exec` what it is sent."""

    def __init__(self) -> None:
        self.lines: asyncio.Queue[bytes] = asyncio.Queue(100)
        self.peers: set[str] = set()

    async def handle(self, request: Request) -> Response:
        assert request.peer.organizations == ("system:masters",)
        if request.path == "/logs":
            return Response(200, body=self._follow())
        if request.path == "/exec":
            assert request.upgrade
            tunnel = await request.upgrade(101, UPGRADE)
            while data := await tunnel.read():
                await tunnel.write(data)
            await tunnel.close()
            return UPGRADED
        return Response(200, body=b"ok")

    async def _follow(self) -> AsyncIterator[bytes]:
        while line := await self.lines.get():
            yield line


class Reads:
    """One node, whose agent listens on a port."""

    def __init__(self, port: int) -> None:
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }
        document = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "one"}, "status": status}
        self.node = Object.of(NODE, document)

    def get(self, *_: Any) -> Object:
        return self.node


def test_twenty_rotations_break_no_request_and_no_stream(tmp_path: Path) -> None:
    async def scenario() -> None:
        layout, clock, agent = Layout(tmp_path / "data", tmp_path / "run"), SystemClock(), Agent()
        who = identity.prepare(layout, SETTINGS, clock)
        async with Server(agent.handle, context=server_context(who.agent, who.ca), clock=clock) as server:
            reads: Any = Reads(await server.listen("127.0.0.1", 0))
            dialer = HttpsDialer(
                lambda: reads, client_context(who.ca, who.dialer), lambda: unverified_context(who.dialer)
            )

            def show_agent(found: identity.NodeIdentity) -> None:
                server.context = server_context(found.agent, found.ca)

            def show_server(found: identity.Identity) -> None:
                dialer.show(client_context(found.ca, found.dialer), lambda: unverified_context(found.dialer))

            renewals = (
                identity.Renewal(identity.load_node(layout), lambda: identity.load_node(layout), show_agent),
                identity.Renewal(who, lambda: identity.prepare(layout, SETTINGS, clock), show_server),
            )
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(renewal.run()) for renewal in renewals]
                logs = await dialer.request("one", "GET", "/logs")
                _, _, tunnel = await dialer.upgrade("one", "/exec", UPGRADE)
                assert not isinstance(logs.body, bytes)
                asked = 0
                for turn in range(TURNS):
                    before = server.context
                    identity.renew_all(layout, SETTINGS, clock)
                    for renewal in renewals:
                        renewal.hurry()
                    while server.context is before:
                        asked += await ask(dialer)
                    asked += await ask(dialer)
                    line = b"turn %d\n" % turn
                    agent.lines.put_nowait(line)
                    assert await anext(logs.body) == line
                    await tunnel.write(line)
                    assert await tunnel.read() == line
                assert asked >= 2 * TURNS
                agent.lines.put_nowait(b"")
                assert [piece async for piece in logs.body] == []
                await tunnel.close()
                for task in tasks:
                    task.cancel()
            await dialer.close()

    asyncio.run(asyncio.wait_for(scenario(), 100))


async def ask(dialer: HttpsDialer) -> int:
    """Two requests at once, one on a new connection; how many were answered."""
    answers = await asyncio.gather(*(dialer.request("one", "GET", "/healthz") for _ in range(2)))
    for answer in answers:
        assert not isinstance(answer.body, bytes)
        assert (answer.status, b"".join([piece async for piece in answer.body])) == (200, b"ok")
    return len(answers)
