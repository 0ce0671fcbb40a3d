"""The fixtures, as a project that uses them would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[3] / "src"

TESTS = """
import pytest

@pytest.mark.navarch(nodes=2, frozen=True)
def test_good(navarch_cluster):
    assert navarch_cluster.nodes.names() == ["node-0", "node-1"]

def test_bad(navarch_cluster):
    navarch_cluster.apply({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "huge"},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1000"}}}]},
    })
    navarch_cluster.wait("pod/huge", "PodScheduled=False")
    assert False

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
    assert "1 failed, 3 passed, 1 error" in ran.stdout, ran.stdout + ran.stderr
    assert "what navarch_cluster said last" in ran.stdout
    assert "Warning FailedScheduling pod/huge: 0/1 nodes are available: 1 Insufficient cpu." in ran.stdout
    assert "takes keyword arguments only" in ran.stdout
