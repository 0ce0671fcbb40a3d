"""What three nodes make of faults: links cut and healed, a node lost, agents killed, a kernel that refuses.

Requests go on all the while, wherever they still can: on the node that is cut off, and between the others. None of them
may fail. How long it takes until the rules of every node are what the cluster says is measured.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from real_cluster import PYTHON, Kubectl, pod, until
from shared_cluster import Node, brought_up, nodes_of_the_machine, ready_nodes
from traffic import SERVER, STAYS, Load, load_pods, now_s, told

from navarch.app import containerd, machine
from navarch.app.layout import DATA, RUN, load_settings

REFUSALS = "kubeproxy_sync_proxy_rules_nftables_sync_failures_total"
CROWD = 30
"""Services that come and go at once, so that an agent can be killed amid them."""


@dataclass
class Found:
    """Times: of the slowest. cut: from healing until the node's rules are right, and until its pods are reached.
    killed: from the kill. refused: from the moment when the kernel takes rules again. lost: from the cut until Services
    lead to the node's pods no more, and until others are Ready in their place; from healing until the node's rules are
    right, until it is Ready, and until the others lead to the pods that it kept.
    """

    faults: int = 0
    requests: int = 0
    failed: int = 0
    others_converge_s: float = 0.0
    cut_converge_s: float = 0.0
    cut_reach_s: float = 0.0
    killed_converge_s: float = 0.0
    refused_converge_s: float = 0.0
    refused_transactions: int = 0
    lost_endpoints_s: float = 0.0
    lost_replaced_s: float = 0.0
    lost_back_s: float = 0.0
    lost_ready_s: float = 0.0
    lost_again_s: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def slowest(self, name: str, seconds: float) -> None:
        setattr(self, name, max(getattr(self, name), round(seconds, 2)))


class Scene:
    """A server on each node, behind Services; and load on each node, to what it reaches whatever becomes of others.

    `near` leads to the pod of the asker's own node, `pair` to those of the first two.
    """

    def __init__(self, kubectl: Kubectl, nodes: Sequence[Node], found: Found) -> None:
        self.kubectl = kubectl
        self.nodes = nodes
        self.found = found
        self.loads: list[Load] = []
        self.failed_before = self.requests_before = 0
        self._number = 0

    def begin(self) -> None:
        for node in self.nodes:
            labels = {"app": "near", "pair": "yes" if node.number < 3 else "no"}
            words = ["python3.11", "-c", SERVER, "0"]
            probe = {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1}
            about: dict[str, Any] = {"image": PYTHON, "nodeName": node.name, "labels": labels, "readinessProbe": probe}
            about["resources"] = {"requests": {"cpu": "100m"}}
            self.kubectl.apply(pod(f"near-{node.number}", words, tolerations=STAYS, **about))
        near = service("near", {"app": "near"}, internalTrafficPolicy="Local")
        self.kubectl.apply(near, service("pair", {"pair": "yes"}), service("all", {"app": "near"}))
        self.kubectl.ready(*(f"near-{node.number}" for node in self.nodes))
        own, pair = f"http://{self.address('near')}/", f"http://{self.address('pair')}/"
        for node in self.nodes:
            self.converged(node, (self.address("near"), self.address("pair")))
        self.loads = load_pods(self.kubectl, self.nodes[:2], own, pair, workers=2, pause_ms=40)
        self.loads += load_pods(self.kubectl, self.nodes[2:], own, workers=2, pause_ms=40)

    def address(self, name: str) -> str:
        found: str = self.kubectl.get("service", name)["spec"]["clusterIP"]
        return found

    def judge(self, what: str, begun: float) -> None:
        """Count the requests, and those that failed, since the last time."""
        result = told(self.loads, self.kubectl)
        fresh = [one for one in result.failed if one[0] >= begun]
        self.found.wrong += [
            f"{what}: {when - begun:.2f} s on, {source}, {way}: {told_of}" for when, source, way, told_of in fresh[:20]
        ]
        self.found.failed += len(fresh)
        self.found.requests += result.requests - self.requests_before
        self.requests_before = result.requests
        self.found.faults += 1

    def converged(self, node: Node, present: Sequence[str], absent: Sequence[str] = (), since: float = 0.0) -> float:
        """Seconds from `since` until the node's rules have all of the one and none of the other."""

        def right() -> bool:
            text = rules_of(node)
            return all(names(text, one) for one in present) and not any(names(text, one) for one in absent)

        quickly(f"the rules of {node.name} to have {present} and not {absent}", right)
        return now_s() - since

    @contextmanager
    def change(self) -> Iterator[Change]:
        """A Service that comes and one that goes."""
        self._number += 1
        old, new = f"old-{self._number}", f"new-{self._number}"
        self.kubectl.apply(service(old, {"pair": "yes"}))
        change = Change(self, old, new, self.address(old))
        for node in self.nodes:
            self.converged(node, [change.goes])
        yield change
        self.kubectl("delete", "service", new, "--wait=false")


