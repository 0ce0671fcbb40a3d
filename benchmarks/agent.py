"""The node agent at work: a Deployment of 30 pods, a pod's start split into its parts, and what a hundred pods cost.

On the cluster of `navarch up`, over real containerd: needs root and a machine without a cluster. The parts come from
the agent's own `/metrics` (`navarch_agent_pod_start_seconds`), the scheduler's from what a watcher of pods sees.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ground import cpu_s, memory_mb
from machine import IMAGE, KUBECTL, LAYOUT, cluster, navarch, pid_of, watched_pods, write_image

from navarch.agent.cri import CriRuntime
from navarch.agent.runtime import POD_NAME, POD_NAMESPACE, POD_UID, SandboxSpec
from navarch.app.ask import ask
from navarch.base.clock import SystemClock

PATIENCE_S = 300.0


def deployment(name: str, replicas: int, config: str = "") -> str:
    """config: a ConfigMap that every pod has as a volume."""
    labels = {"app": name}
    container: dict[str, Any] = {"name": "main", "image": IMAGE, "imagePullPolicy": "Never"}
    pod: dict[str, Any] = {"containers": [container], "terminationGracePeriodSeconds": 0}
    if config:
        container["volumeMounts"] = [{"name": "config", "mountPath": "/config"}]
        pod["volumes"] = [{"name": "config", "configMap": {"name": config}}]
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec})


class Follower:
    """When each pod was first seen made, bound, running and ready; and which are there."""

    def __init__(self) -> None:
        self.seen: dict[str, dict[str, float]] = {}
        self.there: set[str] = set()
        self._news = threading.Condition()
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        for now, event in watched_pods():
            found = event["object"]
            status = found.get("status", {})
            ready = any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions", ()))
            with self._news:
                name = found["metadata"]["name"]
                moments = self.seen.setdefault(name, {})
                for what, true in {
                    "made": True,
                    "bound": bool(found["spec"].get("nodeName")),
                    "running": status.get("phase") == "Running",
                    "ready": ready,
                }.items():
                    if true:
                        moments.setdefault(what, now)
                (self.there.discard if event["type"] == "DELETED" else self.there.add)(name)
                self._news.notify_all()

    def wait_ready(self, count: int, prefix: str) -> float:
        """When the last of so many was ready."""

        def moments() -> list[float]:
            return [found["ready"] for name, found in self.seen.items() if name.startswith(prefix) and "ready" in found]

        with self._news:
            if not self._news.wait_for(lambda: len(moments()) >= count, PATIENCE_S):
                raise RuntimeError(f"only {len(moments())} of {count} pods of {prefix} are ready")
            return max(moments())

    def wait_gone(self) -> None:
        with self._news:
            if not self._news.wait_for(lambda: not self.there, PATIENCE_S):
                raise RuntimeError(f"pods that do not go: {sorted(self.there)[:5]}")


def kubectl(*arguments: str, text: str = "") -> None:
    subprocess.run([str(KUBECTL), *arguments], input=text, text=True, check=True, capture_output=True)


def burst(follower: Follower, rounds: int, replicas: int) -> dict[str, float]:
    """Seconds from starting `kubectl apply` until the last pod is seen Ready."""
    took = []
    for number in range(rounds):
        name = f"burst-{number}"
        began = time.monotonic()
        kubectl("apply", "-f", "-", text=deployment(name, replicas))
        took.append(follower.wait_ready(replicas, name) - began)
        kubectl("delete", "deployment", name, "--wait=false")
        follower.wait_gone()
    return {f"{replicas}_pods_ready_s": round(statistics.median(took), 2)}


def counted() -> dict[str, tuple[float, int]]:
    """By part of a start: the sum of seconds and how many, from the agent's metrics through the API server."""
    _, nodes = ask(LAYOUT.server_socket, "/api/v1/nodes")
    _, text = ask(LAYOUT.server_socket, f"/api/v1/nodes/{nodes['items'][0]['metadata']['name']}/proxy/metrics")
    found: dict[str, list[float]] = {}
    for line in text.splitlines():
        if not line.startswith("navarch_agent_pod_start_seconds_"):
            continue
        name, _, value = line.rpartition(" ")
        part = name.partition('part="')[2].partition('"')[0]
        if name.partition("{")[0].endswith("_sum"):
            found.setdefault(part, [0.0, 0.0])[0] = float(value)
        elif name.partition("{")[0].endswith("_count"):
            found.setdefault(part, [0.0, 0.0])[1] = float(value)
    return {part: (total, int(count)) for part, (total, count) in found.items()}


