"""The cluster of this folder, of IPv4 and IPv6: brought up for its first test, taken down after its last."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from real_cluster import Kubectl
from shared_cluster import Node, brought_up, nodes_of_the_machine, own_namespace

PODS, SERVICES = "10.244.0.0/16,fd00:10:244::/56", "10.96.0.0/16,fd00:10:96::/112"


@pytest.fixture(scope="package")
def both_families(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The kubeconfig of the administrator of a running cluster of two nodes that have the tests' images."""
    words = ("--nodes", "2", "--pod-cidr", PODS, "--service-cidr", SERVICES)
    with brought_up(tmp_path_factory.mktemp("families"), *words) as path:
        yield path


@pytest.fixture(scope="module")
def nodes(both_families: Path) -> Sequence[Node]:
    return nodes_of_the_machine()


@pytest.fixture(scope="module")
def kubectl(both_families: Path, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """In a namespace of the module's own, which is deleted after its last test."""
    with own_namespace(both_families, request.module.__name__) as found:
        yield found
