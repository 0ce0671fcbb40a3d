"""An extension API server in a thread: `apples` of `fruits.example.com/v1`, and whoever asks for them written down.

It believes the headers that say who asks only beside the front proxy's certificate, as such servers do.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from navarch.base.clock import SystemClock, SystemIds
from navarch.base.pki import Authority, server_context
from navarch.wire.http import Server
from navarch.wire.join import join
from navarch.wire.message import UPGRADED, Request, Response

GROUP, VERSION = "fruits.example.com", "v1"
NAME = f"{VERSION}.{GROUP}"
ROOT = f"/apis/{GROUP}/{VERSION}"
JSON = (("Content-Type", "application/json"),)
SCHEMA = {
    "type": "object",
    "description": "Apple is a fruit that another server grows.",
    "properties": {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "properties": {"color": {"type": "string", "description": "What it looks like."}},
        },
    },
    "x-kubernetes-group-version-kind": [{"group": GROUP, "version": VERSION, "kind": "Apple"}],
}
OPERATION: dict[str, Any] = {
    "operationId": "listApples",
    "responses": {"200": {"description": "OK"}},
    "x-kubernetes-action": "list",
    "x-kubernetes-group-version-kind": {"group": GROUP, "version": VERSION, "kind": "Apple"},
}
REFERENCE = {"$ref": "#/definitions/com.example.fruits.v1.Apple"}
OPERATION_V2 = {**OPERATION, "responses": {"200": {"description": "OK", "schema": REFERENCE}}}
PATCH_V2 = {
    **OPERATION_V2,
    "operationId": "patchApple",
    "consumes": ["application/merge-patch+json"],
    "parameters": [{"$ref": "#/parameters/body-1"}, {"$ref": "#/parameters/fieldValidation-1"}],
    "x-kubernetes-action": "patch",
}
SHARED_V2 = {
    "body-1": {"name": "body", "in": "body", "required": True, "schema": REFERENCE},
    "fieldValidation-1": {"name": "fieldValidation", "in": "query", "type": "string", "uniqueItems": True},
}
RESOURCES = [
    {
        "name": "apples",
        "singularName": "apple",
        "namespaced": True,
        "kind": "Apple",
        "verbs": ["create", "delete", "get", "list", "watch"],
        "shortNames": ["ap"],
        "categories": ["fruit"],
    },
    {"name": "apples/status", "singularName": "", "namespaced": True, "kind": "Apple", "verbs": ["get"]},
]


def _is_upload(request: Request) -> bool:
    return request.path == f"{ROOT}/uploads"


async def _received(request: Request) -> dict[str, Any]:
    """How much came, and the hash of it, without keeping it."""
    found, size = hashlib.sha256(request.body), len(request.body)
    if request.stream is not None:
        async for piece in request.stream:
            found.update(piece)
            size += len(piece)
    return {"bytes": size, "sha256": found.hexdigest(), "length": request.headers.get("content-length", "")}


@dataclass
class Extension:
    """Use it as a context. asked: each request, but the aggregator's own questions. down: answer nothing but 500.
    legacy: publish schemas in the older form alone, and say that fields are validated."""

    front_proxy_authority: str
    names: tuple[str, ...] = ("fruits.default.svc",)
    asked: list[Request] = field(default_factory=list)
    down: bool = False
    legacy: bool = False
    port: int = 0

    def __post_init__(self) -> None:
        self._authority = Authority.create("fruits-ca", SystemClock(), SystemIds())
        self._apples: dict[tuple[str, str], dict[str, Any]] = {}
        self._watchers: list[asyncio.Queue[bytes]] = []
        self._revision = 1
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    @property
    def bundle(self) -> str:
        """The CA of its certificate, as APIServices give it."""
        return base64.b64encode(self._authority.pair.certificate).decode()

    def __enter__(self) -> Extension:
        self._thread.start()
        assert self._started.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        pair = self._authority.server("fruits", self.names)
        context = server_context(pair, self.front_proxy_authority.encode())
        async with Server(self._handle, context=context, grace_s=0.5, hands_on=_is_upload) as server:
            self.port = await server.listen("127.0.0.1")
            self._started.set()
            await self._stop.wait()

    async def _handle(self, request: Request) -> Response:
        if request.peer.common_name != "front-proxy-client":
            return _json({"kind": "Status", "code": 401, "reason": "Unauthorized", "message": "who are you?"}, 401)
        if self.down:
            return Response(500, (), b"down")
        if request.headers.get("x-remote-user") != "system:kube-aggregator":
            self.asked.append(request)
        found = self._published(request.path)
        if found is None and not request.path.startswith(ROOT):
            return Response(404, (), b"404 page not found")
        return _json(found) if found is not None else await self._resource(request)

    def _published(self, path: str) -> Any:
        documents: dict[str, Any] = {
            ROOT: {
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": f"{GROUP}/{VERSION}",
                "resources": RESOURCES,
            },
            "/openapi/v3": {"paths": {ROOT[1:]: {"serverRelativeURL": f"/openapi/v3{ROOT}?hash=1"}}},
            f"/openapi/v3{ROOT}": {
                "openapi": "3.0.0",
                "info": {"title": "fruits", "version": "1"},
                "paths": {f"{ROOT}/namespaces/{{namespace}}/apples": {"get": OPERATION}},
                "components": {"schemas": {"com.example.fruits.v1.Apple": SCHEMA}},
            },
            "/openapi/v2": {
                "swagger": "2.0",
                "info": {"title": "fruits", "version": "1"},
                "paths": {f"{ROOT}/namespaces/{{namespace}}/apples": {"get": OPERATION_V2}, "/elsewhere": {}},
                "definitions": {"com.example.fruits.v1.Apple": SCHEMA},
            },
        }
        if self.legacy:
            documents = {where: one for where, one in documents.items() if not where.startswith("/openapi/v3")}
            documents["/openapi/v2"]["paths"][f"{ROOT}/namespaces/{{namespace}}/apples/{{name}}"] = {"patch": PATCH_V2}
            documents["/openapi/v2"]["parameters"] = SHARED_V2
        return documents.get(path)

    async def _resource(self, request: Request) -> Response:
        path = request.path.removeprefix(ROOT).strip("/")
        if path == "uploads":
            return _json(await _received(request))
        if path == "redirect":
            return Response(302, [("Location", "https://127.0.0.1:1/stolen")])
        if path == "echo" and request.upgrade is not None:
            tunnel = await request.upgrade(101, [("Connection", "Upgrade"), ("Upgrade", "websocket")])
            await join(tunnel, tunnel)
            return UPGRADED
        parts = path.split("/")
        namespace = parts[1] if parts[0] == "namespaces" else ""
        name = parts[3] if len(parts) > 3 else ""
        if request.method == "POST":
            return self._create(namespace, orjson.loads(request.body))
        if name:
            found = self._apples.get((namespace, name))
            if found is None:
                message = f'apples.{GROUP} "{name}" not found'
                return _json({"kind": "Status", "apiVersion": "v1", "code": 404, "message": message}, 404)
            if request.method == "DELETE":
                del self._apples[namespace, name]
                self._tell("DELETED", found)
            return _json(found)
        if request.param("watch") in ("1", "true"):
            return Response(200, JSON, self._watch())
        items = [one for (where, _), one in sorted(self._apples.items()) if where == namespace or not namespace]
        metadata = {"resourceVersion": str(self._revision)}
        return _json({"kind": "AppleList", "apiVersion": f"{GROUP}/{VERSION}", "metadata": metadata, "items": items})

    def _create(self, namespace: str, apple: dict[str, Any]) -> Response:
        self._revision += 1
        apple["metadata"] |= {
            "namespace": namespace,
            "uid": f"u{self._revision}",
            "resourceVersion": str(self._revision),
            "creationTimestamp": "2026-01-01T00:00:00Z",
        }
        self._apples[namespace, apple["metadata"]["name"]] = apple
        self._tell("ADDED", apple)
        return _json(apple, 201)

    def _tell(self, type_: str, apple: dict[str, Any]) -> None:
        for queue in self._watchers:
            queue.put_nowait(orjson.dumps({"type": type_, "object": apple}) + b"\n")

    async def _watch(self) -> AsyncIterator[bytes]:
        queue: asyncio.Queue[bytes] = asyncio.Queue(100)
        self._watchers.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._watchers.remove(queue)


def _json(document: Any, status: int = 200) -> Response:
    return Response(status, JSON, orjson.dumps(document))
