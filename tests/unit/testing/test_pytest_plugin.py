"""The fixtures, as a project that uses them would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[3] / "src"

TESTS = """
import pytest

@pytest.mark.navarch(nodes=2, frozen=True)
def test_good(navarch_cluster):
    assert navarch_cluster.nodes.names() == ["node-0", "node-1"]

@pytest.mark.navarch(nodes=2, behaviours="[{image: sick, runsSeconds: 0, exitCode: 3, exitMessage: no database}]")
def test_bad(navarch_cluster):
    navarch_cluster.nodes.fail("node-1")
    navarch_cluster.apply({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "main", "image": "sick"}], "nodeSelector": {
                    "kubernetes.io/hostname": "node-0"}},
            },
        },
    })
    navarch_cluster.apply({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "huge"},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1000"}}}]},
    })
    navarch_cluster.wait("pod/huge", "PodScheduled=False")
    navarch_cluster.wait("node/node-1", "Ready=Unknown", leap_s=120)
    assert False

@pytest.fixture
def world(navarch_cluster):
    navarch_cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "finalizers": ["x.dev/kept"]},
                           "spec": {"containers": [{"name": "c", "image": "i"}]}})
    navarch_cluster.wait("pod/p", "Ready")
    navarch_cluster.client.delete("pods", "default", "p")
    navarch_cluster.clock.advance(seconds=60)
    raise ValueError("the fixture broke")

def test_of_a_broken_fixture(world):
    pass

@pytest.mark.anyio
@pytest.mark.navarch(nodes=2, frozen=True)
async def test_awaited(navarch_async_cluster, navarch_cluster):
    await navarch_async_cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}})
    await navarch_async_cluster.clock.advance(hours=1)
    assert (await navarch_async_cluster.client.get("configmap", "default", "kept")).name == "kept"
    assert navarch_cluster.client.get("configmap", "default", "kept").name == "kept"

@pytest.fixture
def anyio_backend():
    return "asyncio"

def test_first(navarch_cluster_module):
    navarch_cluster_module.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}})

def test_second(navarch_cluster_module):
    navarch_cluster_module.wait("configmap/kept")

@pytest.mark.navarch(3)
def test_misused(navarch_cluster):
    pass
"""


def test_fixtures_and_what_a_failure_shows(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "1 failed, 4 passed, 2 errors" in ran.stdout, ran.stdout + ran.stderr
    assert "what is not well in navarch_cluster" in ran.stdout
    assert "  deployment/web in default: 0/1 ready" in ran.stdout
    assert re.search(
        r"  pod/web-\S+ in default: CrashLoopBackOff, 0/1 ready, .*on node-0: container main: back-off", ran.stdout
    )
    assert "exited with 3 (no database)" in ran.stdout
    assert "  pod/huge in default: Pending, 0/1 ready, 0 restarts, on no node: 0/2 nodes are available: " in ran.stdout
    assert "  node/node-1: is not ready" in ran.stdout
    assert "waits for x.dev/kept" in ran.stdout
    assert "what navarch_cluster said last" in ran.stdout
    assert "Warning FailedScheduling pod/huge: 0/2 nodes are available: 2 Insufficient cpu." in ran.stdout
    assert "takes keyword arguments only" in ran.stdout
