"""A core over a memory store, spoken to as the chain would: one `Call` for each request. For the tests of this room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from navarch.apiserver.allocate import ADDRESSES
from navarch.apiserver.call import Call, User
from navarch.apiserver.core import Core
from navarch.base.clock import SeededIds
from navarch.kinds.registry import DEFAULT
from navarch.store.memory import MemoryStore
from navarch.wire import protobuf
from navarch.wire.message import Request, Response

ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class HandClock:
    """Time that moves only when a test says so. Sleeps of less than a second take none; longer ones wait for `turn`."""

    def __init__(self) -> None:
        self.moment = START
        self._sleepers: list[tuple[datetime, asyncio.Event]] = []

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return (self.moment - START).total_seconds()

    def turn(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)
        for due, woken in self._sleepers:
            if due <= self.moment:
                woken.set()

    def sleeps(self, at_most_s: float) -> bool:
        """Whether somebody sleeps who wakes within that time: who does not yet would sleep through a turn."""
        latest = self.moment + timedelta(seconds=at_most_s)
        return any(due <= latest and not woken.is_set() for due, woken in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        if seconds < 1:
            await asyncio.sleep(0)
            return
        woken = asyncio.Event()
        self._sleepers.append((self.moment + timedelta(seconds=seconds), woken))
        await woken.wait()


class Refused(Exception):
    """An answer that is no success. status: the Status document."""

    def __init__(self, status: dict[str, Any]) -> None:
        super().__init__(status["message"])
        self.status = status
        self.code = status["code"]
        self.reason = status.get("reason")
        self.message = status["message"]
        self.causes = status.get("details", {}).get("causes", [])


class Api:
    """`await api.get("/api/v1/pods")`: documents for successes, `Refused` for the rest."""

    def __init__(self, core: Core, store: MemoryStore, clock: HandClock) -> None:
        self.core = core
        self.store = store
        self.clock = clock
        self.user = ADMIN
        self.warnings: list[str] = []

    async def send(
        self, method: str, target: str, body: Any = None, type_: str = "application/json", **headers: str
    ) -> Response:
        parts = urlsplit(target)
        query = parse_qsl(parts.query, keep_blank_values=True)
        content = b"" if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
        sent = {"content-type": type_, "user-agent": "tests/1"} | {k.replace("_", "-"): v for k, v in headers.items()}
        request = Request(method, parts.path, target, sent, query, content)
        call = parse_call(request, self.user)
        response = await self.core.handle(call)
        self.warnings = call.warnings
        return response

    async def ask(self, method: str, target: str, body: Any = None, type_: str = "application/json", **h: str) -> Any:
        response = await self.send(method, target, body, type_, **h)
        content = await whole(response)
        found = protobuf.decode(content) if content.startswith(b"k8s") else orjson.loads(content)
        if response.status >= 400:
            raise Refused(found)
        return found

    async def get(self, target: str, **headers: str) -> Any:
        return await self.ask("GET", target, **headers)

    async def post(self, target: str, body: Any, **headers: str) -> Any:
        return await self.ask("POST", target, body, **headers)

    async def put(self, target: str, body: Any, **headers: str) -> Any:
        return await self.ask("PUT", target, body, **headers)

    async def delete(self, target: str, body: Any = None) -> Any:
        return await self.ask("DELETE", target, body)

    async def merge(self, target: str, body: Any) -> Any:
        return await self.ask("PATCH", target, body, "application/merge-patch+json")

    async def strategic(self, target: str, body: Any) -> Any:
        return await self.ask("PATCH", target, body, "application/strategic-merge-patch+json")

    async def json_patch(self, target: str, body: Any) -> Any:
        return await self.ask("PATCH", target, body, "application/json-patch+json")

    async def apply(self, target: str, body: Any, manager: str = "me", force: bool = False) -> Any:
        query = f"fieldManager={manager}&force={'true' if force else 'false'}"
        return await self.ask("PATCH", f"{target}?{query}", body, "application/apply-patch+yaml")

    async def watch(self, target: str, **headers: str) -> Watching:
        response = await self.send("GET", target, **headers)
        if response.status >= 400:
            raise Refused(orjson.loads(await whole(response)))
        return Watching(response)


class Watching:
    """Events of a watch, one at a time."""

    def __init__(self, response: Response) -> None:
        assert not isinstance(response.body, bytes)
        self._body = response.body
        self._lines: list[bytes] = []

    async def event(self) -> dict[str, Any]:
        """The next one. Raises: StopAsyncIteration at the end, TimeoutError when nothing comes."""
        while not self._lines:
            chunk = await asyncio.wait_for(anext(self._body), 60)
            self._lines = chunk.splitlines()
        found: dict[str, Any] = orjson.loads(self._lines.pop(0))
        return found

    async def events(self, count: int) -> list[dict[str, Any]]:
        return [await self.event() for _ in range(count)]

    async def close(self) -> None:
        await self._body.aclose()  # type: ignore[attr-defined]


async def whole(response: Response) -> bytes:
    if isinstance(response.body, bytes):
        return response.body
    return b"".join([chunk async for chunk in response.body])


VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


def parse_call(request: Request, user: User) -> Call:
    """What the chain makes of a request for a resource."""
    parts = request.path.strip("/").split("/")
    group, version, rest = ("", parts[1], parts[2:]) if parts[0] == "api" else (parts[1], parts[2], parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    resource, name, subresource = (*rest, "", "")[:3]
    if request.method == "GET":
        verb = "watch" if request.param("watch") in ("1", "true") else "get" if name else "list"
    elif request.method == "DELETE":
        verb = "delete" if name else "deletecollection"
    else:
        verb = VERBS[request.method]
    return Call(request, user, verb, request.path, group, version, resource, subresource, namespace, name, True)


@asynccontextmanager
async def an_api(
    namespaces: tuple[str, ...] = ("default",), store: MemoryStore | None = None, networks: str = ADDRESSES
) -> AsyncIterator[Api]:
    """A running core with these namespaces, each with its default service account."""
    clock = HandClock()
    kept = store or MemoryStore()
    core = Core(kept, DEFAULT, clock, SeededIds(1), networks=networks)
    await core.start()
    api = Api(core, kept, clock)
    try:
        for name in namespaces:
            await api.post("/api/v1/namespaces", {"metadata": {"name": name}})
            await api.post(f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": "default"}})
        yield api
    finally:
        await core.close()


def run(test: Callable[[Api], Awaitable[None]], **options: Any) -> None:
    """Run an async test against an API of its own."""

    async def go() -> None:
        async with an_api(**options) as api:
            await test(api)

    asyncio.run(asyncio.wait_for(go(), 60))


def config(name: str = "one", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def a_pod(name: str = "web", **spec: Any) -> dict[str, Any]:
    containers = [{"name": "main", "image": "nginx:1"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {"containers": containers, **spec},
    }


CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
