"""Certificates of a running cluster made anew, again and again, under streams and requests of real clients."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from real_cluster import Kubectl, navarch, pod, until

TALK = "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.1; done"


@dataclass
class Found:
    """requests: of kubectl, each a process and a connection of its own. lines: that came over the streams."""

    rotations: int = 0
    requests: int = 0
    lines: int = 0
    wrong: list[str] = field(default_factory=list)


class Asking(threading.Thread):
    """`exec` and `logs` by turns until it is told to stop."""

    def __init__(self, kubectl: Kubectl) -> None:
        super().__init__()
        self._kubectl = kubectl
        self.over = threading.Event()
        self.requests = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        words = (("exec", "talker", "--", "echo", "ok"), ("logs", "talker", "--tail=1"))
        while not self.over.is_set():
            done = self._kubectl.run(*words[self.requests % 2])
            self.requests += 1
            if done.returncode or not done.stdout:
                self.wrong.append(f"{words[(self.requests - 1) % 2]}: {done.returncode} {done.stderr}")


def rotate(kubectl: Kubectl, turns: int) -> Found:
    """A stream of `exec` and one of `logs -f` are open all the time, and must be whole at the end."""
    found = Found()
    kubectl.apply(pod("talker", TALK))
    kubectl.ready("talker")
    asking = Asking(kubectl)
    logs = kubectl.start("logs", "-f", "talker")
    echo = kubectl.start("exec", "-i", "talker", "--", "cat", stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    asking.start()
    try:
        for turn in range(turns):
            done = navarch("certificates", "renew", environment=dict(kubectl.environment))
            if done.returncode:
                found.wrong.append(f"turn {turn}: {done.stderr}")
            found.rotations += 1
            found.lines += said(echo, f"turn {turn}\n", found.wrong)
            seen = asking.requests
            until("two more requests", lambda seen=seen: asking.requests >= seen + 2)
    finally:
        asking.over.set()
        asking.join()
        found.requests, found.wrong = asking.requests, found.wrong + asking.wrong
        kubectl("delete", "pod", "talker", "--wait=false")
        text = logs.communicate(timeout=100)[0].splitlines()
        echo.communicate(timeout=100)
    found.lines += len(text)
    if text != [f"line {number + 1}" for number in range(len(text))]:
        found.wrong.append(f"the log that was followed has holes, or ended otherwise: {text[-3:]}")
    return found


def said(echo: subprocess.Popen[str], line: str, wrong: list[str]) -> int:
    """Over the stream and back; a stream that broke says nothing any more."""
    if echo.stdin is None or echo.stdout is None or echo.poll() is not None:
        wrong.append("the stream of exec ended")
        return 0
    echo.stdin.write(line)
    echo.stdin.flush()
    back = echo.stdout.readline()
    if back != line:
        wrong.append(f"exec said {back!r}, not {line!r}")
    return 1


def play(folder: Path, turns: int) -> Found:
    """On a cluster of its own."""
    from containerd_fixture import write_busybox_image
    from real_cluster import one_cluster

    path = folder / "kubeconfig"
    write_busybox_image(folder / "busybox.tar")
    with one_cluster():
        try:
            up = navarch("up", environment={"KUBECONFIG": str(path)})
            assert up.returncode == 0, up.stdout + up.stderr
            assert navarch("image", "import", str(folder / "busybox.tar")).returncode == 0
            kubectl = Kubectl(path)
            until("the service account", lambda: not kubectl.run("get", "serviceaccount", "default").returncode)
            return rotate(kubectl, turns)
        finally:
            navarch("down", environment={"KUBECONFIG": str(path)})
