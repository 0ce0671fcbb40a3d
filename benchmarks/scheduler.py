"""How many pods a second the scheduler binds through the API, in one process with it.

A case creates its pods first and then starts the scheduler; what is timed is from there until the last pod is bound.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import uvloop

from navarch.apiserver.call import User
from navarch.apiserver.core import Core
from navarch.base.clock import SystemClock, SystemIds
from navarch.client.client import Client
from navarch.kinds import NAMESPACE, NODE, POD, SERVICEACCOUNT
from navarch.kinds.registry import DEFAULT
from navarch.scheduler.scheduler import Scheduler
from navarch.store.memory import MemoryStore
from navarch.testing.machine import Machine

MASTER = User("benchmark", groups=("system:masters",))


def plain(number: int) -> dict[str, Any]:
    return {}


def affinity(number: int) -> dict[str, Any]:
    """Half of the zones allowed, pods of one application apart by host, and preferred in one zone."""
    app = {"matchLabels": {"app": f"app-{number % 20}"}}
    zones = [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["zone-0", "zone-1"]}]
    host = {"labelSelector": app, "topologyKey": "kubernetes.io/hostname"}
    zone = {"labelSelector": app, "topologyKey": "topology.kubernetes.io/zone"}
    return {
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": zones}]}
            },
            "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [host]},
            "podAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 10, "podAffinityTerm": zone}]
            },
        }
    }


def spread(number: int) -> dict[str, Any]:
    app = {"matchLabels": {"app": f"app-{number % 20}"}}
    common = {"maxSkew": 1, "labelSelector": app, "whenUnsatisfiable": "DoNotSchedule"}
    return {"topologySpreadConstraints": [{**common, "topologyKey": "topology.kubernetes.io/zone"}]}


CASES = {"plain": plain, "affinity": affinity, "spread": spread}


def pod(number: int, more: dict[str, Any]) -> dict[str, Any]:
    resources = {"requests": {"cpu": "100m", "memory": "128Mi"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"pod-{number}",
            "namespace": "default",
            "labels": {"app": f"app-{number % 20}"},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"app-{number % 20}", "uid": f"{number % 20}"}
            ],
        },
        "spec": {"containers": [{"name": "main", "image": "web", "resources": resources}], **more},
    }


async def prepare(client: Client, nodes: int) -> None:
    for name in ("default", "kube-system"):
        await client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}}
    await client.create(SERVICEACCOUNT, account)
    now = SystemClock().now()
    for number in range(nodes):
        machine, name = Machine(zone=f"zone-{number % 4}"), f"node-{number}"
        status = {"status": machine.status(name, number, now, "v1.36.0")}
        await client.create(NODE, machine.document(name, number) | status)


async def case(name: str, nodes: int, pods: int) -> dict[str, Any]:
    core = Core(MemoryStore(), DEFAULT, SystemClock(), SystemIds())
    await core.start()
    client = core.local(MASTER, "benchmark")
    await prepare(client, nodes)
    for number in range(pods):
        await client.create(POD, pod(number, CASES[name](number)))
    began, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        scheduler = group.create_task(Scheduler(client, SystemClock(), SystemIds()).run())
        left = {f"pod-{number}" for number in range(pods)}
        listed = await client.list(POD)
        left -= {found.name for found in listed.items if found.view.spec.node_name}
        async for batch in client.watch(POD, since=listed.revision):
            left -= {e.object.name for e in batch if e.object is not None and e.object.view.spec.node_name}
            if not left:
                break
        took, busy = time.perf_counter() - began, time.process_time() - cpu
        scheduler.cancel()
    await core.close()
    return {"pods_per_s": round(pods / took), "cpu_ms_per_pod": round(busy / pods * 1000, 3)}


def measure(nodes: int = 1000, pods: int = 3000) -> dict[str, Any]:
    return {name: uvloop.run(case(name, nodes, pods)) for name in CASES}


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