@dataclass
class Change:
    scene: Scene
    old: str
    new: str
    goes: str
    comes: str = ""

    def make(self) -> None:
        self.scene.kubectl.apply(service(self.new, {"pair": "yes"}))
        self.comes = self.scene.address(self.new)
        self.scene.kubectl("delete", "service", self.old)

    def seen(self, node: Node, since: float) -> float:
        return self.scene.converged(node, [self.comes], [self.goes], since)


def cut(scene: Scene, *, silently: bool, for_s: float) -> None:
    """The third node's link, so that it may count as lost before the end. What changes meanwhile it has soon after."""
    *others, victim = scene.nodes
    with scene.change() as change:
        begun = now_s()
        victim.cut(silently=silently)
        try:
            change.make()
            made = now_s()
            for node in others:
                scene.found.slowest("others_converge_s", change.seen(node, made))
            time.sleep(max(0.0, begun + for_s - now_s()))
        finally:
            victim.heal()
        healed = now_s()
        reached = f"http://{address_of(scene.kubectl, f'near-{victim.number}')}:8080/"
        quickly(f"the pod of {victim.name} from {others[0].name}", lambda: answers(others[0], reached))
        scene.found.slowest("cut_reach_s", now_s() - healed)
        scene.found.slowest("cut_converge_s", change.seen(victim, healed))
        until("all nodes to be Ready", lambda: len(ready_nodes(scene.kubectl)) == len(scene.nodes))
        scene.judge("a link cut", begun)


def lose(scene: Scene) -> None:
    """The third node falls silent for good: Services lose it, pods are replaced; then it comes back after all."""
    *others, victim = scene.nodes
    kubectl = scene.kubectl
    until("all nodes to be Ready", lambda: ready_nodes(kubectl) == {node.name for node in scene.nodes})
    kubectl.apply(deployment("many", 3), service("many", {"app": "many"}))
    kubectl.wait("deployment/many", "jsonpath={.status.readyReplicas}=3")
    gone = [address for address, node in placed(kubectl, "many") if node == victim.name]
    assert gone, "the pods were not spread over all nodes"
    for node in scene.nodes:
        scene.converged(node, gone)
    kept = address_of(kubectl, f"near-{victim.number}")
    begun = now_s()
    victim.cut(silently=True)
    try:
        for node in others:
            scene.found.slowest("lost_endpoints_s", scene.converged(node, [], [*gone, kept], begun))
        there = {node.name for node in others}
        until("pods in their place", lambda: len([1 for _, node in placed(kubectl, "many") if node in there]) == 3)
        scene.found.slowest("lost_replaced_s", now_s() - begun)
        fresh = [address for address, node in placed(kubectl, "many") if node in there]
    finally:
        victim.heal()
    healed = now_s()
    scene.found.slowest("lost_back_s", scene.converged(victim, fresh, gone, healed))
    until("the node to be Ready", lambda: victim.name in ready_nodes(kubectl))
    scene.found.slowest("lost_ready_s", now_s() - healed)
    for node in others:
        scene.found.slowest("lost_again_s", scene.converged(node, [kept], gone, healed))
    scene.judge("a node lost", begun)
    kubectl("delete", "deployment,service", "many", "--wait=false")


def kill(scene: Scene, random: Random) -> None:
    """The agent of the second node, amid a change of its rules."""
    victim = scene.nodes[1]
    crowd = [f"crowd-{number}" for number in range(CROWD)]
    with scene.change() as change:
        begun = now_s()
        process = scene.kubectl.start("apply", "-f", "-", stdin=subprocess.PIPE)
        text = "\n---\n".join(map(json.dumps, (service(name, {"pair": "yes"}) for name in crowd)))
        assert process.stdin
        process.stdin.write(text)
        process.stdin.close()
        first = f"/{scene.kubectl.namespace}/crowd-"
        quickly("the first of the crowd", lambda: first in rules_of(victim))
        time.sleep(random.random() / 4)
        killed = victim.kill()
        struck = now_s()
        change.make()
        assert process.wait(timeout=100) == 0
        every = [f"{first}{number}/" for number in range(CROWD)]
        quickly("all of the crowd", lambda: all(one in rules_of(victim) for one in every))
        scene.found.slowest("killed_converge_s", change.seen(victim, struck))
        victim.back(killed)
        scene.judge("an agent killed", begun)
    scene.kubectl("delete", "service", *crowd, "--wait=false")
    quickly("the crowd to go", lambda: not any(first in rules_of(node) for node in scene.nodes))


