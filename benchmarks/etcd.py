"""The API of a server whose state is in etcd, over TLS: CPU time of the server and of etcd for one request, and the
time that one takes alone.

The same load as `api`, 32 connections; etcd is one member of Debian's, on the same machine, with its files on the disk.
Every get is proven to be the newest: requests that come together share the question to etcd.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop
from api import CONNECTIONS, PODS, Meter, Server, label, pod
from ground import ROOT, cpu_s
from load import Connection, connect, drive, request

from navarch.app.layout import load_settings, save_settings

sys.path.insert(0, str(ROOT / "tests" / "robustness"))

from etcdprocess import EtcdProcess, etcd_running

FEW = 3000


class MeterOfBoth(Meter):
    """Counts etcd's CPU time beside the server's."""

    def __init__(self, server: Server, connections: list[Connection], etcd: EtcdProcess) -> None:
        super().__init__(server, connections)
        self.etcd = etcd

    async def run(self, name: str, count: int, make: Callable[[int], bytes]) -> None:
        assert self.etcd.process is not None
        spent = cpu_s(self.etcd.process.pid)
        await super().run(name, count, make)
        self.figures[f"{name}_etcd_cpu_ms"] = round((cpu_s(self.etcd.process.pid) - spent) / count * 1000, 4)


async def alone_ms(connection: Connection, count: int, make: Callable[[int], bytes]) -> float:
    """The median of requests one after another."""
    took = []
    for number in range(count):
        began = time.perf_counter()
        await drive([connection], iter((make(number),)))
        took.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(took), 3)


async def load(server: Server, etcd: EtcdProcess) -> dict[str, Any]:
    connections = await connect(CONNECTIONS, server.port, server.context())
    account = request("GET", "/api/v1/namespaces/default/serviceaccounts")
    while b'"name":"default"' not in await connections[0].ask(account):  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.05)
    meter = MeterOfBoth(server, connections, etcd)
    await meter.run("create_known_template", FEW, lambda n: request("POST", PODS, pod(f"k{n:05}")))
    await meter.run(
        "create_new_template", FEW, lambda n: request("POST", PODS, pod(f"n{n:05}", f"registry.example.com/new:{n}"))
    )
    await meter.run("get", 10_000, lambda n: request("GET", f"{PODS}/k{n % FEW:05}"))
    await meter.run("get_of_any_age", 10_000, lambda n: request("GET", f"{PODS}/k{n % FEW:05}?resourceVersion=0"))
    await meter.run("patch_label", FEW, lambda n: label(n, str(n)))
    one = connections[0]
    meter.figures["get_alone_ms"] = await alone_ms(one, 500, lambda n: request("GET", f"{PODS}/k{n:05}"))
    meter.figures["create_alone_ms"] = await alone_ms(one, 300, lambda n: request("POST", PODS, pod(f"a{n:05}")))
    return meter.figures


def measure() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="navarch-benchmark-") as name:
        folder = Path(name)
        server = Server(folder)
        with etcd_running(folder / "etcd") as etcd:
            settings = load_settings(server.layout)
            assert settings is not None
            save_settings(server.layout, replace(settings, etcd_servers=(etcd.url,)))
            try:
                started_s = server.start()
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    return {"start_s": round(started_s, 2), **runner.run(load(server, etcd))}
            finally:
                server.stop()


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
