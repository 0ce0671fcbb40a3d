"""The scenes of network policies at their full count: the whole matrix, and made-up services and policies, with real
connections in network namespaces."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))
from agreement import Scene, scenes
from fields import KernelField, play_matrix, play_scene, scene_field
from hypothesis import HealthCheck, given, seed, settings
from netpol_cases import CASES, asks

from navarch.proxy.addresses import FAMILIES, IPV4, IPV6


def matrix(folder: Path, number: int) -> dict[str, Any]:
    """Every case once, in an order of its own, in one family or the other."""
    cases = list(CASES)
    random.Random(number).shuffle(cases)
    began = time.monotonic()
    field = KernelField(families=(FAMILIES[number % 2],))
    try:
        wrong = play_matrix(field, cases)
    finally:
        field.close()
    taken_s = time.monotonic() - began
    return {"wrong": wrong, "cases": len(cases), "connections": len(cases) * len(list(asks())), "longest_s": taken_s}


def agreement(folder: Path, number: int, count: int) -> dict[str, Any]:
    """So many scenes, of IPv4, of IPv6 or of both; the first one that disagrees is made small before it is told."""
    families = ((IPV4,), (IPV6,), (IPV4, IPV6))[number % 3]
    played = [0, 0]
    field = scene_field(families)

    @seed(number)
    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(scene=scenes(families))
    def every(scene: Scene) -> None:
        played[0] += 1
        played[1] += len(scene.packets)
        assert play_scene(field, scene) == []

    try:
        every()
        problems: list[str] = []
    except AssertionError as found:
        problems = [str(found)]
    finally:
        field.close()
    return {"wrong": problems, "scenes": played[0], "packets": played[1]}
