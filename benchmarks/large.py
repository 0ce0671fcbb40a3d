"""150,000 pods in one server: memory, start, lists and gets. They are made over the API, and read after a restart too.

The pods are those of `api`: 2 kB of JSON without field ownership, 3.2 kB as they are stored; 5,000 in each namespace.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import uvloop
from api import CONNECTIONS, Server, pod
from ground import cpu_s, memory_mb
from load import Connection, connect, drive, request

PODS = 150_000
PER_NAMESPACE = 5000


def namespaces(pods: int) -> list[str]:
    return [f"crowd-{number:02}" for number in range((pods + PER_NAMESPACE - 1) // PER_NAMESPACE)]


def creations(pods: int) -> Iterator[bytes]:
    for number in range(pods):
        namespace = f"crowd-{number // PER_NAMESPACE:02}"
        image = f"registry.example.com/shop/front:{number % 40}"
        yield request("POST", f"/api/v1/namespaces/{namespace}/pods", pod(f"p{number:06}", image))


async def fill(server: Server, pods: int) -> dict[str, float]:
    connections = await connect(CONNECTIONS, server.port, server.context())
    for name in namespaces(pods):
        await connections[0].ask(request("POST", "/api/v1/namespaces", {"metadata": {"name": name}}))
    for name in namespaces(pods):
        wanted = request("GET", f"/api/v1/namespaces/{name}/serviceaccounts")
        while b'"name":"default"' not in await connections[0].ask(wanted):  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.05)
    spent = cpu_s(server.pid)
    await drive(connections, creations(pods))
    made = (cpu_s(server.pid) - spent) / pods * 1000
    await settled(server)
    return {"create_cpu_ms": round(made, 4), "rss_after_creating_MB": memory_mb(server.pid)["rss_MB"]}


async def settled(server: Server) -> None:
    """Wait until what follows the last changes is done."""
    before = -1.0
    while (now := cpu_s(server.pid)) - before > 0.02:
        before = now
        await asyncio.sleep(0.5)


async def read(server: Server, pods: int) -> dict[str, float]:
    await settled(server)
    found = {"rss_after_starting_MB": memory_mb(server.pid)["rss_MB"], "start_cpu_s": round(cpu_s(server.pid), 2)}
    connections = await connect(CONNECTIONS, server.port, server.context())

    def name(number: int) -> str:
        at = number * 7919 % pods
        return f"/api/v1/namespaces/crowd-{at // PER_NAMESPACE:02}/pods/p{at:06}"

    spent = cpu_s(server.pid)
    await drive(connections, (request("GET", name(number)) for number in range(5000)))
    found["get_cpu_ms"] = round((cpu_s(server.pid) - spent) / 5000 * 1000, 4)
    found["list_500_cpu_ms"] = await listed(server, connections[0], "/api/v1/namespaces/crowd-01/pods?limit=500", 20)
    found["list_one_namespace_cpu_ms"] = await listed(server, connections[0], "/api/v1/namespaces/crowd-01/pods", 5)
    began = time.perf_counter()
    found["list_all_cpu_ms"] = await listed(server, connections[0], "/api/v1/pods", 1)
    found["list_all_s"] = round(time.perf_counter() - began, 2)
    await settled(server)
    found["rss_after_listing_MB"] = memory_mb(server.pid)["rss_MB"]
    return found


async def listed(server: Server, connection: Connection, target: str, count: int) -> float:
    spent = cpu_s(server.pid)
    for _ in range(count):
        await connection.ask(request("GET", target))
    return round((cpu_s(server.pid) - spent) / count * 1000, 3)


def measure(pods: int = PODS) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="navarch-benchmark-") as folder:
        server = Server(Path(folder))
        server.start()
        try:
            figures = uvloop.run(fill(server, pods))
        finally:
            server.stop()
        figures["start_s"] = round(server.start(), 2)
        try:
            figures |= uvloop.run(read(server, pods))
        finally:
            server.stop()
    figures["kB_for_one_pod"] = round(figures["rss_after_starting_MB"] * 1024 / pods, 1)
    return figures


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
