"""A real HTTPS server in a thread: what webhooks and converters are in tests, the good ones and the bad ones."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from navarch.base.clock import SystemClock, SystemIds
from navarch.base.pki import Authority, Pair, server_context

Reviewed = Callable[[dict[str, Any]], dict[str, Any]]
"""From a review's `request` to its `response`, without the uid."""
Raw = Callable[["Handler"], None]
"""Answers by itself, however badly."""
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Asked:
    path: str
    query: dict[str, str]
    review: dict[str, Any]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener
    body: bytes = b""

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = urlsplit(self.path)
        owner = self.server.owner
        if parts.path in owner.raw:
            owner.raw[parts.path](self)
            return
        if parts.path not in owner.answers:
            self.send(404, b"404 page not found\n", "text/plain")
            return
        review = json.loads(self.body)
        owner.asked.append(Asked(parts.path, dict(parse_qsl(parts.query)), review))
        response = owner.answers[parts.path](review["request"])
        response = {"uid": review["request"]["uid"], **response}
        answer = {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}
        self.send(200, json.dumps(answer).encode())

    def send(self, status: int, body: bytes, type_: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", type_)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    owner: HookServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that break are what some tests are about."""


@dataclass
class HookServer:
    """answers, raw: by path. asked: every review that came, in order. names: what its certificate is for."""

    names: tuple[str, ...] = (HOST,)
    answers: dict[str, Reviewed] = field(default_factory=dict)
    raw: dict[str, Raw] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    """Set when the server stops: what those wait for that hang."""

    def __post_init__(self) -> None:
        self.authority = Authority.create("hooks", SystemClock(), SystemIds())
        self.pair: Pair = self.authority.server("hook", self.names)

    def __enter__(self) -> HookServer:
        listener = _Listener((HOST, 0), Handler)
        listener.owner = self
        context: ssl.SSLContext = server_context(self.pair)
        listener.socket = context.wrap_socket(listener.socket, server_side=True, do_handshake_on_connect=False)
        self._listener = listener
        self._thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._listener.server_address[1])

    @property
    def bundle(self) -> str:
        return base64.b64encode(self.authority.pair.certificate).decode()

    def client(self, path: str) -> dict[str, Any]:
        """A `clientConfig` that leads here."""
        return {"url": f"https://{HOST}:{self.port}{path}", "caBundle": self.bundle}

    def reviews(self, path: str) -> list[dict[str, Any]]:
        """The requests that came to a path."""
        return [one.review["request"] for one in self.asked if one.path == path]
