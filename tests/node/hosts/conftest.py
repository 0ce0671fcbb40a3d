"""The cluster of this folder, three nodes that are each a network of its own: brought up for its first test, taken down
after its last."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "compat" / "conformance"))
sys.path.insert(0, str(Path(__file__).parents[2] / "conformance"))
sys.path.insert(0, str(Path(__file__).parents[2] / "journeys"))
sys.path.insert(0, str(Path(__file__).parent))

import crew as ship
from real_cluster import Kubectl, until
from shared_cluster import Node, brought_up, nodes_of_the_machine, own_namespace, ready_nodes


@pytest.fixture(scope="package")
def three_hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The kubeconfig of the administrator of a running cluster of three nodes that have the tests' images."""
    with brought_up(tmp_path_factory.mktemp("hosts"), "--nodes", "3") as path:
        yield path


@pytest.fixture(scope="module")
def nodes(three_hosts: Path) -> Sequence[Node]:
    """The machine itself, where the server is, and the two that are network namespaces."""
    return nodes_of_the_machine()


@pytest.fixture(scope="module")
def kubectl(three_hosts: Path, nodes: Sequence[Node], request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """In a namespace of the module's own, which is deleted after its last test; every node is Ready before the first,
    whatever other modules did to it."""
    with own_namespace(three_hosts, request.module.__name__) as found:
        until("all nodes to be Ready", lambda: ready_nodes(found) == {node.name for node in nodes})
        yield found


@pytest.fixture(scope="package")
def crew(three_hosts: Path) -> Iterator[ship.Crew]:
    """Nine pods in three namespaces and one on the network of each node, which ask whom they are told to."""
    nodes = nodes_of_the_machine()
    until("all nodes to be Ready", lambda: ready_nodes(Kubectl(three_hosts)) == {node.name for node in nodes})
    with ship.crew(three_hosts, nodes) as found:
        yield found
