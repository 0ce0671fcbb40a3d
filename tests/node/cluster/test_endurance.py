"""A short slice of `.ci/soak endurance`: agent and containerd die in the middle of their work, and nothing leaks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from csi_example import storage
from real_cluster import Kubectl, until

sys.path.insert(0, str(Path(__file__).parents[2] / "robustness"))

from endurance import Found, Supervised, judge, strike

pytestmark = pytest.mark.node


def test_kills_of_agent_and_containerd_restart_nothing_and_leave_nothing(kubectl: Kubectl, tmp_path: Path) -> None:
    found = Found()
    with storage(kubectl, tmp_path):
        strike(kubectl, Supervised(), seed=1, pods=5, agents=3, runtimes=1, claims=1, found=found, gently=True)
        kubectl("delete", "pods", "--all", "--timeout=100s")
        judge(kubectl, [], {}, found)
        kubectl("delete", "pvc", "--all", "--timeout=100s")
        until("the volumes to go", lambda: not kubectl("get", "pv", "-o", "name").strip())
    assert found.wrong == []
    assert (found.kills_of_the_agent, found.kills_of_containerd) == (3, 1)
    assert (found.restarts, found.guests_with_volumes_of_a_driver) == (0, 2)