def entangle(scene: Scene) -> None:
    """A rule of somebody else's stands in the way of a chain that is to go: the agent is stopped while it is put there,
    so that the change is tried before anybody heard of the rule, or right after."""
    victim = scene.nodes[1]
    with scene.change() as change:
        begun = now_s()
        pid = victim.pid()
        assert pid > 0
        os.kill(pid, signal.SIGSTOP)
        try:
            chain = f"pool/{scene.kubectl.namespace}/{change.old}/tcp/http"
            for words in ("add chain ip navarch foreign", f"add rule ip navarch foreign jump {chain}"):
                victim.run("nft", words)
            change.make()
        finally:
            os.kill(pid, signal.SIGCONT)
        freed = now_s()
        scene.found.slowest("refused_converge_s", change.seen(victim, freed))
        quickly("the foreign chain to go", lambda: "foreign" not in rules_of(victim))
        scene.judge("a chain held by another", begun)


def refuse(scene: Scene, *, for_s: float) -> None:
    """The second node's table belongs to another process: the kernel refuses every transaction until that ends.

    What goes through the node's rules cannot flow meanwhile: only what others send counts here.
    """
    victim = scene.nodes[1]
    before = refusals(scene, victim)
    with scene.change() as change:
        begun = now_s()
        with held(victim):
            change.make()
            quickly("refusals that are counted", lambda: refusals(scene, victim) > before)
            time.sleep(max(0.0, begun + for_s - now_s()))
        freed = now_s()
        scene.found.slowest("refused_converge_s", change.seen(victim, freed))
        scene.found.refused_transactions += refusals(scene, victim) - before
        if "nft refused the rules" not in (victim.layout.logs / "agent.log").read_text():
            scene.found.wrong.append("the agent's log does not tell that the kernel refused its rules")
        loads, scene.loads = scene.loads, [load for load in scene.loads if load.source != f"load-{victim.number}"]
        everything = told(loads, scene.kubectl).requests
        scene.judge("a kernel that refuses", begun)
        scene.loads, scene.requests_before = loads, everything
    near, pair = scene.address("near"), scene.address("pair")
    for address in (near, pair):
        quickly(f"{address} on {victim.name}", lambda address=address: answers(victim, f"http://{address}/"))


