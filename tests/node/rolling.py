"""A rolling update of twenty replicas on three nodes under constant load: how many requests it costs.

Load comes from a pod on each node and from a machine outside, through the node ports of two nodes; half of it over
connections of its own, half over such as are kept until the server lets them go.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from real_cluster import Kubectl, until
from shared_cluster import Node, brought_up, nodes_of_the_machine
from traffic import load_from_outside, load_pods, now_s, outsider, served, told

REPLICAS = 20


@dataclass
class Found:
    """wrong: the first requests that failed, in words."""

    requests: int = 0
    connections: int = 0
    failed: int = 0
    updates: int = 0
    pods_replaced: int = 0
    update_s: float = 0.0
    slowest_request_s: float = 0.0
    p99_request_s: float = 0.0
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Way:
    """How the pods end: sleep_s in a preStop hook, linger_s of the server itself once it is told to end."""

    name: str
    sleep_s: int
    linger_s: float


HOOKED = Way("hooked", 5, 0.0)
"""As people deploy: the hook sleeps while the news of the pod's end spreads, and the server then ends at once."""
BARE = Way("bare", 0, 5.0)
"""Without a hook: the news and the signal go out together, so a server has to go on for a while by itself."""


def update(
    kubectl: Kubectl, nodes: Sequence[Node], way: Way, *, rounds: int = 1, requests: int = 0, pause_ms: int = 20
) -> Found:
    """At least `rounds` updates, and further ones until so many `requests` were sent."""
    found = Found()
    kubectl.apply(*served(way.name, REPLICAS, linger_s=way.linger_s, sleep_s=way.sleep_s))
    rolled(kubectl, way)
    port = kubectl.get("service", way.name)["spec"]["ports"][0]["nodePort"]
    doors = [f"http://{node.address}:{port}/" for node in nodes[1:]]
    with ExitStack() as stack:
        loads = load_pods(kubectl, nodes, f"http://{way.name}/", workers=4, pause_ms=pause_ms)
        inside = stack.enter_context(outsider())
        loads.append(stack.enter_context(load_from_outside(inside, *doors, workers=2, pause_ms=pause_ms)))
        while found.updates < rounds or told(loads, kubectl).requests < requests:
            begun, before = now_s(), names(kubectl, way)
            kubectl("set", "env", f"deployment/{way.name}", f"ROUND={found.updates}-{begun}")
            rolled(kubectl, way)
            found.update_s = max(found.update_s, round(now_s() - begun, 1))
            # As long as the old pods end they can lose something yet.
            until("the old pods to be gone", lambda: len(names(kubectl, way)) == REPLICAS)
            found.pods_replaced += len(before - names(kubectl, way))
            found.updates += 1
        result = told(loads, kubectl)
    kubectl("delete", "pods", "-l", "app=load", "--wait=false")
    found.requests, found.connections, found.failed = result.requests, result.connections, len(result.failed)
    found.slowest_request_s, found.p99_request_s = result.slowest_s, result.p99_s
    found.wrong = [
        f"{when - begun:.2f} s into the last update, {source}, {way_of_asking}: {what}"
        for when, source, way_of_asking, what in result.failed[:20]
    ]
    return found


def rolled(kubectl: Kubectl, way: Way) -> None:
    kubectl("rollout", "status", f"deployment/{way.name}", "--timeout=240s", timeout_s=250)


def names(kubectl: Kubectl, way: Way) -> set[str]:
    """Of all its pods, those that end among them."""
    return set(kubectl("get", "pods", "-l", f"app={way.name}", "-o", "name").split())


def play(folder: Path, seed: int) -> dict[str, Any]:
    """On a fresh cluster, both ways, at least 20,000 requests each. seed: tells runs apart, nothing is drawn."""
    result: dict[str, Any] = {}
    wrong: list[str] = []
    with brought_up(folder, "--nodes", "3") as kubeconfig:
        nodes = nodes_of_the_machine()
        for way in (HOOKED, BARE):
            kubectl = Kubectl(kubeconfig, way.name)
            kubectl("create", "namespace", way.name)
            kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=100s")
            found = asdict(update(kubectl, nodes, way, requests=20_000, pause_ms=10))
            wrong += found.pop("wrong")
            result |= {f"{way.name}_{name}": value for name, value in found.items()}
            kubectl("delete", "namespace", way.name, "--timeout=200s", timeout_s=220)
    return {**result, "wrong": wrong}
