"""A whole API server over a memory store, asked by `Request`s as a socket would, with a fake way to the nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson
from api_driver import HandClock

from navarch.apiserver.authn.authenticator import Credentials
from navarch.apiserver.authn.tokens import ServiceAccountTokens
from navarch.apiserver.authz.authorizer import Authorizers
from navarch.apiserver.bootstrap import Place, bootstrap
from navarch.apiserver.call import ITSELF
from navarch.apiserver.core import Core
from navarch.apiserver.dialer import Declined
from navarch.apiserver.server import ApiServer
from navarch.base.clock import SeededIds
from navarch.base.errors import Unavailable
from navarch.base.pki import new_key
from navarch.client.client import Client
from navarch.kinds import SERVICEACCOUNT
from navarch.kinds.registry import DEFAULT
from navarch.store.memory import MemoryStore
from navarch.wire.message import Peer, Request, Response, Tunnel

SIGNING_KEY = new_key()
ISSUER = "https://kubernetes.default.svc"
ADMIN = Peer(common_name="admin", organizations=("system:masters",), certificate=b"admin")
NOBODY = Peer(host="192.0.2.7")


def peer(name: str, *groups: str) -> Peer:
    """Somebody with a client certificate."""
    return Peer(common_name=name, organizations=groups, certificate=name.encode())


class FakeTunnel:
    """Gives the pieces that it was made with, then ends; keeps what was written."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.written = b""
        self.closed = False

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        return self.pieces.pop(0) if self.pieces else b""

    async def write(self, data: bytes) -> None:
        self.written += data

    async def close(self) -> None:
        self.closed = True


class FakeDialer:
    """Writes down what was asked of the nodes."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str, bytes]] = []
        self.headers: dict[str, str] = {}
        self.tunnel = FakeTunnel(b"from the node")
        self.down = False
        self.insecure = False
        self.answer: Response | None = None
        self.declines: Response | None = None

    async def request(
        self,
        node: str,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        insecure: bool = False,
    ) -> Response:
        if self.down:
            raise Unavailable(f"node {node} does not answer")
        self.insecure = insecure
        self.asked.append((node, method, target, body))
        self.headers = dict(headers)
        return self.answer or Response(
            200, (("Content-Type", "text/plain"), ("Connection", "close")), b"said by the node"
        )

    async def upgrade(
        self, node: str, target: str, headers: Sequence[tuple[str, str]]
    ) -> tuple[int, Sequence[tuple[str, str]], Tunnel]:
        self.asked.append((node, "UPGRADE", target, b""))
        self.headers = dict(headers)
        if self.declines is not None:
            raise Declined(self.declines)
        return 101, (("Upgrade", "websocket"),), self.tunnel


class Served:
    """`await served.ask("GET", "/api/v1/pods", peer)` gives (status, document)."""

    def __init__(self) -> None:
        self.clock = HandClock()
        ids = SeededIds(1)
        self.authorizers = Authorizers()
        self.core = Core(MemoryStore(), DEFAULT, self.clock, ids, authorizer=self.authorizers)
        self.authorizers.read_from(self.core.reads)
        self.tokens = ServiceAccountTokens(SIGNING_KEY, ISSUER, self.core.reads, self.clock, ids)
        self.dialer = FakeDialer()
        self.broken = ""
        self.api = ApiServer(
            self.core,
            self.core.kinds,
            Credentials(self.tokens),
            self.authorizers,
            self.tokens,
            self.clock,
            ids,
            dialer=self.dialer,
            ready={"store": lambda: self.broken},
            aggregator=self.core.aggregator,
        )

    @property
    def client(self) -> Client:
        return self.core.local(ITSELF, "tests")

    async def send(
        self,
        method: str,
        target: str,
        who: Peer = ADMIN,
        body: Any = None,
        near: FakeTunnel | None = None,
        **headers: str,
    ) -> Response:
        parts = urlsplit(target)
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        if body is not None:
            sent.setdefault("content-type", "application/json")
        content = b"" if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
        query = parse_qsl(parts.query, keep_blank_values=True)
        request = Request(method, unquote(parts.path), target, sent, query, content, who)
        if near is not None:

            async def upgrade(status: int, answered: Sequence[tuple[str, str]]) -> Tunnel:
                return near

            request.upgrade = upgrade
        return await self.api.handle(request)

    async def ask(self, method: str, target: str, who: Peer = ADMIN, body: Any = None, **headers: str) -> Any:
        response = await self.send(method, target, who, body, **headers)
        assert isinstance(response.body, bytes)
        return response.status, orjson.loads(response.body)


def served(scenario: Callable[[Served], Awaitable[None]], place: Place | None = None) -> None:
    """Run a scenario against a started and bootstrapped server."""

    async def run() -> None:
        server = Served()
        await server.core.start()
        try:
            await bootstrap(server.client, place)
            account = {"apiVersion": "v1", "kind": "ServiceAccount"}
            await server.client.create(
                SERVICEACCOUNT, {**account, "metadata": {"name": "default", "namespace": "default"}}
            )
            await scenario(server)
        finally:
            await server.core.close()

    asyncio.run(run())
