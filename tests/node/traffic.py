"""Requests without end, and a server for them: what a change or a fault costs whoever is asking meanwhile.

Both are programs of one file each, for pods that have Python and nothing else. The clock that they tell times by is the
machine's, so that a test can say what happened before and after it did something.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from real_cluster import PYTHON, Kubectl, pod, until
from shared_cluster import Node

from navarch.app import lan

SERVER = Path(__file__).with_name("polite_server.py").read_text()
LOAD = Path(__file__).with_name("steady_load.py").read_text()
STAYS = [{"operator": "Exists", "effect": "NoExecute"}]
"""Tolerations of pods that stay on their node whatever becomes of it."""
TOLD_AT = 9000
"""The port at which load tells what became of it."""


@dataclass
class Told:
    """What became of requests. failed: (when, from where, which way, what), when by the machine's monotonic clock."""

    requests: int = 0
    connections: int = 0
    failed: list[tuple[float, str, str, str]] = field(default_factory=list)
    slowest_s: float = 0.0
    p99_s: float = 0.0

    def add(self, source: str, found: Mapping[str, Any]) -> None:
        self.requests += found["requests"]
        self.connections += found["connections"]
        self.failed += [(when, source, way, what) for when, way, what in found["failed"]]
        self.slowest_s = max(self.slowest_s, found["slowest_s"])
        self.p99_s = max(self.p99_s, found["p99_s"])


class Load:
    """Requests from somewhere to `urls`, half of them over connections of their own. Ask `so_far` at any time."""

    def __init__(self, source: str, address: str, inside: Sequence[str] = (), port: int = TOLD_AT) -> None:
        self.source = source
        self._url = f"http://{address}:{port}/"
        self._inside = tuple(inside)

    def so_far(self) -> dict[str, Any]:
        command = [*self._inside, "curl", "-sSf", "--max-time", "60", "--retry", "3", "--retry-all-errors", self._url]
        done = subprocess.run(command, capture_output=True, timeout=250)
        assert done.returncode == 0, f"load from {self.source} tells nothing: {done.returncode} {done.stderr.decode()}"
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def told(loads: Sequence[Load], kubectl: Kubectl) -> Told:
    found = Told()
    for load in loads:
        try:
            found.add(load.source, load.so_far())
        except AssertionError as error:
            asked = (
                ("logs", load.source, "--tail=40"),
                ("describe", "pod", load.source),
                ("get", "pods", "-o", "wide"),
                ("get", "events", "-A", "--field-selector=involvedObject.kind=Node"),
            )
            about = [kubectl.run(*words) for words in asked]
            raise AssertionError("\n".join([str(error), *(one.stdout + one.stderr for one in about)])) from error
    return found


def load_pods(kubectl: Kubectl, nodes: Sequence[Node], *urls: str, workers: int = 3, pause_ms: int = 20) -> list[Load]:
    """One pod a node, which sends as long as it lives; returns once each has had its first answers."""
    words = ["python3.11", "-c", LOAD, str(TOLD_AT), str(workers), str(pause_ms), *urls]
    for node in nodes:
        about: dict[str, Any] = {"nodeName": node.name, "labels": {"app": "load"}, "restartPolicy": "Never"}
        about["resources"] = {"requests": {"cpu": "300m"}}  # else whatever else the machine does keeps it waiting
        kubectl.apply(pod(f"load-{node.number}", words, image=PYTHON, tolerations=STAYS, **about))
    kubectl.ready(*(f"load-{node.number}" for node in nodes))
    addresses = [kubectl.get("pod", f"load-{node.number}")["status"]["podIP"] for node in nodes]
    loads = [Load(f"load-{node.number}", address) for node, address in zip(nodes, addresses, strict=True)]
    for load in loads:
        until(f"answers to {load.source}", lambda load=load: answered(load))
    return loads


def answered(load: Load) -> bool:
    try:
        return bool(load.so_far()["last_s"])
    except AssertionError:
        return False


@contextmanager
def outsider(number: int = 200) -> Iterator[tuple[str, ...]]:
    """What a command is begun with that runs on a machine beside the nodes, which is no node."""
    space, cable = f"navarch-outside-{number}", f"navarch-o{number}"
    address = f"{lan.NETWORK.rpartition('.')[0]}.{number}/24"
    inside = ("ip", "netns", "exec", space)
    subprocess.run(["ip", "netns", "add", space], check=True)
    try:
        end = ("peer", "name", "eth0", "netns", space)
        subprocess.run(["ip", "link", "add", cable, "type", "veth", *end], check=True)
        subprocess.run(["ip", "link", "set", cable, "master", lan.BRIDGE, "up"], check=True)
        for words in (
            ("link", "set", "lo", "up"),
            ("addr", "add", address, "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("route", "add", "default", "via", f"{lan.NETWORK.rpartition('.')[0]}.1"),
        ):
            subprocess.run([*inside, "ip", *words], check=True)
        yield inside
    finally:
        subprocess.run(["ip", "netns", "delete", space], check=True)
        subprocess.run(["ip", "link", "delete", cable], capture_output=True, check=False)  # gone with it, or never made


@contextmanager
def load_from_outside(
    inside: Sequence[str], *urls: str, workers: int = 3, pause_ms: int = 20, port: int = TOLD_AT
) -> Iterator[Load]:
    words = [sys.executable, "-c", LOAD, str(port), str(workers), str(pause_ms), *urls]
    process = subprocess.Popen([*inside, *words])
    try:
        load = Load("outside", "127.0.0.1", inside, port)
        until("answers from outside", lambda: answered(load))
        yield load
    finally:
        process.kill()
        process.wait()


def served(
    name: str, replicas: int, *, linger_s: float = 0.0, sleep_s: int = 0, **pod_spec: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A Deployment of polite servers and its Service with a node port.

    sleep_s: of a preStop hook, 0 for none. linger_s: how long a server that was told to end takes new connections.
    """
    container: dict[str, Any] = {
        "name": "main",
        "image": PYTHON,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3.11", "-c", SERVER, str(linger_s)],
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "100m", "memory": "16Mi"}},
    }
    if sleep_s:
        container["lifecycle"] = {"preStop": {"sleep": {"seconds": sleep_s}}}
    labels = {"app": name}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 30, **pod_spec},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    spec = {"type": "NodePort", "selector": labels, "ports": ports}
    return deployment, {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def get(url: str, timeout_s: float = 5.0) -> str:
    with urllib.request.urlopen(url, timeout=timeout_s) as answer:
        found: str = answer.read().decode()
        return found


def now_s() -> float:
    """The clock that load tells times by."""
    return time.monotonic()
