"""The cluster of `navarch up`: time until Ready, memory and CPU time when idle, `kubectl run` to Running.

Needs root and a machine that has the packages, and no cluster on it: this brings one up and takes it down again, a few
times. What containerd itself takes for a sandbox and a container is measured by the same calls of its own interface,
on the same containerd with the agent stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ground import ROOT, cpu_s, memory_mb

from navarch.agent.cri import CriRuntime
from navarch.agent.imagefile import File, ImageConfig, write_archive
from navarch.agent.runtime import CONTAINER_NAME, POD_NAME, POD_NAMESPACE, POD_UID, ContainerSpec, SandboxSpec
from navarch.app.ask import ask
from navarch.app.layout import Layout
from navarch.base.clock import SystemClock

IMAGE = "navarch.test/benchmark:1"
COMMAND = [sys.executable, "-c", "from navarch.cli.main import run; run()"]
KUBECTL = Path(sys.executable).parent / "kubectl"
LAYOUT = Layout()


def navarch(*arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([*COMMAND, *arguments], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"navarch {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def cluster() -> Iterator[float]:
    """Yields the seconds that `up` took."""
    if LAYOUT.settings.exists():
        sys.exit("there is a cluster on this machine; `navarch down` removes it")
    try:
        began = time.monotonic()
        navarch("up")
        yield time.monotonic() - began
    finally:
        navarch("down")


def pid_of(name: str) -> int:
    return int(json.loads(LAYOUT.supervisor_state.read_text())[name]["pid"])


def idle(seconds: float) -> dict[str, float]:
    """Of the server and the agent, with the cluster's own objects and no pods."""
    pids = {name: pid_of(name) for name in ("server", "agent", "supervisor", "containerd")}
    time.sleep(10)
    before = {name: cpu_s(pid) for name, pid in pids.items()}
    time.sleep(seconds)
    figures: dict[str, float] = {}
    for name, pid in pids.items():
        figures[f"{name}_idle_cpu_percent"] = round((cpu_s(pid) - before[name]) / seconds * 100, 3)
        figures |= {f"{name}_{what}": mb for what, mb in memory_mb(pid).items()}
    for what in ("rss_MB", "pss_MB", "idle_cpu_percent"):
        figures[f"server_and_agent_{what}"] = round(figures[f"server_{what}"] + figures[f"agent_{what}"], 3)
    return figures


def write_image(target: Path) -> None:
    busybox = Path(shutil.which("busybox") or "/bin/busybox").read_bytes()
    files = {"bin/busybox": File(busybox, mode=0o755), "bin/sleep": File(link="/bin/busybox")}
    write_archive(target, [IMAGE], [files], ImageConfig(command=["/bin/sleep", "3600"]))


def watched_pods(query: str = "") -> Iterator[tuple[float, Any]]:
    """Changes of the pods of `default`, each with the moment in which it was heard."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(str(LAYOUT.server_socket))
    connection.request("GET", f"{PODS}?watch=1&{query}")
    answer = connection.getresponse()
    while line := answer.readline():
        yield time.monotonic(), json.loads(line)


class Follower:
    """Notes when each pod was first seen to run."""

    def __init__(self) -> None:
        self.running: dict[str, float] = {}
        self._news = threading.Condition()
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        for now, event in watched_pods("resourceVersion=0"):
            found = event["object"]
            if found.get("status", {}).get("phase") == "Running":
                with self._news:
                    self.running.setdefault(found["metadata"]["name"], now)
                    self._news.notify_all()

    def wait(self, name: str) -> float:
        with self._news:
            if not self._news.wait_for(lambda: name in self.running, 30):
                raise RuntimeError(f"pod {name} does not run: {ask(LAYOUT.server_socket, f'{PODS}/{name}')}")
            return self.running[name]


PODS = "/api/v1/namespaces/default/pods"


def runs(count: int, follower: Follower) -> list[float]:
    """Seconds from starting `kubectl run` until the pod is seen Running."""
    found = []
    for number in range(count):
        name = f"run-{number}"
        command = [str(KUBECTL), "run", name, f"--image={IMAGE}", "--image-pull-policy=Never"]
        began = time.monotonic()
        subprocess.run(command, check=True, capture_output=True)
        found.append(follower.wait(name) - began)
        time.sleep(0.5)
    subprocess.run([str(KUBECTL), "delete", "pod", "--all", "--grace-period=0", "--force"], capture_output=True)
    return found


def kubectl_itself() -> float:
    """What the client takes to start and ask one thing."""
    took = []
    for _ in range(5):
        began = time.monotonic()
        subprocess.run([str(KUBECTL), "get", "--raw", "/healthz"], check=True, capture_output=True)
        took.append(time.monotonic() - began)
    return statistics.median(took)


async def containerd_itself(count: int) -> list[float]:
    """Seconds for a sandbox, a container in it and its start, asked for directly."""
    runtime = CriRuntime(LAYOUT.containerd / "containerd.sock", SystemClock())
    took = []
    image = await runtime.image(IMAGE)
    assert image is not None
    try:
        for number in range(count):
            uid = f"00000000-0000-0000-0000-{number:012}"
            labels = {POD_NAME: f"bare-{number}", POD_NAMESPACE: "default", POD_UID: uid, CONTAINER_NAME: "main"}
            spec = SandboxSpec("default", f"bare-{number}", uid, hostname=f"bare-{number}", labels=labels)
            container = ContainerSpec("main", image.id, labels=labels)
            began = time.monotonic()
            sandbox = await runtime.start_sandbox(spec)
            await runtime.start_container(await runtime.create_container(sandbox, spec, container))
            took.append(time.monotonic() - began)
            await runtime.stop_sandbox(sandbox)
            await runtime.remove_sandbox(sandbox)
            await asyncio.sleep(0.3)
    finally:
        await runtime.close()
    return took


def spread(name: str, seconds: Sequence[float]) -> dict[str, float]:
    return {f"{name}_s": round(statistics.median(seconds), 3), f"{name}_slowest_s": round(max(seconds), 3)}


def pods(count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "image.tar"
        write_image(archive)
        navarch("image", "import", str(archive))
    follower = Follower()
    runs(2, follower)  # everything that is made on first use
    follower = Follower()
    started = runs(count, follower)
    time.sleep(3)
    agent = pid_of("agent")
    os.kill(agent, signal.SIGSTOP)
    try:
        bare = asyncio.run(containerd_itself(count))
    finally:
        os.kill(agent, signal.SIGCONT)
    figures = spread("kubectl_run_to_running", started) | spread("containerd_itself", bare)
    over = statistics.median(started) - statistics.median(bare)
    return figures | {"over_containerd_s": round(over, 3), "kubectl_get_raw_s": round(kubectl_itself(), 3)}


def measure(ups: int = 3, idle_seconds: float = 60, count: int = 10) -> dict[str, Any]:
    took = []
    for _ in range(ups - 1):
        with cluster() as seconds:
            took.append(seconds)
    with cluster() as seconds:
        took.append(seconds)
        figures = idle(idle_seconds) if idle_seconds else {}
        figures |= pods(count) if count else {}
    return {"up_to_ready_s": round(statistics.median(took), 2), "up_slowest_s": round(max(took), 2), **figures}


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
