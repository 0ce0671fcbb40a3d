"""The cluster as a library at scale: 1,000 replicas, 10,000 Deployments, 150,000 pods on 5,000 nodes.

Each scene is a whole cluster in a process of its own: API server, every controller, the scheduler and simulated nodes
on the memory store; nothing is left out, and nothing is written past the API. Nodes are Ready before a scene's time
begins. It ends when the Deployments' own status, as a watch delivers it, says that every replica is available.

`python benchmarks/scale.py SCENE` runs one alone: `replicas`, `deployments`, `crowd`; `--pods` and `--nodes` give it
another size, `--save DATE` stores its figures beside those of the others. With NAVARCH_PROFILE=FILE the cluster's
thread is profiled.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ground import RESULTS, conditions, memory_mb

import navarch
from navarch.kinds import DEPLOYMENT, NAMESPACE, POD
from navarch.testing.cluster import RunningCluster

A_DEPLOYMENT = 500
"""Pods of each Deployment in the crowd."""
A_NAMESPACE = 10
"""Deployments in each of its namespaces."""
CLIENTS = 32
LOOK_S = 0.05
"""Between looks at the watch, whose changes wait together meanwhile: who measures must not be what is measured."""


def deployment(name: str, namespace: str, replicas: int) -> dict[str, Any]:
    """With what a small service usually says of itself."""
    labels = {"app": name}
    container = {
        "name": "main",
        "image": "registry.example.com/shop/front:1.2.3",
        "ports": [{"containerPort": 8080, "name": "http"}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def replicas(c: RunningCluster, number: int) -> None:
    """One Deployment."""
    c.apply(deployment("web", "default", number))


def deployments(c: RunningCluster, number: int) -> None:
    """Many of one replica each in one namespace, made by 32 clients at once."""

    def made(one: int) -> None:
        c.client.create(DEPLOYMENT, deployment(f"web-{one:05}", "default", 1))

    with ThreadPoolExecutor(CLIENTS) as clients:
        for _ in clients.map(made, range(number)):
            pass


def crowd(c: RunningCluster, number: int) -> None:
    """Deployments of 500 replicas, ten in each namespace."""
    for one in range(number // A_DEPLOYMENT):
        space = f"crowd-{one // A_NAMESPACE:02}"
        if one % A_NAMESPACE == 0:
            c.client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}})
        c.client.create(DEPLOYMENT, deployment(f"web-{one:03}", space, A_DEPLOYMENT))


SCENES: dict[str, tuple[Callable[[RunningCluster, int], None], int, int]] = {
    "replicas": (replicas, 1000, 1000),
    "deployments": (deployments, 10_000, 1000),
    "crowd": (crowd, 150_000, 5000),
}
"""What makes the pods, how many pods, and on how many nodes."""


def available(c: RunningCluster) -> Iterator[int]:
    """How many replicas of all Deployments are, after each batch of changes; looked at twenty times a second."""
    found: dict[tuple[str, str], int] = {}
    listed = c.client.list(DEPLOYMENT)
    for one in listed.items:
        found[one.key] = one.document().get("status", {}).get("availableReplicas", 0)
    total = sum(found.values())
    yield total
    for batch in c.client.watch(DEPLOYMENT, since=listed.revision):
        for event in batch:
            if event.object is not None:
                now = event.object.document().get("status", {}).get("availableReplicas", 0)
                total += now - found.get(event.object.key, 0)
                found[event.object.key] = now
        yield total
        time.sleep(LOOK_S)


def scene(name: str, number: int = 0, nodes: int = 0) -> dict[str, float]:
    """One scene in this process."""
    make, usual, usual_nodes = SCENES[name]
    number = number or usual
    began = time.perf_counter()
    with navarch.Cluster(nodes=nodes or usual_nodes) as c:
        found = {"nodes_ready_s": round(time.perf_counter() - began, 2)}
        profile = cProfile.Profile() if os.environ.get("NAVARCH_PROFILE") else None
        if profile:
            c._engine.call_plain(profile.enable)
        began, spent, revision = time.perf_counter(), time.process_time(), c.client.list(POD).revision
        make(c, number)
        found["made_s"] = round(time.perf_counter() - began, 2)
        for ready in available(c):
            if ready >= number:
                break
        found["ready_s"] = round(time.perf_counter() - began, 2)
        found["ready_cpu_s"] = round(time.process_time() - spent, 2)
        c.clock.advance(seconds=0)
        found["settled_cpu_s"] = round(time.process_time() - spent, 2)
        if profile:
            c._engine.call_plain(profile.disable)
            profile.dump_stats(os.environ["NAVARCH_PROFILE"])
        running = c.client.list(POD)
        assert sum(pod.view.ready for pod in running.items) == number, "not every pod is Ready"
        found["writes_a_pod"] = round((running.revision - revision) / number, 2)
        del running
        gc.collect()
        found["rss_MB"] = memory_mb(os.getpid())["rss_MB"]
        found["peak_MB"] = peak_mb()
    return found


def peak_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


def alone(name: str) -> dict[str, float]:
    """One scene in a process of its own, so that no scene holds what another left."""
    said = subprocess.run([sys.executable, __file__, name], stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(said.stdout)
    return found


def measure() -> dict[str, Any]:
    return {name: alone(name) for name in SCENES}


def save(name: str, figures: dict[str, float], date: str) -> None:
    """Beside what is stored of the other scenes, whose conditions stay their own."""
    path = RESULTS / "scale.json"
    stored = json.loads(path.read_text()) if path.exists() else {"conditions": {}, "figures": {}}
    stored["conditions"] |= {name: conditions(date)}
    stored["figures"] |= {name: figures}
    path.write_text(json.dumps(stored, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene", choices=SCENES)
    parser.add_argument("--pods", type=int, default=0)
    parser.add_argument("--nodes", type=int, default=0)
    parser.add_argument("--save", metavar="DATE")
    asked = parser.parse_args()
    found = scene(asked.scene, asked.pods, asked.nodes)
    if asked.save:
        save(asked.scene, found, asked.save)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
