"""A node under fire: pods run while the agent and containerd are killed in the middle of their work, again and again.

Beside the pods that are to notice nothing, others come and go, so that a kill strikes while sandboxes, networks,
volumes and containers are being made and taken away. Afterwards everything that a machine can hold of a pod is counted.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Protocol

sys.path.insert(0, str(Path(__file__).parents[1] / "node"))

import leftovers
from containerd_fixture import write_busybox_image
from csi_example import claim, storage
from real_cluster import IMAGE, Kubectl, kill, navarch, one_cluster, pod, until

from navarch.app import supervisor
from navarch.app.layout import Layout

LAYOUT = Layout()
GUESTS = "guests"
"""The claim of those that come and go."""
CLEAR_S = 240.0
"""What is left of a pod may stand for so long: who clears it away waits until it cannot belong to one being made."""


@dataclass
class Found:
    wrong: list[str] = field(default_factory=list)
    pods: int = 0
    with_volumes_of_a_driver: int = 0
    guests_with_volumes_of_a_driver: int = 0
    kills_of_the_agent: int = 0
    kills_of_containerd: int = 0
    restarts: int = 0
    leaked_sandboxes: int = 0
    leaked_mounts: int = 0
    leaked_interfaces: int = 0
    leaked_namespaces: int = 0
    leaked_stages: int = 0
    leaked_publishes: int = 0
    """Of drivers' volumes."""
    leaked_others: int = 0
    found_by_relist_alone: int = 0
    slowest_next_pod_s: float = 0.0
    """From a kill until a pod that was asked for before it is ready."""


class Processes(Protocol):
    def kill(self, name: str) -> None:
        """SIGKILL; it is started again by itself, or by this call."""
        ...


class Supervised:
    """Those of a cluster whose supervisor lives."""

    def kill(self, name: str) -> None:
        kill(name)


class Unsupervised:
    """Started again at once, however often they died: a supervisor would wait longer each time."""

    def __init__(self) -> None:
        listed = json.loads((LAYOUT.data / "processes.json").read_text())
        self._argv = {one["name"]: (one["argv"], one["log"]) for one in listed}
        kill("supervisor")
        self._pids = {name: supervisor.read_state(LAYOUT.supervisor_state)[name]["pid"] for name in self._argv}
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def kill(self, name: str) -> None:
        os.kill(self._pids[name], signal.SIGKILL)
        if name in self._children:
            self._children[name].wait()
        self._start(name)

    def _start(self, name: str) -> None:
        argv, log = self._argv[name]
        with open(log, "ab") as output:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                env=os.environ | {"NAVARCH_PROCESS": name},
            )  # fmt: skip
        self._children[name], self._pids[name] = child, child.pid

    def end(self) -> None:
        for child in self._children.values():
            child.kill()
            child.wait()


def asleep(name: str, claimed: str = "", **spec: Any) -> dict[str, Any]:
    """A pod with something of everything that can leak: a volume in memory, one on disk, a network, a log.

    claimed: whose volume of a driver it has besides.
    """
    volumes: list[dict[str, Any]] = [
        {"name": "memory", "emptyDir": {"medium": "Memory"}},
        {"name": "disk", "emptyDir": {}},
    ]
    if claimed:
        volumes.append({"name": "driver", "persistentVolumeClaim": {"claimName": claimed}})
    mounts = [{"name": one["name"], "mountPath": f"/{one['name']}"} for one in volumes]
    return pod(name, "echo here; exec sleep 1000000", volumes=volumes, volumeMounts=mounts, **spec)


def strike(
    kubectl: Kubectl,
    processes: Processes,
    seed: int,
    *,
    pods: int,
    agents: int,
    runtimes: int,
    found: Found,
    gently: bool = False,
    claims: int = 0,
) -> None:
    """Kill so many agents and containerds over running pods; what was wrong is added to `found`.

    claims: so many of the pods have a volume of a driver, which somebody runs; and every other guest then has one.
    gently: containerd dies only while nothing is being made. What it forgets is cleared away, but that takes minutes.
    """
    random = Random(seed)
    steady = [f"steady-{number}" for number in range(pods)]
    if claims:
        kubectl.apply(*(claim(name) for name in [*steady[:claims], GUESTS]))
    kubectl.apply(*(asleep(name, name if number < claims else "") for number, name in enumerate(steady)))
    for name in steady:
        kubectl.ready(name)
    before = instances(kubectl, steady)
    victims = ["agent"] * agents + ["containerd"] * runtimes
    random.shuffle(victims)
    for number, victim in enumerate(victims):
        if gently and victim == "containerd":
            processes.kill(victim)
        struck_at = time.monotonic()
        with_volume = claims > 0 and number % 2 == 0
        found.guests_with_volumes_of_a_driver += with_volume
        with coming_and_going(kubectl, number, GUESTS if with_volume else ""):
            if not gently or victim != "containerd":
                time.sleep(random.random() * 1.5)
                processes.kill(victim)
                struck_at = time.monotonic()
        kubectl.ready(f"guest-{number}")
        found.slowest_next_pod_s = max(found.slowest_next_pod_s, time.monotonic() - struck_at)
    found.kills_of_the_agent += agents
    found.kills_of_containerd += runtimes
    found.pods = max(found.pods, pods)
    found.with_volumes_of_a_driver = max(found.with_volumes_of_a_driver, claims)
    kubectl("delete", "pod", f"guest-{len(victims) - 1}", "--timeout=120s")
    judge(kubectl, steady, before, found)


