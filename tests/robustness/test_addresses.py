"""A slice of the networks of pods under kills; `.ci/soak addresses` plays it at its full count."""

from __future__ import annotations

import os

import pytest

from tests.robustness import addresses

pytestmark = pytest.mark.node


@pytest.mark.parametrize("seed", [1, 2, 3], ids=["IPv4", "both", "IPv6"])
def test_nothing_of_a_pods_network_is_left_however_it_ended(seed: int) -> None:
    assert os.geteuid() == 0, "network namespaces need root"
    found = addresses.play(seed, 54)
    assert found.wrong == []
    assert found.pods_made_and_removed == 54
    assert found.swept, "it is a test of the sweep only where there is something to sweep"
    assert found.plugins_killed
    assert found.callers_that_died
