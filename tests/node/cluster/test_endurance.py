"""A short slice of `.ci/soak endurance`: agent and containerd die in the middle of their work, and nothing leaks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from real_cluster import Kubectl

sys.path.insert(0, str(Path(__file__).parents[2] / "robustness"))

from endurance import Found, Supervised, judge, strike

pytestmark = pytest.mark.node


def test_kills_of_agent_and_containerd_restart_nothing_and_leave_nothing(kubectl: Kubectl) -> None:
    found = Found()
    strike(kubectl, Supervised(), seed=1, pods=5, agents=3, runtimes=1, found=found, gently=True)
    kubectl("delete", "pods", "--all", "--timeout=100s")
    judge(kubectl, [], {}, found)
    assert found.wrong == []
    assert (found.kills_of_the_agent, found.kills_of_containerd) == (3, 1)
    assert found.restarts == 0
