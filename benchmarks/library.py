"""The cluster as a library: how soon there is one, what a hundred cost, and what time that passes costs.

Every case runs in a process of its own. `*_cpu_s` is the processor time of that process (and of its children, for the
tests); the others are what a clock on the wall says, the start of the interpreter included.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from ground import ROOT

STARTS, MORE, TESTS = 7, 20, 100
NODES, APPS, REPLICAS = 50, 20, 25
CRONJOBS, HOURS = 100, 24
TEST = """
import navarch
import pytest

WEB = '''
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: nginx}]}
'''


@pytest.mark.parametrize("number", range(%d))
def test_becomes_available(number):
    with navarch.Cluster() as c:
        c.apply(WEB)
        c.wait("deployment/web", "Available")
        assert len(c.client.list("pods", "default").items) == 3
"""


def spent() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def since(before: tuple[float, float]) -> tuple[float, float]:
    now = spent()
    return now[0] - before[0], now[1] - before[1]


def ready() -> dict[str, float]:
    """From nothing: `import navarch`, one cluster, and the namespace and account that it must have by then."""
    import navarch

    with navarch.Cluster(nodes=0) as c:
        c.client.get("namespace", "", "default")
        c.client.get("serviceaccount", "default", "default")
        return {"at": time.time(), "cpu_s": time.process_time()}


def more() -> dict[str, float]:
    """Clusters after the first, one after another, each with a node that is ready."""
    import navarch

    with navarch.Cluster():
        pass
    walls, cpus, wholes = [], [], []
    for _ in range(MORE):
        before = spent()
        with navarch.Cluster():
            wall, cpu = since(before)
        walls.append(wall)
        cpus.append(cpu)
        wholes.append(since(before)[0])
    return {
        "one_more_s": statistics.median(walls),
        "one_more_worst_s": max(walls),
        "one_more_cpu_s": statistics.median(cpus),
        "one_more_and_its_end_s": statistics.median(wholes),
    }


def month() -> dict[str, float]:
    """Fifty nodes with 500 pods, once all is told; then thirty days in one leap."""
    import navarch

    with navarch.Cluster(nodes=NODES, frozen=True) as c:
        c.apply([make(number) for number in range(APPS) for make in (deployment, service)])
        c.clock.advance(hours=2)
        pods = c.client.list("pods", "default")
        assert len(pods.items) == APPS * REPLICAS
        assert all(pod.view.ready for pod in pods.items)
        before, revision = spent(), c.client.list("nodes").revision
        c.clock.advance(days=30)
        wall, cpu = since(before)
        writes = c.client.list("nodes").revision - revision
    return {"month_s": wall, "month_cpu_s": cpu, "month_writes": writes}


def day() -> dict[str, float]:
    """A hundred CronJobs, each every hour: 2,400 Jobs, whose pods run for ten seconds."""
    import navarch

    task = navarch.Behaviour(image="task", runs_s=10)
    with navarch.Cluster(nodes=10, behaviours=[task], frozen=True) as c:
        c.apply([cronjob(number) for number in range(CRONJOBS)])
        c.clock.advance(seconds=1)
        before, revision, made = spent(), c.client.list("nodes").revision, {}
        for _ in range(HOURS):
            c.clock.advance(hours=1)
            made |= {job.uid: job for job in c.client.list("jobs", "default").items}
        wall, cpu = since(before)
        writes = c.client.list("nodes").revision - revision
        kept, left = c.client.list("jobs", "default").items, c.client.list("pods", "default").items
        assert len(made) == CRONJOBS * HOURS, len(made)
        assert len(kept) == 3 * CRONJOBS, "the history is kept to its limit"
        assert len(left) == 3 * CRONJOBS
        done = sum(job.document()["status"].get("succeeded", 0) for job in kept)
    assert done == 3 * CRONJOBS, done
    return {"day_s": wall, "day_cpu_s": cpu, "day_writes_per_job": writes / len(made)}


def deployment(number: int) -> dict[str, Any]:
    labels = {"app": f"web-{number}"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "nginx"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"web-{number}"},
        "spec": {"replicas": REPLICAS, "selector": {"matchLabels": labels}, "template": template},
    }


def service(number: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"web-{number}"},
        "spec": {"selector": {"app": f"web-{number}"}, "ports": [{"port": 80}]},
    }


def cronjob(number: int) -> dict[str, Any]:
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "task"}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": f"cron-{number}"},
        "spec": {
            "schedule": f"{number % 60} * * * *",
            "jobTemplate": {"spec": {"template": {"spec": pod}}},
        },
    }


CASES: dict[str, Callable[[], dict[str, float]]] = {"ready": ready, "more": more, "month": month, "day": day}


def child(case: str, *, bytecode: bool = True) -> dict[str, float]:
    """A case in a process of its own. bytecode: what the interpreter has compiled before is at hand."""
    environment = surroundings()
    if not bytecode:
        environment |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": "/nonexistent"}
    began = time.time()
    said = subprocess.run(
        [sys.executable, __file__, case], capture_output=True, text=True, check=True, env=environment
    ).stdout
    found: dict[str, float] = json.loads(said)
    if "at" in found:
        found["s"] = found.pop("at") - began
    return found


def surroundings() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(ROOT / "src")}


def starts() -> dict[str, float]:
    child("ready")
    found = [child("ready") for _ in range(STARTS)]
    walls = [one["s"] for one in found]
    return {
        "ready_s": statistics.median(walls),
        "ready_worst_s": max(walls),
        "ready_cpu_s": statistics.median(one["cpu_s"] for one in found),
        "ready_without_bytecode_s": child("ready", bytecode=False)["s"],
    }


def tests() -> dict[str, float]:
    """A run of pytest with its start, and a cluster of their own for each of its tests."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "test_hundred.py").write_text(TEST % TESTS)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", directory]
        said = subprocess.run(command, cwd=directory, capture_output=True, text=True, env=surroundings())
        wall = time.perf_counter() - began
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert f"{TESTS} passed" in said.stdout, said.stdout[-2000:]
    cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    return {f"tests_{TESTS}_s": wall, f"tests_{TESTS}_cpu_s": cpu}


def measure() -> dict[str, Any]:
    figures = starts() | child("more") | tests() | child("month") | child("day")
    return {name: round(figure, 4) for name, figure in figures.items()}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(CASES[sys.argv[1]]()))
    else:
        print(json.dumps(measure(), indent=2))
