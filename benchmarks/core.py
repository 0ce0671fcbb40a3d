"""CPU time of the API server's core: create, get, patch, list, watch, without sockets and on the memory store."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from navarch.apiserver.call import Call, User
from navarch.apiserver.core import Core
from navarch.base.clock import SystemClock, SystemIds
from navarch.kinds.registry import DEFAULT
from navarch.store.memory import MemoryStore
from navarch.wire.message import Request, Response

ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
PODS = "/api/v1/namespaces/default/pods"


def pod(name: str) -> dict[str, Any]:
    """About 2 kB once it is stored, as a ReplicaSet makes them."""
    container = {
        "name": "main",
        "image": "registry.example.com/shop/front:1.2.3",
        "ports": [{"containerPort": 8080, "name": "http"}],
        "env": [{"name": f"VARIABLE_{n}", "value": f"value-{n}"} for n in range(4)],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
    }
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "front-5d4f", "uid": "8d8c5f1e", "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "front", "pod-template-hash": "5d4f"}, "ownerReferences": [owner]},
        "spec": {"containers": [container], "nodeSelector": {"disk": "ssd"}},
    }


class Driver:
    def __init__(self, core: Core) -> None:
        self._core = core

    async def send(
        self, verb: str, path: str, body: bytes = b"", type_: str = "application/json", query: Any = ()
    ) -> Response:
        parts = path.strip("/").split("/")
        rest = parts[2:]
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        resource, name, subresource = (*rest, "", "")[:3]
        headers = {"content-type": type_, "user-agent": "bench/1", "accept": "application/json"}
        request = Request("", path, path, headers, query, body)
        found = await self._core.handle(
            Call(request, ADMIN, verb, path, "", "v1", resource, subresource, namespace, name, True)
        )
        assert found.status < 300, found.body
        return found


async def measured(count: int, step: Callable[[int], Awaitable[Any]]) -> float:
    """CPU milliseconds for one of `count` steps."""
    began = time.process_time()
    for number in range(count):
        await step(number)
    return (time.process_time() - began) / count * 1000


async def writes(api: Driver, count: int) -> dict[str, float]:
    bodies = [orjson.dumps(pod(f"p{n:06}")) for n in range(count)]
    merge = "application/merge-patch+json"
    strategic = "application/strategic-merge-patch+json"
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    status = orjson.dumps({"status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": [condition]}})
    few = min(count, 2000)
    return {
        "create_pod": await measured(count, lambda n: api.send("create", PODS, bodies[n])),
        "get_pod": await measured(few, lambda n: api.send("get", f"{PODS}/p{n:06}")),
        "patch_label": await measured(
            few, lambda n: api.send("patch", f"{PODS}/p{n:06}", b'{"metadata":{"labels":{"round":"%d"}}}' % n, merge)
        ),
        "patch_status": await measured(few, lambda n: api.send("patch", f"{PODS}/p{n:06}/status", status, strategic)),
        "bind_pod": await measured(
            few, lambda n: api.send("create", f"{PODS}/p{n:06}/binding", b'{"target":{"kind":"Node","name":"n1"}}')
        ),
        "patch_without_effect": await measured(
            few, lambda n: api.send("patch", f"{PODS}/p{n:06}", b'{"metadata":{"labels":{"round":"%d"}}}' % n, merge)
        ),
    }


async def reads(api: Driver, count: int) -> dict[str, float]:
    async def whole(query: Any) -> int:
        found = await api.send("list", PODS, query=query)
        if isinstance(found.body, bytes):
            return len(found.body)
        return sum([len(piece) async for piece in found.body])

    by_node = [("fieldSelector", "spec.nodeName=n1"), ("limit", "1")]
    by_label = [("labelSelector", "round=7")]
    await whole(by_node)
    await whole(by_label)
    return {
        f"list_{count}_pods": await measured(3, lambda n: whole(())),
        "list_by_label_one_found": await measured(200, lambda n: whole(by_label)),
    }


async def deliveries(api: Driver, watchers: int, changes: int) -> dict[str, float]:
    """CPU for one event brought to one of many watchers of the same thing."""
    got = 0

    async def follow(body: Any) -> None:
        nonlocal got
        async for chunk in body:
            got += chunk.count(b"\n")
            if got >= watchers * changes:
                return

    bodies = [
        (await api.send("watch", PODS, query=[("watch", "1"), ("resourceVersion", "0"), ("labelSelector", "w=1")])).body
        for _ in range(watchers)
    ]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(follow(body)) for body in bodies]
        await asyncio.sleep(0)
        body = orjson.dumps(pod("watched") | {"metadata": {"name": "watched", "labels": {"w": "1"}}})
        began = time.process_time()
        await api.send("create", PODS, body)
        merge = "application/merge-patch+json"
        for n in range(changes - 1):
            await api.send("patch", f"{PODS}/watched", b'{"metadata":{"labels":{"r":"%d"}}}' % n, merge)
        while got < watchers * changes:  # noqa: ASYNC110 - an event would be part of what is measured
            await asyncio.sleep(0)
        spent = time.process_time() - began
        for task in tasks:
            task.cancel()
    return {"deliver_to_watcher": spent / (watchers * changes) * 1000}


async def main(count: int) -> dict[str, Any]:
    core = Core(MemoryStore(), DEFAULT, SystemClock(), SystemIds())
    await core.start()
    api = Driver(core)
    await api.send("create", "/api/v1/namespaces", b'{"metadata":{"name":"default"}}')
    await api.send("create", "/api/v1/namespaces/default/serviceaccounts", b'{"metadata":{"name":"default"}}')
    for n in range(200):  # everything that is made on first use
        await api.send("create", PODS, orjson.dumps(pod(f"warm{n}")))
        await api.send("delete", f"{PODS}/warm{n}")
    gc.collect()
    gc.freeze()
    found = await writes(api, count)
    found |= await reads(api, count)
    found |= await deliveries(api, 200, 100)
    await core.close()
    return {name: round(figure, 4) for name, figure in found.items()}


def measure(count: int = 10_000) -> dict[str, Any]:
    return asyncio.run(main(count))


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
