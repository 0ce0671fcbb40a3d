"""CPU time of a request through the whole server: TLS, authentication, roles, core, over 32 connections.

The server runs in a process of its own, whose CPU time is read from /proc, so the clients' work does not count.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
from multiprocessing.synchronize import Event
from typing import Any

import uvloop
from ground import cpu_s, memory_mb

from navarch.apiserver.call import ITSELF
from navarch.app.control_plane import ControlPlane, Settings
from navarch.base.clock import SystemClock, SystemIds
from navarch.base.pki import Authority, Pair, client_context, new_key, server_context
from navarch.kinds import CLUSTERROLEBINDING, CONFIGMAP
from navarch.store.memory import MemoryStore
from navarch.wire.http import Server

CONNECTIONS = 32
HOST = "127.0.0.1"
RBAC = "rbac.authorization.k8s.io"
PATH = "/api/v1/namespaces/default/configmaps/two-kilobytes"


async def _fill(plane: ControlPlane) -> None:
    client = plane.client(ITSELF, "benchmark")
    subject = {"kind": "User", "name": "jane", "apiGroup": RBAC}
    role = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "view"}
    binding: dict[str, Any] = {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "jane"}}
    await client.create(CLUSTERROLEBINDING, {**binding, "roleRef": role, "subjects": [subject]})
    metadata = {"name": "two-kilobytes", "namespace": "default"}
    await client.create(
        CONFIGMAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"x": "y" * 1700}}
    )


def serve(pair: Pair, authority: bytes, ports: Any, stop: Event) -> None:
    """The server's process."""

    async def run() -> None:
        plane = ControlPlane(MemoryStore(), SystemClock(), SystemIds(), Settings(new_key()))
        await plane.start()
        await _fill(plane)
        async with Server(plane.server.handle, context=server_context(pair, authority), grace_s=1) as server:
            ports.put(await server.listen(HOST))
            await asyncio.to_thread(stop.wait)
        await plane.close()

    uvloop.run(run())


async def ask(port: int, authority: bytes, pair: Pair, count: int) -> None:
    """One connection that asks again and again."""
    reader, writer = await asyncio.open_connection(HOST, port, ssl=client_context(authority, pair))
    request = f"GET {PATH} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: benchmark/1\r\nAccept: application/json\r\n\r\n"
    for _ in range(count):
        writer.write(request.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head:
            raise SystemExit(f"the server refused: {head.decode()}")
        await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
    writer.close()


async def asked(pid: int, port: int, authority: Authority, count: int) -> dict[str, float]:
    ca = authority.pair.certificate
    pair = authority.client("jane", ["viewers"])

    async def all_ask(each: int) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(ask(port, ca, pair, each))

    await all_ask(20)
    used, began = cpu_s(pid), time.perf_counter()
    await all_ask(count // CONNECTIONS)
    used, took = cpu_s(pid) - used, time.perf_counter() - began
    opened = cpu_s(pid)
    await all_ask(1)
    opened = cpu_s(pid) - opened
    return {
        "get_2_kB_cpu_ms": round(used / count * 1e3, 4),
        "gets_per_second": round(count / took),
        "new_connection_cpu_ms": round(opened / CONNECTIONS * 1e3, 2),
        "server_memory_MB": round(memory_mb(pid)["rss_MB"], 1),
    }


def measure(count: int = 32_000) -> dict[str, float]:
    authority = Authority.create("benchmark-ca", SystemClock(), SystemIds())
    spawn = multiprocessing.get_context("spawn")
    ports, stop = spawn.Queue(), spawn.Event()
    arguments = (authority.server("server", [HOST]), authority.pair.certificate, ports, stop)
    process = spawn.Process(target=serve, args=arguments)
    process.start()
    try:
        return uvloop.run(asked(process.pid or 0, ports.get(timeout=30), authority, count))
    finally:
        stop.set()
        process.join(10)


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
