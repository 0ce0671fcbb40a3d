"""The cluster of this folder: brought up for its first test, taken down after its last."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "journeys"))

from real_cluster import Kubectl, navarch, until
from shared_cluster import brought_up, own_namespace


@pytest.fixture(scope="package")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of the administrator of a running cluster that has the tests' images."""
    with brought_up(tmp_path_factory.mktemp("cluster")) as path:
        yield path


@pytest.fixture(scope="module")
def kubectl(kubeconfig: Path, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """In a namespace of the module's own, which is deleted after its last test."""
    with own_namespace(kubeconfig, request.module.__name__) as found:
        yield found


@pytest.fixture(scope="package")
def way_in(kubeconfig: Path) -> Iterator[str]:
    """The address at which the add-on `ingress` takes requests: the node's own, given by the cluster's pool.

    Its last module, `test_ingress`, takes both away again: those that follow find a cluster without them.
    """
    system, own = Kubectl(kubeconfig, "kube-system"), Kubectl(kubeconfig, "navarch-ingress")
    system("create", "configmap", "load-balancer", "--from-literal=addresses=nodes")
    where = ("get", "service", "traefik", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}")
    try:
        enabled = navarch("addon", "enable", "ingress")
        assert enabled.returncode == 0, enabled.stderr
        yield until("an address of the Service", lambda: own(*where))
    finally:
        disabled = navarch("addon", "disable", "ingress")
        system("delete", "configmap", "load-balancer", "--ignore-not-found")
    assert disabled.returncode == 0, disabled.stderr