@contextmanager
def held(node: Node) -> Iterator[None]:
    """The node's table is another process', from which the kernel lets nobody take it, and goes with that."""
    with subprocess.Popen(
        [*node.inside, "nft", "-i"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as holder:
        assert holder.stdin
        try:
            # the agent makes the table anew as soon as it hears that it is gone: one transaction does both
            holder.stdin.write("delete table ip navarch; add table ip navarch { flags owner; }\n")
            holder.stdin.flush()
            quickly("a table that is held", lambda: "flags owner" in rules_of(node))
            yield
        finally:
            holder.stdin.close()


def refusals(scene: Scene, node: Node) -> int:
    text = scene.kubectl("get", "--raw", f"/api/v1/nodes/{node.name}/proxy/metrics")
    return sum(int(float(line.split()[-1])) for line in text.splitlines() if line.startswith(REFUSALS))


def rules_of(node: Node) -> str:
    """ "" while there is no table."""
    words = [*node.inside, "nft", "list", "table", "ip", "navarch"]
    return subprocess.run(words, capture_output=True, text=True, timeout=60).stdout


def names(text: str, address: str) -> bool:
    return re.search(rf"(?<![\d.]){re.escape(address)}(?!\d)", text) is not None


def quickly(what: str, found: Callable[[], Any], patience_s: float = 60.0) -> None:
    """As `until`, and looks often, since it is timed."""
    deadline = time.monotonic() + patience_s
    while not found():
        assert time.monotonic() < deadline, f"{what}: not within {patience_s:.0f} s"
        time.sleep(0.03)


def answers(node: Node, url: str) -> bool:
    words = [*node.inside, "curl", "-sf", "-o", "/dev/null", "--max-time", "1", url]
    return subprocess.run(words, timeout=30).returncode == 0


def address_of(kubectl: Kubectl, name: str) -> str:
    found: str = kubectl.get("pod", name)["status"]["podIP"]
    return found


def placed(kubectl: Kubectl, app: str) -> list[tuple[str, str]]:
    """Addresses and nodes of the pods that are Ready and do not end."""
    found = json.loads(kubectl("get", "pods", "-l", f"app={app}", "-o", "json"))["items"]
    return [
        (one["status"]["podIP"], one["spec"]["nodeName"])
        for one in found
        if "deletionTimestamp" not in one["metadata"]
        and any(each["type"] == "Ready" and each["status"] == "True" for each in one["status"].get("conditions", ()))
    ]


def service(name: str, selector: dict[str, str], **spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    made = {"selector": selector, "ports": ports, **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": made}


def deployment(name: str, replicas: int) -> dict[str, Any]:
    """One pod a node as long as there are nodes."""
    labels = {"app": name}
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
    }
    server = {
        "name": "main",
        "image": PYTHON,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3.11", "-c", SERVER, "0"],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1},
    }
    pods = {"containers": [server], "topologySpreadConstraints": [spread], "terminationGracePeriodSeconds": 5}
    template = {"metadata": {"labels": labels}, "spec": pods}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def traces(nodes: Sequence[Node]) -> dict[str, list[str]]:
    """What pods, Services and nodes leave on a machine while they are there: nothing of it may stay when they go."""
    found: dict[str, list[str]] = {}
    for node in nodes:
        settings = load_settings(node.layout)
        assert settings
        links = node.run("ip", "-o", "link", "show", "master", settings.bridge).splitlines()
        found[f"{node.name}: links"] = sorted(line.split(": ")[1].partition("@")[0] for line in links)
        tunnel = node.run("ip", "-o", "link", "show", "type", "vxlan").splitlines()
        found[f"{node.name}: tunnels"] = [line.split(": ")[1] for line in tunnel]
        shown = node.run("ip", "route").replace(" linkdown", "")  # the bridge of a node without pods is down
        found[f"{node.name}: routes"] = sorted(line.strip() for line in shown.splitlines())
        found[f"{node.name}: rules"] = sorted(set(re.findall(r"[^\s,{}]+", node.run("nft", "list", "ruleset"))))
        found[f"{node.name}: shims"] = sorted(map(str, containerd.shims(machine.containerd_settings(node.layout))))
        addresses = node.layout.cni_state / "addresses"
        found[f"{node.name}: addresses"] = sorted(one.name for one in addresses.glob("*/*") if one.name[:1].isdigit())
    spaces = Path("/run/netns")
    found["network namespaces"] = sorted(one.name for one in spaces.iterdir()) if spaces.is_dir() else []
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    found["mounts"] = sorted(one for one in points if one.startswith((str(DATA), str(RUN))))
    return found


@contextmanager
def nothing_left(nodes: Sequence[Node]) -> Iterator[None]:
    """Every link, route, rule, address, namespace, mount and shim that is there afterwards was there before; and each
    route and tunnel that was there is there again."""
    before = traces(nodes)
    yield

    def wrong() -> list[str]:
        now = traces(nodes)
        left = [f"left of {what}: {one}" for what in before for one in sorted(set(now[what]) - set(before[what]))]
        paths = [what for what in before if what.endswith(("routes", "tunnels"))]
        return left + [f"not in {what}: {one}" for what in paths for one in sorted(set(before[what]) - set(now[what]))]

    deadline = time.monotonic() + 90
    while found := wrong():
        assert time.monotonic() < deadline, "\n".join(found[:40])
        time.sleep(0.5)


def removed(kubectl: Kubectl) -> None:
    """Everything of the namespace."""
    kubectl("delete", "deployments,services", "--all", "--wait=false")
    kubectl("delete", "pods", "--all", "--timeout=150s", timeout_s=170)


def play(folder: Path, seed: int, *, rounds: int = 2) -> dict[str, Any]:
    """On a fresh cluster every fault, so many times; and then nothing of it is left."""
    found, random = Found(), Random(seed)
    with brought_up(folder, "--nodes", "3") as kubeconfig:
        nodes = nodes_of_the_machine()
        kubectl = Kubectl(kubeconfig, "faults")
        kubectl("create", "namespace", "faults")
        kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=100s")
        with nothing_left(nodes):
            scene = Scene(kubectl, nodes, found)
            scene.begin()
            for number in range(rounds):
                cut(scene, silently=bool(number % 2), for_s=4.0 + 4.0 * random.random())
                kill(scene, random)
                entangle(scene)
                refuse(scene, for_s=3.0)
                lose(scene)
            removed(kubectl)
    return asdict(found)