@contextlib.contextmanager
def coming_and_going(kubectl: Kubectl, number: int, claimed: str) -> Iterator[None]:
    """Meanwhile one guest is asked for and the one before it is sent away."""
    wanted = kubectl.kubeconfig.with_name("guest.json")
    wanted.write_text(json.dumps(asleep(f"guest-{number}", claimed)))
    calls = [kubectl.start("create", "-f", str(wanted))]
    if number:
        calls.append(kubectl.start("delete", "pod", f"guest-{number - 1}", "--wait=false"))
    yield
    for call in calls:
        said, _ = call.communicate(timeout=120)
        assert call.returncode == 0, said


def judge(kubectl: Kubectl, steady: list[str], before: dict[str, tuple[str, int]], found: Found) -> None:
    until("guests to go", lambda: set(instances(kubectl, [])) == set(steady))
    after = instances(kubectl, steady)
    for name in steady:
        if after[name] != before[name]:
            found.restarts += 1
            found.wrong.append(f"{name} was {before[name]} and is {after[name]}")
    left: dict[str, list[str]] = {}
    deadline = time.monotonic() + CLEAR_S
    while (left := leftovers.leaked(LAYOUT, *living(kubectl))) and time.monotonic() < deadline:
        time.sleep(1.0)
    for kind, names in left.items():
        found.wrong.append(f"{len(names)} {kind} leaked: {', '.join(names[:5])}")
        counted = f"leaked_{kind}" if hasattr(found, f"leaked_{kind}") else "leaked_others"
        setattr(found, counted, getattr(found, counted) + len(names))
    found.found_by_relist_alone += missed(kubectl)


def instances(kubectl: Kubectl, expected: list[str]) -> dict[str, tuple[str, int]]:
    """By pod: the id of its container, and how often it was restarted."""
    listed = json.loads(kubectl("get", "pods", "-o", "json"))["items"]
    found = {
        one["metadata"]["name"]: (state["containerID"], state["restartCount"])
        for one in listed
        for state in one["status"].get("containerStatuses", [{"containerID": "", "restartCount": 0}])
    }
    return found | {name: ("gone", 0) for name in expected if name not in found}


def living(kubectl: Kubectl) -> tuple[set[str], set[str]]:
    """The uids of all pods, and the handles of the drivers' volumes that they use."""
    pods = json.loads(kubectl("get", "pods", "-A", "-o", "json"))["items"]
    claimed = {
        (one["metadata"]["namespace"], volume["persistentVolumeClaim"]["claimName"])
        for one in pods
        for volume in one["spec"].get("volumes", [])
        if "persistentVolumeClaim" in volume
    }
    handles = set()
    for one in json.loads(kubectl("get", "pv", "-o", "json"))["items"] if claimed else []:
        to = one["spec"].get("claimRef", {})
        if "csi" in one["spec"] and (to.get("namespace"), to.get("name")) in claimed:
            handles.add(one["spec"]["csi"]["volumeHandle"])
    return {one["metadata"]["uid"] for one in pods}, handles


def missed(kubectl: Kubectl) -> int:
    """Changes of which no event of the runtime had told, as the present agent counts them."""
    [node] = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    text = kubectl("get", "--raw", f"/api/v1/nodes/{node['metadata']['name']}/proxy/metrics")
    counts = [line for line in text.splitlines() if line.startswith("navarch_agent_relist_differences_total")]
    return sum(int(float(line.split()[-1])) for line in counts if 'cause="missed"' in line)


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Kubectl]:
    """One of our own, with the image, taken down whatever happens."""
    kubeconfig = folder / "kubeconfig"
    environment = {"KUBECONFIG": str(kubeconfig)}
    with one_cluster():
        try:
            up = navarch("up", environment=environment)
            assert up.returncode == 0, up.stdout + up.stderr
            write_busybox_image(folder / "busybox.tar")
            done = navarch("image", "import", str(folder / "busybox.tar"))
            assert done.returncode == 0, done.stderr
            kubectl = Kubectl(kubeconfig)
            kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=100s")
            yield kubectl
        finally:
            down = navarch("down", environment=environment)
        assert down.returncode == 0, down.stdout + down.stderr


def play(folder: Path, seed: int, *, pods: int = 50, agents: int = 10, runtimes: int = 2, claims: int = 5) -> Found:
    """On a fresh cluster: kill, count, delete everything, count again, take the cluster down, count once more."""
    found, before = Found(), leftovers.namespaces()
    assert IMAGE
    with cluster(folder) as kubectl, storage(kubectl, folder):
        processes = Unsupervised()
        try:
            counts = {"pods": pods, "agents": agents, "runtimes": runtimes, "claims": claims}
            strike(kubectl, processes, seed, **counts, found=found)
            kubectl("delete", "pods", "--all", "--timeout=200s")
            judge(kubectl, [], {}, found)
            kubectl("delete", "pvc", "--all", "--timeout=200s")
            until("the volumes to go", lambda: not kubectl("get", "pv", "-o", "name").strip())
        finally:
            processes.end()
    found.wrong += [f"left by down: {name}" for name in leftovers.namespaces() - before - leftovers.others()[1]]
    return found
