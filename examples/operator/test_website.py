"""The operator on kopf, in this process, against a cluster in this process."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kopf.testing import KopfRunner

from navarch.testing.cluster import RunningCluster

OPERATOR = Path(__file__).with_name("website.py")
SITE = {"apiVersion": "example.com/v1", "kind": "Website", "metadata": {"name": "mine"}, "spec": {"image": "nginx:1"}}


@pytest.fixture
def cluster(websites: RunningCluster) -> Iterator[RunningCluster]:
    """The operator runs in it."""
    environment: dict[str, Any] = {"KUBECONFIG": str(websites.kubeconfig)}
    with KopfRunner(["run", "-A", str(OPERATOR)], env=environment, timeout=60):
        yield websites


def test_a_website_has_pods_and_takes_them_along(cluster: RunningCluster) -> None:
    cluster.apply(SITE)
    cluster.wait("deployment/mine")
    cluster.wait("deployment/mine", "Available")
    cluster.client.patch("websites", "default", "mine", {"spec": {"replicas": 3}})
    cluster.wait("deployment/mine", lambda found: found["status"].get("readyReplicas") == 3)
    (pod, *_) = cluster.client.list("pods", "default", labels="site=mine").items
    cluster.client.delete("websites", "default", "mine")
    cluster.wait("deployment/mine", "gone")
    cluster.wait(f"pod/{pod.name}", "gone")
