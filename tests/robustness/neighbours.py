"""A neighbour that spares nothing: what a fork bomb, a memory hog and a disk filler in one pod cost those beside it.

Pods that serve requests are asked from outside, without pause, in windows: while all is quiet, while the neighbour does
its worst, and quiet again. What is told is how many times longer an answer took then, so that the machine's own speed
does not matter; and whether anything but the neighbour was started again, found not ready or evicted.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "node"))

from real_cluster import CACHE, PYTHON, ROOT, Kubectl, navarch, one_cluster, pod, until

from navarch.agent.cgroups import QUALITIES, find_hierarchy
from navarch.app.sample import build_images

PIDS = 4096
"""What a pod may have of processes, where nobody says otherwise."""
QUIET_S, NOISE_S = 10.0, 25.0
PAUSE_S = 0.02
KINDS = ("cpu", "disk")
SERVER = """
import hashlib, os, socketserver

def compute():
    for _ in range(12):
        hashlib.sha256(bytes(131072)).digest()

def store():
    with open("/data/file", "wb") as file:
        file.write(os.urandom(65536))
        file.flush()
        os.fsync(file.fileno())
    with open("/data/file", "rb") as file:
        file.read()

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while line := self.rfile.readline():
            while self.rfile.readline().strip():
                pass
            {b"/cpu": compute, b"/disk": store}.get(line.split()[1], lambda: None)()
            self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")

class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

Server(("", 8080), Handler).serve_forever()
"""
BOMB = """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
HOG = """
import os, time
def eat():
    held = []
    while True:
        held.append(bytearray(b"x") * (1 << 20))
began = time.monotonic()
while time.monotonic() - began < 8:
    try:
        if os.fork() == 0:
            open("/proc/self/oom_score_adj", "w").write("1000")
            eat()
    except OSError:
        break
    os.wait()
eat()
"""
"""Its children, again and again, and in the end itself; at once where the bomb has left it no process."""
FILLER = """
block = bytes(range(256)) * 4096
while True:
    with open("/data/file", "wb") as file:
        for _ in range(4096):
            file.write(block)
"""
"""Four GiB and over again, where a quarter of one is allowed."""


@dataclass
class Found:
    """Ratios: of what an answer took beside the neighbour to what it took in the quiet before and after, by kind."""

    wrong: list[str] = field(default_factory=list)
    pods: int = 0
    requests: int = 0
    failed_requests: int = 0
    others_started_again: int = 0
    others_unready: int = 0
    neighbours_evicted: int = 0
    out_of_memory: int = 0
    processes_at_most: int = 0
    ratio_of_medians_cpu: float = 0.0
    ratio_of_medians_disk: float = 0.0
    ratio_of_p99_cpu: float = 0.0
    ratio_of_p99_disk: float = 0.0
    quiet_median_cpu_ms: float = 0.0
    quiet_median_disk_ms: float = 0.0
    quiet_p99_cpu_ms: float = 0.0
    quiet_p99_disk_ms: float = 0.0


def serving(name: str) -> dict[str, Any]:
    """Asks for little and uses less; probed as often as can be."""
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 3}
    return pod(
        name,
        ["python3.11", "-c", SERVER],
        image=PYTHON,
        labels={"role": "serving"},
        resources={"requests": {"cpu": "200m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}},
        volumes=[{"name": "data", "emptyDir": {}}],
        volumeMounts=[{"name": "data", "mountPath": "/data"}],
        readinessProbe=probe,
        livenessProbe=probe,
    )


def neighbour(requests: dict[str, str]) -> dict[str, Any]:
    """A Deployment, since whoever is evicted comes again. requests: of each of the three containers."""

    def container(name: str, script: str, **limits: str) -> dict[str, Any]:
        resources = {"requests": requests, "limits": limits}
        made = {"name": name, "image": PYTHON, "imagePullPolicy": "IfNotPresent", "resources": resources}
        return made | {"command": ["python3.11", "-c", script]}

    filler = container("filler", FILLER, memory="128Mi", **{"ephemeral-storage": "256Mi"})
    filler["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    spec = {
        "containers": [container("bomb", BOMB, memory="512Mi"), container("hog", HOG, memory="64Mi"), filler],
        "volumes": [{"name": "data", "emptyDir": {"sizeLimit": "256Mi"}}],
        "terminationGracePeriodSeconds": 0,
    }
    labels = {"role": "noise"}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "noise"},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }


