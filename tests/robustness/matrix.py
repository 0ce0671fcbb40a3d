"""The scene of network policies on three hosts at its full count: the whole table, nine real pods on three nodes, every
connection made, and every trace compared with what happened."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))
sys.path.insert(0, str(Path(__file__).parents[1] / "node"))
sys.path.insert(0, str(Path(__file__).parents[1] / "node" / "hosts"))
import crew
from netpol_cases import CASES
from policy_table import Table
from shared_cluster import brought_up, nodes_of_the_machine


def play(folder: Path, number: int) -> dict[str, Any]:
    """Every case once, in an order of its own, on a cluster of its own."""
    cases = list(CASES)
    random.Random(number).shuffle(cases)
    with brought_up(folder, "--nodes", "3") as kubeconfig, crew.crew(kubeconfig, nodes_of_the_machine()) as found:
        began = time.monotonic()
        tally = Table(found).play(cases)
        taken_s = time.monotonic() - began
    return {
        "wrong": tally.wrong,
        "cases": tally.cases,
        "connections": tally.connections,
        "traces": tally.traced,
        "longest_until_a_policy_held_s": tally.slowest_s,
        "longest_s": taken_s,
    }
