"""The API of a real server over TLS, 32 connections: the server's CPU time for one request, and requests a second.

The server is the one of `navarch up`, on SQLite and a disk, with its controllers and its scheduler; the load comes from
this process. The pods name another scheduler, so that what is measured is the API and what follows each change, not
the search for nodes that are not there.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import uvloop
from ground import ROOT, cpu_s, memory_mb
from load import Connection, connect, drive, request

from navarch.app.ask import server_is_ready
from navarch.app.layout import Layout, Settings, save_settings

CONNECTIONS = 32
PODS = "/api/v1/namespaces/default/pods"
WATCHERS = 200
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


def pod(name: str, image: str = "registry.example.com/shop/front:1.2.3") -> dict[str, Any]:
    """About 2 kB once it is stored, as a ReplicaSet makes them."""
    container = {
        "name": "main",
        "image": image,
        "ports": [{"containerPort": 8080, "name": "http"}],
        "env": [{"name": f"VARIABLE_{n}", "value": f"value-{n}"} for n in range(4)],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "front", "pod-template-hash": "5d4f"}},
        "spec": {"containers": [container], "nodeSelector": {"disk": "ssd"}, "schedulerName": "benchmark"},
    }


def label(number: int, value: str) -> bytes:
    return request("PATCH", f"{PODS}/k{number:05}", {"metadata": {"labels": {"round": value}}}, MERGE)


class Server:
    """A server process of its own, in a folder that is gone afterwards."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout(folder / "data", folder / "run")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.layout.run.mkdir()
        save_settings(self.layout, Settings("benchmark", "127.0.0.1", api_port=self.port))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Returns the seconds until it was ready."""
        began = time.monotonic()
        command = [sys.executable, "-m", "navarch.app.server", str(self.layout.data), str(self.layout.run)]
        with (self.layout.run / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        while server_is_ready(self.layout.server_socket):
            if self.process.poll() is not None:
                raise RuntimeError((self.layout.run / "log").read_text())
            time.sleep(0.01)
        return time.monotonic() - began

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def context(self) -> ssl.SSLContext:
        """As the administrator."""
        pki = self.layout.pki
        made = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        made.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        return made


class Meter:
    def __init__(self, server: Server, connections: list[Connection]) -> None:
        self.server = server
        self.connections = connections
        self.figures: dict[str, float] = {}

    async def run(self, name: str, count: int, make: Callable[[int], bytes]) -> None:
        await self._settled()
        spent, began = cpu_s(self.server.pid), time.perf_counter()
        await drive(self.connections, (make(number) for number in range(count)))
        took = time.perf_counter() - began
        await self._settled()
        self.figures[f"{name}_cpu_ms"] = round((cpu_s(self.server.pid) - spent) / count * 1000, 4)
        self.figures[f"{name}_per_s"] = round(count / took)

    async def _settled(self) -> None:
        """Wait until what follows the last changes is done."""
        before = -1.0
        while (now := cpu_s(self.server.pid)) - before > 0.002:
            before = now
            await asyncio.sleep(0.1)


async def writes_and_reads(meter: Meter, pods: int) -> None:
    few = min(pods, 4000)
    await meter.run("create_known_template", few, lambda n: request("POST", PODS, pod(f"k{n:05}")))
    await meter.run(
        "create_new_template", few, lambda n: request("POST", PODS, pod(f"n{n:05}", f"registry.example.com/new:{n}"))
    )
    await meter.run("get", 20_000, lambda n: request("GET", f"{PODS}/k{n % few:05}"))
    await meter.run(
        "patch_label",
        few,
        lambda n: label(n, str(n)),
    )
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    await meter.run(
        "patch_status",
        few,
        lambda n: request(
            "PATCH",
            f"{PODS}/k{n:05}/status",
            {"status": {"phase": "Running", "podIP": f"10.0.{n >> 8}.{n & 255}", "conditions": [condition]}},
            STRATEGIC,
        ),
    )
    query = "labelSelector=round%3D7"
    await meter.run("list_one_by_label", 2000, lambda n: request("GET", f"{PODS}?{query}"))


async def lists(meter: Meter, pods: int) -> None:
    made = min(pods, 4000) * 2
    more = (request("POST", PODS, pod(f"m{n:05}")) for n in range(max(0, pods - made)))
    await drive(meter.connections, more)
    many = (request("POST", "/api/v1/namespaces/kube-public/pods", pod(f"f{n:03}")) for n in range(500))
    await drive(meter.connections, many)
    few = "/api/v1/namespaces/kube-public/pods"
    connections, meter.connections = meter.connections, meter.connections[:4]
    await meter.run("list_500_pods", 60, lambda n: request("GET", few))
    meter.connections = connections[:1]
    await meter.run(f"list_{pods}_pods", 10, lambda n: request("GET", PODS))
    meter.connections = connections


async def deliveries(meter: Meter, port: int, context: ssl.SSLContext, changes: int) -> None:
    """What a change costs more because 200 watch it, for each of them."""
    rounds = itertools.count()

    def make(number: int) -> bytes:
        return label(1, f"w{next(rounds)}")

    meter.connections, connections = meter.connections[:1], meter.connections
    await meter.run("patch_unwatched", changes, make)
    watchers = await connect(WATCHERS, port, context)
    seen = [0] * WATCHERS

    def counter(number: int) -> Callable[[bytes], None]:
        def count(data: bytes) -> None:
            seen[number] += data.count(b'"type":"MODIFIED"')

        return count

    listed = orjson.loads((await meter.connections[0].ask(request("GET", f"{PODS}?limit=1"))).split(b"\r\n\r\n", 1)[1])
    since = listed["metadata"]["resourceVersion"]
    for number, watcher in enumerate(watchers):
        watcher.on_data = counter(number)
        watcher.send(request("GET", f"{PODS}?watch=1&resourceVersion={since}"))
    await asyncio.sleep(0.5)
    await meter.run("patch_watched", changes, make)
    assert min(seen) >= changes, f"watchers saw {min(seen)} to {max(seen)} of {changes}"
    before = sum(seen)
    meter.connections = connections
    await meter.run("patch_watched_in_bursts", changes * 10, lambda n: label(n, f"w{next(rounds)}"))
    spent = meter.figures["patch_watched_in_bursts_cpu_ms"] - meter.figures["patch_label_cpu_ms"]
    meter.figures["deliver_to_one_of_200_cpu_ms"] = round(
        (meter.figures["patch_watched_cpu_ms"] - meter.figures["patch_unwatched_cpu_ms"]) / WATCHERS, 5
    )
    meter.figures["deliver_to_one_of_200_in_bursts_cpu_ms"] = round(spent * changes * 10 / (sum(seen) - before), 5)
    for watcher in watchers:
        watcher.close()
    meter.connections = connections


async def load(server: Server, pods: int) -> dict[str, float]:
    context = server.context()
    connections = await connect(CONNECTIONS, server.port, context)
    account = request("GET", "/api/v1/namespaces/default/serviceaccounts")
    while b'"name":"default"' not in await connections[0].ask(account):  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.05)
    warm = (request("POST", PODS, pod(f"warm{n}")) for n in range(300))
    await drive(connections, warm)
    meter = Meter(server, connections)
    await writes_and_reads(meter, pods)
    await deliveries(meter, server.port, context, 200)
    await lists(meter, pods)
    return meter.figures


def measure(pods: int = 10_000) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="navarch-benchmark-") as folder:
        server = Server(Path(folder))
        first_start_s = server.start()
        try:
            memory = memory_mb(server.pid)
            figures = uvloop.run(load(server, pods))
            full = memory_mb(server.pid)
        finally:
            server.stop()
        again_s = server.start()
        server.stop()
    return {
        **figures,
        "first_start_s": round(first_start_s, 2),
        f"start_with_{pods}_pods_s": round(again_s, 2),
        "memory_rss_MB": memory["rss_MB"],
        f"memory_with_{pods}_pods_rss_MB": full["rss_MB"],
    }


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