class Asking:
    """A client for each address: one connection, one request after the other, kinds in turn."""

    def __init__(self, addresses: list[str]) -> None:
        self.took_s: dict[str, list[float]] = {}
        self.failed = 0
        self._addresses = addresses
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def going(self) -> Iterator[None]:
        self.took_s = {kind: [] for kind in KINDS}
        over = threading.Event()
        threads = [threading.Thread(target=self._ask, args=(address, over)) for address in self._addresses]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def _ask(self, address: str, over: threading.Event) -> None:
        """Before everything else on this machine, as a client on another one would be."""
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        connection = http.client.HTTPConnection(address, 8080, timeout=10)
        number = 0
        while not over.wait(PAUSE_S):
            kind = KINDS[number % len(KINDS)]
            number += 1
            try:
                began = time.perf_counter()
                if connection.sock is None:
                    connection.connect()
                    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.request("GET", f"/{kind}")
                connection.getresponse().read()
                took_s = time.perf_counter() - began
            except (OSError, http.client.HTTPException):
                connection.close()
                with self._lock:
                    self.failed += 1
                continue
            with self._lock:
                self.took_s[kind].append(took_s)
        connection.close()


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


class Watch:
    """What becomes of the neighbour while it is there: each of its pods is looked at again and again."""

    def __init__(self, kubectl: Kubectl) -> None:
        self.evicted: dict[str, str] = {}
        self.killed: set[tuple[str, str, int]] = set()
        self.processes_at_most = 0
        self._kubectl = kubectl

    def look(self) -> None:
        listed = json.loads(self._kubectl("get", "pods", "-l", "role=noise", "-o", "json"))["items"]
        for one in listed:
            uid, status = one["metadata"]["uid"], one["status"]
            if status.get("reason") == "Evicted":
                self.evicted[uid] = status["message"]
            for container in status.get("containerStatuses", []):
                for state in (container["state"], container["lastState"]):
                    if state.get("terminated", {}).get("reason") == "OOMKilled":
                        self.killed.add((uid, container["name"], state["terminated"]["finishedAt"]))
            self.processes_at_most = max(self.processes_at_most, processes(uid))


def processes(uid: str) -> int:
    """Of the pod, wherever among the groups it stands; they come and go beside this."""
    hierarchy = find_hierarchy()
    point = hierarchy.unified or hierarchy.controllers["pids"]
    for quality in QUALITIES:
        with contextlib.suppress(OSError):
            return int((point / f"navarch{quality}/pod{uid}/pids.current").read_text())
    return 0


def others(kubectl: Kubectl) -> dict[str, Any]:
    """By pod, its container, and since when it is ready."""
    listed = json.loads(kubectl("get", "pods", "-l", "role=serving", "-o", "json"))["items"]
    found = {}
    for one in listed:
        [state] = one["status"]["containerStatuses"]
        [ready] = [each for each in one["status"]["conditions"] if each["type"] == "Ready"]
        found[one["metadata"]["name"]] = (
            (one["metadata"]["uid"], state["containerID"], state["restartCount"]),
            (ready["status"], ready["lastTransitionTime"]),
        )
    return found


def make_noise(kubectl: Kubectl, requests: dict[str, str], seconds: float, watch: Watch) -> None:
    kubectl.apply(neighbour(requests))
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        watch.look()
        time.sleep(1.0)


