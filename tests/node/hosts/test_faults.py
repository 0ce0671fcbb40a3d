"""Faults of links, nodes, agents and kernels, under requests that could go on: all of them do, and soon after each
fault every node's rules are right again (`.ci/soak links` plays more of them, and stores how soon)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

import faults
import pytest
from faults import Found, Scene
from real_cluster import Kubectl
from shared_cluster import Node

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def begun(kubectl: Kubectl, nodes: Sequence[Node]) -> Iterator[Scene]:
    """At the end nothing of it may be left."""
    with faults.nothing_left(nodes):
        made = Scene(kubectl, nodes, Found())
        made.begin()
        yield made
        faults.removed(kubectl)


@pytest.fixture
def scene(begun: Scene) -> Iterator[Scene]:
    yield begun
    wrong, begun.found.wrong = begun.found.wrong, []
    assert wrong == []


@pytest.mark.parametrize("silently", [False, True], ids=["a-cable-pulled", "nothing-comes-through"])
def test_a_link_is_cut_and_healed(scene: Scene, silently: bool) -> None:
    faults.cut(scene, silently=silently, for_s=7.0 if silently else 2.0)


def test_an_agent_is_killed_amid_a_change_of_its_rules(scene: Scene) -> None:
    faults.kill(scene, Random(7))


def test_a_rule_of_somebody_elses_stands_in_the_way(scene: Scene) -> None:
    faults.entangle(scene)


def test_the_kernel_refuses_every_transaction_for_a_while(scene: Scene) -> None:
    faults.refuse(scene, for_s=1.0)


def test_a_node_is_lost_and_comes_back(scene: Scene) -> None:
    faults.lose(scene)
