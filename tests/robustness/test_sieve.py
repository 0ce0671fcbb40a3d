"""The perturbations of Sieve over every controller, in simulation: 200 seeds, and not one promise broken.

The full count is `.ci/soak sieve`.
"""

from __future__ import annotations

import pytest

from navarch.base.clock import LoopClock
from navarch.base.loop import SimulationLoop
from navarch.testing.scenes import SCENES
from navarch.testing.simulate import EPOCH, sieve
from navarch.testing.world import controller_names

SEEDS = 200
SLICE = 20


@pytest.mark.parametrize("first", range(0, SEEDS, SLICE))
def test_nothing_that_goes_wrong_breaks_a_promise(first: int) -> None:
    for seed in range(first, first + SLICE):
        assert sieve(seed).writes > 20


def test_every_controller_is_struck() -> None:
    about = {name for scene in SCENES.values() for name in scene.about}
    known = set(controller_names(LoopClock(EPOCH, SimulationLoop())))
    assert about == known
