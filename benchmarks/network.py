"""What services and names cost a node: rule transactions in the kernel, and DNS questions for each second of CPU.

It needs root, and touches nothing outside the network namespace that it makes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import socket
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import uvloop

from navarch.base.clock import SystemClock, SystemIds
from navarch.dns import wire
from navarch.dns.memory import Memory
from navarch.dns.server import Server
from navarch.dns.upstream import Forwarder
from navarch.dns.zone import Entry, Zone
from navarch.kinds.endpointslice import EndpointSlice
from navarch.kinds.service import Service
from navarch.proxy.addresses import IPV4, IPV6, Family
from navarch.proxy.compile import compile_service
from navarch.proxy.joining import Joiner
from navarch.proxy.nft import NftDataplane
from navarch.proxy.rules import Node
from navarch.testing.netns import NetworkNamespace

NODE = Node(name="n1", addresses=("192.0.2.10",), pod_cidr="10.244.0.0/24", cluster_cidr="10.244.0.0/16")
NODE_IPV6 = Node(name="n1", addresses=("2001:db8::10",), pod_cidr="fd00:244::/64", cluster_cidr="fd00:244::/48")
LISTEN = ("127.0.0.1", 10053)
WINDOW = 16


def service(number: int, endpoints: int, family: Family = IPV4) -> tuple[Service, list[EndpointSlice]]:
    spec: dict[str, Any] = {
        "clusterIP": f"10.{96 + number // 62500}.{number // 250 % 250}.{number % 250}",
        "ports": [{"port": 80}],
    }
    metadata = {"name": f"s{number}", "namespace": "default"}
    base = number * 3
    addresses = [f"10.244.{(base + k) // 250 % 250}.{(base + k) % 250}" for k in range(endpoints)]
    if family is IPV6:
        spec["clusterIP"] = f"fd00:96::{number + 1:x}"
        addresses = [f"fd00:244::{base + k + 1:x}" for k in range(endpoints)]
    ready = [{"addresses": [each], "nodeName": "n2"} for each in addresses]
    ends = {"addressType": family.name, "endpoints": ready, "ports": [{"port": 8080}]}
    made = msgspec.convert({"metadata": metadata, "spec": {"selector": {"a": "b"}, **spec}}, Service)
    return made, [msgspec.convert(ends, EndpointSlice)]


def spent_s() -> float:
    """CPU time of this process and of those it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


async def timed(step: Callable[[], Awaitable[None]], rounds: int) -> dict[str, float]:
    """Medians, in milliseconds."""
    wall, cpu = [], []
    for _ in range(rounds):
        started, before = time.perf_counter(), spent_s()
        await step()
        wall.append((time.perf_counter() - started) * 1e3)
        cpu.append((spent_s() - before) * 1e3)
    return {"wall_ms": round(statistics.median(wall), 1), "cpu_ms": round(statistics.median(cpu), 1)}


async def rules(services: int, node: Node = NODE) -> dict[str, Any]:
    """One endpoint of one of so many services goes and comes, against writing everything."""
    started = time.perf_counter()
    joiner = Joiner()
    for number in range(services):
        joiner.put(f"default/s{number}", compile_service(*service(number, 3, node.family), node))
    everything = joiner.rules(node)
    compiled_ms = (time.perf_counter() - started) * 1e3
    plane = NftDataplane("navarch-benchmark", node.family)
    number = 0

    async def whole() -> None:
        await plane.replace(None, everything)

    async def part() -> None:
        nonlocal number
        number += 1
        one, slices = service(7, 2 + number % 2, node.family)
        changed = compile_service(one, slices, node)
        joiner.put("default/s7", changed)
        await plane.replace(plane.current(), joiner.rules(node))

    found = {
        "compile_ms": round(compiled_ms, 1),
        "whole": await timed(whole, 5),
        "one_endpoint": await timed(part, 15),
    }
    await plane.remove()
    plane.close()
    return found


def questions(count: int, names: int) -> None:
    """A client that keeps some questions under way."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect(LISTEN)
        udp.settimeout(5)
        asked = [
            wire.ask(number & 0xFFFF, f"s{number % names}.default.svc.cluster.local", "A")
            for number in range(max(names, WINDOW))
        ]
        for number in range(count + WINDOW):
            if number >= WINDOW:
                udp.recv(2048)
            if number < count:
                udp.send(asked[number % len(asked)])


async def names(count: int, distinct: int) -> dict[str, Any]:
    zone = Zone()
    for number in range(distinct):
        zone.put("default", f"s{number}", Entry(addresses=(f"10.96.{number // 250}.{number % 250}",)))
    server = Server(zone, Memory(), Forwarder(lambda _: (), SystemIds()), [LISTEN], SystemClock())
    server.bind()
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.run())
        command = (sys.executable, __file__, "--ask", str(count), str(distinct))
        started, before = time.perf_counter(), time.process_time()
        client = await asyncio.create_subprocess_exec(*command)
        code = await client.wait()
        cpu_s, wall_s = time.process_time() - before, time.perf_counter() - started
        serving.cancel()
    if code:
        raise SystemExit("the client failed")
    return {"per_cpu_s": round(count / cpu_s), "per_s": round(count / wall_s)}


async def every_case() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for services in (100, 1000, 10_000):
        found[f"rules of {services} services with 3 endpoints"] = await rules(services)
    found["rules of 10000 services with 3 endpoints of IPv6"] = await rules(10_000, NODE_IPV6)
    found["DNS questions asked before"] = await names(100_000, 100)
    found["DNS questions asked for the first time"] = await names(10_000, 10_000)
    return found


def measure() -> dict[str, Any]:
    with NetworkNamespace("benchmark") as namespace:
        found: dict[str, Any] = namespace.call(uvloop.run, every_case())
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ask", nargs=2, type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ask:
        questions(*arguments.ask)
    else:
        print(json.dumps(measure(), indent=2))
