"""A short slice of `.ci/soak neighbours`: three that spare nothing in one pod, and those beside it notice nothing."""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from node_settings import PIDS
from real_cluster import PYTHON, Kubectl, pod, until

from navarch.app.layout import Layout

sys.path.insert(0, str(Path(__file__).parents[2] / "robustness"))

from neighbours import others, processes, serving

pytestmark = pytest.mark.node

WAIT = """
import os, time
while not os.path.exists("/data/{0}"):
    time.sleep(0.1)
"""
"""Each begins when the test says so: a bomb takes the processes that others of its pod need to start."""
SCRIPTS = {
    "bomb": """
while True:
    try:
        os.fork()
    except OSError:
        print("no more", flush=True)
        time.sleep(5)
""",
    "hog": """
held = []
while True:
    held.append(bytearray(b"x") * (1 << 20))
""",
    "filler": """
with open("/data/file", "wb") as file:
    file.write(bytes(40 << 20))
time.sleep(1000)
""",
}


@pytest.fixture
def beside(kubectl: Kubectl) -> Iterator[list[str]]:
    """The addresses of pods that serve, while nobody disturbs them."""
    names = ["serving-1", "serving-2"]
    kubectl.apply(*map(serving, names))
    kubectl.ready(*names)
    yield [kubectl.get("pod", name)["status"]["podIP"] for name in names]
    kubectl("delete", "pods", "--all", "--wait=false")


def answers(address: str) -> bool:
    with urllib.request.urlopen(f"http://{address}:8080/disk", timeout=60) as answer:
        return answer.status == 200


def test_a_bomb_a_hog_and_a_filler_harm_only_themselves(kubectl: Kubectl, beside: list[str]) -> None:
    before = others(kubectl)
    containers = [
        {
            "name": name,
            "image": PYTHON,
            "command": ["python3.11", "-c", WAIT.format(name) + script],
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            "resources": {"limits": {"memory": "48Mi"}} if name == "hog" else {},
        }
        for name, script in SCRIPTS.items()
    ]
    noise = pod("noise", labels={"role": "noise"}, volumes=[{"name": "data", "emptyDir": {"sizeLimit": "32Mi"}}])
    noise["spec"]["containers"] = containers
    kubectl.apply(noise)
    kubectl.ready("noise")
    uid = kubectl.get("pod", "noise")["metadata"]["uid"]
    data = Layout().agent / "pods" / uid / "volumes" / "data"
    (data / "hog").touch()
    until("the hog to be killed", lambda: killed(kubectl))
    (data / "bomb").touch()
    until("the bomb to find its limit", lambda: "no more" in kubectl.run("logs", "noise", "-c", "bomb").stdout)
    assert PIDS // 2 < processes(uid) <= PIDS
    (data / "filler").touch()
    until("the filler to be found out", lambda: kubectl.get("pod", "noise")["status"]["phase"] == "Failed")
    found = kubectl.get("pod", "noise")["status"]
    assert (found["reason"], found["message"]) == (
        "Evicted", 'Usage of EmptyDir volume "data" exceeds the limit "32Mi". '
    )  # fmt: skip
    assert all(map(answers, beside))
    assert others(kubectl) == before


def killed(kubectl: Kubectl) -> bool:
    """For want of memory."""
    status = kubectl.status("noise", "hog")
    states = [status.get(when, {}).get("terminated", {}) for when in ("state", "lastState")]
    return ("OOMKilled", 137) in [(one.get("reason"), one.get("exitCode")) for one in states]