def stop_noise(kubectl: Kubectl) -> None:
    kubectl("delete", "deployment", "noise", "--timeout=100s")
    kubectl("delete", "pods", "-l", "role=noise", "--timeout=100s")
    until("the neighbour to go", lambda: not kubectl("get", "pods", "-l", "role=noise", "-o", "name").strip())


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Kubectl]:
    kubeconfig = folder / "kubeconfig"
    environment = {"KUBECONFIG": str(kubeconfig)}
    archives = [one for one in build_images(ROOT / "examples" / "voyage", CACHE, print) if one.name.startswith("api-")]
    with one_cluster():
        try:
            up = navarch("up", environment=environment)
            assert up.returncode == 0, up.stdout + up.stderr
            for archive in archives:
                done = navarch("image", "import", str(archive))
                assert done.returncode == 0, done.stderr
            kubectl = Kubectl(kubeconfig)
            kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=100s")
            yield kubectl
        finally:
            down = navarch("down", environment=environment)
        assert down.returncode == 0, down.stdout + down.stderr


def measure(
    kubectl: Kubectl, found: Found, *, pods: int, requests: dict[str, str], quiet_s: float, noise_s: float
) -> None:
    names = [f"serving-{number}" for number in range(pods)]
    kubectl.apply(*map(serving, names))
    kubectl.ready(*names)
    asking = Asking([kubectl.get("pod", name)["status"]["podIP"] for name in names])
    with asking.going():  # everything that is made on first use
        time.sleep(2.0)
    before = others(kubectl)
    watch = Watch(kubectl)
    taken: dict[bool, dict[str, list[float]]] = {noisy: {kind: [] for kind in KINDS} for noisy in (False, True)}
    for noisy in (False, True, False, True, False):
        with asking.going():
            if noisy:
                make_noise(kubectl, requests, noise_s, watch)
            else:
                time.sleep(quiet_s)
        for kind in KINDS:
            taken[noisy][kind] += asking.took_s[kind]
        if noisy:
            stop_noise(kubectl)
    after = others(kubectl)
    found.pods = pods
    found.requests = sum(len(took) for window in taken.values() for took in window.values())
    found.failed_requests = asking.failed
    for kind in KINDS:
        quiet, noise = taken[False][kind], taken[True][kind]
        setattr(found, f"ratio_of_medians_{kind}", round(statistics.median(noise) / statistics.median(quiet), 2))
        setattr(found, f"ratio_of_p99_{kind}", round(p99(noise) / p99(quiet), 2))
        setattr(found, f"quiet_median_{kind}_ms", round(statistics.median(quiet) * 1000, 2))
        setattr(found, f"quiet_p99_{kind}_ms", round(p99(quiet) * 1000, 2))
    judge(found, before, after, watch)


def judge(found: Found, before: dict[str, Any], after: dict[str, Any], watch: Watch) -> None:
    for name, (instance, readiness) in before.items():
        now, ready = after.get(name, (None, None))
        if now != instance:
            found.others_started_again += 1
            found.wrong.append(f"{name} was {instance} and is {now}")
        elif ready != readiness:
            found.others_unready += 1
            found.wrong.append(f"{name} was ready {readiness} and is {ready}")
    found.neighbours_evicted = len(watch.evicted)
    found.out_of_memory = len(watch.killed)
    found.processes_at_most = watch.processes_at_most
    if found.failed_requests:
        found.wrong.append(f"{found.failed_requests} requests failed")
    if not watch.evicted or not watch.killed:
        found.wrong.append(f"the neighbour was evicted for {watch.evicted} and out of memory {watch.killed}")
    if not 1 < watch.processes_at_most <= PIDS:
        found.wrong.append(f"the neighbour had {watch.processes_at_most} processes")


def play(folder: Path, seed: int) -> Found:
    """seed: with the even ones each of the neighbour's containers asks for a share of the processor too."""
    found = Found()
    requests = {"memory": "32Mi"} | ({"cpu": "200m"} if seed % 2 == 0 else {})
    with cluster(folder) as kubectl:
        measure(kubectl, found, pods=4, requests=requests, quiet_s=QUIET_S, noise_s=NOISE_S)
    return found


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory(prefix="navarch-soak-") as name:
        print(json.dumps(play(Path(name), int(sys.argv[1])).__dict__, indent=1))