def parts(follower: Follower, count: int) -> dict[str, float]:
    """Milliseconds of one pod's start, pods one after another: the mean of each part."""
    before = counted()
    waits = []
    for number in range(count):
        name = f"one-{number}"
        command = ("run", name, f"--image={IMAGE}", "--image-pull-policy=Never", "--restart=Never")
        kubectl(*command, "--overrides", '{"spec":{"terminationGracePeriodSeconds":0}}')
        follower.wait_ready(1, name)
        moments = follower.seen[name]
        waits.append((moments["bound"] - moments["made"], moments["running"] - moments["bound"]))
        time.sleep(0.2)
    after = counted()
    kubectl("delete", "pod", "--all", "--wait=false")
    follower.wait_gone()
    figures = {
        "start_scheduler_ms": statistics.median(one for one, _ in waits) * 1000,
        "start_bound_to_running_ms": statistics.median(two for _, two in waits) * 1000,
    }
    for part, (total_s, number) in after.items():
        total_before_s, number_before = before.get(part, (0.0, 0))
        if number > number_before:
            figures[f"start_{part}_ms"] = (total_s - total_before_s) / (number - number_before) * 1000
    figures["start_container_ms"] = figures.pop("start_create_ms") + figures.pop("start_start_ms")
    return {name: round(value, 2) for name, value in figures.items()}


async def network(count: int) -> float:
    """What a sandbox takes longer with a network of its own than with the host's, in milliseconds; no agent at work."""
    runtime = CriRuntime(LAYOUT.containerd / "containerd.sock", SystemClock())
    took: Mapping[bool, list[float]] = {False: [], True: []}
    try:
        for number in range(2 * count):
            host = bool(number % 2)
            uid = f"00000000-0000-0000-0000-{number:012}"
            labels = {POD_NAME: f"bare-{number}", POD_NAMESPACE: "default", POD_UID: uid}
            began = time.monotonic()
            spec = SandboxSpec("default", f"bare-{number}", uid, hostname="", labels=labels, host_network=host)
            sandbox = await runtime.start_sandbox(spec)
            took[host].append(time.monotonic() - began)
            await runtime.stop_sandbox(sandbox)
            await runtime.remove_sandbox(sandbox)
    finally:
        await runtime.close()
    return (statistics.median(took[False]) - statistics.median(took[True])) * 1000


def hundred(follower: Follower, replicas: int, idle_seconds: float) -> dict[str, float]:
    """The agent's memory and idle CPU beside so many pods."""
    kubectl("apply", "-f", "-", text=deployment("many", replicas))
    follower.wait_ready(replicas, "many")
    time.sleep(15)
    agent = pid_of("agent")
    before = cpu_s(agent)
    time.sleep(idle_seconds)
    figures = {f"idle_cpu_percent_with_{replicas}_pods": (cpu_s(agent) - before) / idle_seconds * 100}
    figures |= {f"{what}_with_{replicas}_pods": mb for what, mb in memory_mb(agent).items()}
    kubectl("delete", "deployment", "many", "--wait=false")
    follower.wait_gone()
    return {name: round(value, 3) for name, value in figures.items()}


def measure(
    rounds: int = 3, replicas: int = 30, singles: int = 20, many: int = 100, idle_seconds: float = 60
) -> dict[str, Any]:
    with cluster(), tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "image.tar"
        write_image(archive)
        navarch("image", "import", str(archive))
        follower = Follower()
        burst(follower, 1, 2)  # everything that is made on first use
        figures: dict[str, Any] = burst(follower, rounds, replicas)
        figures |= parts(follower, singles)
        if many:
            figures |= hundred(follower, many, idle_seconds)
        agent = pid_of("agent")
        os.kill(agent, signal.SIGSTOP)
        try:
            figures["start_network_ms"] = round(asyncio.run(network(10)), 2)
        finally:
            os.kill(agent, signal.SIGCONT)
    return figures


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
