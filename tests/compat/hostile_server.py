"""A server for strangers: everything over one loopback port in the clear, where every caller is an administrator.

It stands for what comes behind authentication, which is where a request can do most.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

import requests

from navarch.apiserver.authn.authenticator import Credentials
from navarch.apiserver.authn.tokens import ServiceAccountTokens
from navarch.apiserver.authz.authorizer import Authorizers
from navarch.apiserver.bootstrap import bootstrap
from navarch.apiserver.call import ITSELF
from navarch.apiserver.core import Core
from navarch.apiserver.server import ApiServer
from navarch.base.clock import SeededIds, SystemClock
from navarch.base.pki import new_key
from navarch.kinds.registry import DEFAULT
from navarch.store.memory import MemoryStore
from navarch.wire.http import Limits, Server
from navarch.wire.message import Peer, Request, Response

HOST = "127.0.0.1"
ADMIN = Peer(common_name="admin", organizations=("system:masters",), certificate=b"admin")
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Answer:
    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str:
        for line in self.head.decode("latin-1").split("\r\n"):
            key, _, value = line.partition(":")
            if key.lower() == name.lower():
                return value.strip()
        return ""

    def document(self) -> Any:
        return json.loads(self.body)


class HostileServer:
    """Use as a context. `bugs` counts what the server itself calls a bug."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0
        self.api: ApiServer | None = None

    def __enter__(self) -> HostileServer:
        self._thread.start()
        assert self._ready.wait(60)
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as failure:
            self._failure = failure
            self._ready.set()
            raise

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        clock, ids = SystemClock(), SeededIds(1)
        authorizers = Authorizers()
        core = Core(MemoryStore(), DEFAULT, clock, ids, authorizer=authorizers)
        authorizers.read_from(core.reads)
        tokens = ServiceAccountTokens(new_key(), "https://kubernetes.default.svc", core.reads, clock, ids)
        api = self.api = ApiServer(core, core.kinds, Credentials(tokens), authorizers, tokens, clock, ids)

        async def handle(request: Request) -> Response:
            request.peer = replace(ADMIN, host=HOST)
            return await api.handle(request)

        await core.start()
        try:
            async with Server(
                handle, limits=self._limits, clock=clock, grace_s=1.0, end_streams=core.end_watches
            ) as server:
                self.port = await server.listen(HOST, tls=False)
                await bootstrap(core.local(ITSELF, "navarch"))
                self._ready.set()
                await self._stop.wait()
        finally:
            await core.close()

    def on_loop(self, what: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(what(), self._loop).result(PATIENCE_S)

    @property
    def bugs(self) -> dict[tuple[str, ...], float]:
        assert self.api is not None
        return dict(self.api.metrics.counter("navarch_bugs", "", ("where",)).present())

    @property
    def base(self) -> str:
        return f"http://{HOST}:{self.port}"

    def http(self) -> requests.Session:
        return requests.Session()

    def connect(self) -> socket.socket:
        return socket.create_connection((HOST, self.port), timeout=PATIENCE_S)

    def raw(self, data: bytes, *, more: bool = False) -> bytes:
        """Everything that the server says to these bytes until it ends the connection. more: leave our side open."""
        with self.connect() as stream:
            try:
                stream.sendall(data)
                if not more:
                    stream.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it heard enough; what it said is read all the same
            found = b""
            try:
                while piece := stream.recv(65536):
                    found += piece
            except ConnectionResetError:
                pass
            return found

    def ask(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        """One request with exactly these bytes as target and body."""
        lines = [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body or method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {len(body)}")
            if "content_type" not in headers:
                lines.append("Content-Type: application/json")
        found = self.raw("\r\n".join([*lines, "", ""]).encode("latin-1", "surrogateescape") + body, more=True)
        head, _, rest = found.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 "), found[:200]
        answer = Answer(int(head.split(b" ", 2)[1]), head, rest)
        if answer.header("transfer-encoding") == "chunked":
            return Answer(answer.status, head, _unchunked(rest))
        return answer

    def lives(self) -> bool:
        return self.ask("GET", "/livez").body == b"ok"


def _unchunked(data: bytes) -> bytes:
    found = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size or b"0", 16)
        found, data = found + data[:length], data[length + 2 :]
    return found
