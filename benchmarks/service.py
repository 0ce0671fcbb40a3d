"""What a Service costs whoever uses it: how much longer a request takes, and how soon a pod that became ready has its
first one.

A whole control plane in memory, the proxy and the kernel, with pods that are network namespaces. It needs root, and
touches nothing outside the namespaces that it makes.
"""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import threading
import time
from typing import Any

import msgspec
import uvloop

from navarch.apiserver.call import ITSELF
from navarch.app.control_plane import ControlPlane, Settings
from navarch.base.clock import SystemClock, SystemIds
from navarch.base.pki import new_key
from navarch.client.client import Client
from navarch.client.informer import Informers
from navarch.controllers import Options
from navarch.kinds import NODE, POD, SERVICE
from navarch.kinds.endpointslice import EndpointSlice
from navarch.kinds.service import Service
from navarch.proxy.compile import compile_rules
from navarch.proxy.nft import NftDataplane
from navarch.proxy.rules import Node
from navarch.proxy.run import Proxy
from navarch.store.memory import MemoryStore
from navarch.testing.heartbeats import SimulatedHeartbeats
from navarch.testing.lan import ADDRESSES, Lan

HERE = Node(
    name="n1",
    addresses=("192.0.2.10",),
    pod_cidr="10.244.0.0/24",
    cluster_cidr="10.244.0.0/16",
    service_cidr="10.96.0.0/12",
)
VIP = "10.96.0.1"
TABLE = "navarch-benchmark"
REQUESTS, SERVICES, ROUNDS = 1_000, 1_000, 100
SINK = 7000
PIECE = bytes(1 << 18)
STREAM_S = 2.0


# --- a Service beside a direct connection ---


def request_ms(lan: Lan, door: tuple[str, int]) -> float:
    """One connection, one question, one answer."""
    with lan.client("b") as client:
        began = time.perf_counter()
        client.connect(door)
        client.send(b"?")
        client.recv(100)
        return (time.perf_counter() - began) * 1e3


def swallow(listening: socket.socket) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection:
            while connection.recv(len(PIECE)):
                pass


def stream_mb_per_s(lan: Lan, door: tuple[str, int]) -> float:
    sent = 0
    with lan.client("b", wait_s=30.0) as client:
        client.connect(door)
        began = time.perf_counter()
        while time.perf_counter() - began < STREAM_S:
            sent += client.send(PIECE)
        return sent / 1e6 / (time.perf_counter() - began)


def beside_direct(lan: Lan) -> dict[str, float]:
    """In turns, so that a machine which changes its speed does so for both."""
    spec = {
        "clusterIP": VIP,
        "selector": {"a": "b"},
        "ports": [{"name": "web", "port": 80}, {"name": "sink", "port": 81}],
    }
    service = msgspec.convert({"metadata": {"name": "web", "namespace": "default"}, "spec": spec}, Service)
    ports = [{"name": "web", "port": 8080}, {"name": "sink", "port": SINK}]
    endpoints = [{"addresses": [ADDRESSES["a"]], "nodeName": "n1"}]
    slices = [msgspec.convert({"endpoints": endpoints, "ports": ports}, EndpointSlice)]
    plane = lan.node.call(NftDataplane, TABLE)
    lan.node.call(asyncio.run, plane.replace(None, compile_rules([(service, slices)], (), HERE)))
    listening = lan.hosts["a"].socket()
    listening.bind((ADDRESSES["a"], SINK))
    listening.listen()
    threading.Thread(target=swallow, args=(listening,), daemon=True).start()
    direct, through = [], []
    for _ in range(REQUESTS):
        direct.append(request_ms(lan, (ADDRESSES["a"], 8080)))
        through.append(request_ms(lan, (VIP, 80)))
    streams = [(stream_mb_per_s(lan, (ADDRESSES["a"], SINK)), stream_mb_per_s(lan, (VIP, 81))) for _ in range(3)]
    lan.node.call(asyncio.run, plane.remove())
    plane.close()
    listening.close()
    return {
        "direct_median_ms": round(statistics.median(direct), 4),
        "service_median_ms": round(statistics.median(through), 4),
        "added_median_ms": round(statistics.median(through) - statistics.median(direct), 4),
        "direct_MB_per_s": round(max(each for each, _ in streams)),
        "service_MB_per_s": round(max(each for _, each in streams)),
    }


# --- from ready to the first request ---


def first_answer(lan: Lan, door: tuple[str, int], wanted: bool) -> float:
    """The moment of the first connection that is answered (or refused)."""
    for _ in range(30_000):
        with lan.client("b", wait_s=1.0) as client:
            answered = client.connect_ex(door) == 0
        if answered == wanted:
            return time.perf_counter()
        time.sleep(0.001)
    raise SystemExit("the kernel was never told")


async def told(client: Client, ready: bool) -> None:
    conditions = [{"type": kind, "status": "True" if ready else "False"} for kind in ("Ready", "ContainersReady")]
    address = ADDRESSES["a"]
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": conditions}
    await client.patch(POD, "default", "web", {"status": status}, subresource="status")


async def populate(client: Client) -> tuple[str, int]:
    """A node, a pod, and a thousand Services, of which one selects it: its address and port."""
    await client.create(NODE, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": HERE.name}})
    pod = {
        "nodeName": HERE.name,
        "automountServiceAccountToken": False,
        "containers": [{"name": "c", "image": "web:1"}],
    }
    metadata = {"name": "web", "namespace": "default", "labels": {"app": "s7"}}
    await client.create(POD, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod})
    for number in range(SERVICES):
        spec = {"selector": {"app": f"s{number}"}, "ports": [{"port": 80, "targetPort": 8080}]}
        metadata = {"name": f"s{number}", "namespace": "default"}
        await client.create(SERVICE, {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    found = await client.get(SERVICE, "default", "s7")
    return found.view.spec.cluster_ip, 80


async def until_first_request(lan: Lan) -> dict[str, float]:
    clock, heartbeats = SystemClock(), SimulatedHeartbeats(SystemClock())
    settings = Settings(signing_key=new_key(), options=Options(root_ca="PEM", cluster_cidr=HERE.cluster_cidr))
    control = ControlPlane(MemoryStore(), clock, SystemIds(), settings, heartbeats=heartbeats)
    await control.start()
    heartbeats.revive(HERE.name)
    client = control.client(ITSELF, "benchmark")
    informers = Informers(client, clock)
    plane = NftDataplane(TABLE)
    proxy = Proxy(informers, [(plane, HERE)], clock)
    taken: list[float] = []
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(part.run()) for part in (informers, control, proxy)]
        door = await populate(client)
        for number in range(ROUNDS + 1):
            await told(client, False)
            await asyncio.to_thread(first_answer, lan, door, False)
            waiting = group.create_task(asyncio.to_thread(first_answer, lan, door, True))
            began = time.perf_counter()
            await told(client, True)
            moment = await waiting
            if number:  # the first one finds nothing compiled and nothing warm
                taken.append((moment - began) * 1e3)
        for task in tasks:
            task.cancel()
    await plane.remove()
    plane.close()
    await control.close()
    taken.sort()
    return {"median_ms": round(statistics.median(taken), 1), "p99_ms": round(taken[int(len(taken) * 0.99)], 1)}


def measure() -> dict[str, Any]:
    lan = Lan()
    try:
        found: dict[str, Any] = {"beside a direct connection": beside_direct(lan)}
        found["ready until the first request"] = lan.node.call(uvloop.run, until_first_request(lan))
    finally:
        lan.close()
    return found


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
