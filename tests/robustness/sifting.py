"""The long run of the simulation, in slices: so many seeds, and what they held."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

from navarch.testing.ledger import Broken
from navarch.testing.scenes import SCENES
from navarch.testing.simulate import sieve

KINDS = ("NodeLoss", "ApiErrors", "LostWatches", "SlowWatches", "Crash", "ClockJump", "StaleView", "MissedEvents")
DAY_S = 86_400.0


def sift(folder: Path, number: int, each: int) -> dict[str, Any]:
    """The slice `number`, from 1 on. wrong: what was broken, with the line that shows it again."""
    wrong: list[str] = []
    struck: Counter[str] = Counter()
    played: Counter[str] = Counter()
    writes, virtual_s, slowest_s = 0, 0.0, 0.0
    for seed in range((number - 1) * each, number * each):
        began = time.process_time()
        try:
            outcome = sieve(seed)
        except Broken as broken:
            wrong.append(f"seed {seed}: {broken}")
            continue
        slowest_s = max(slowest_s, time.process_time() - began)
        writes += outcome.writes
        virtual_s += outcome.virtual_s
        struck.update(type(fault).__name__ for fault in outcome.faults)
        played.update(outcome.scenes)
    return {
        "wrong": wrong,
        "writes": writes,
        "virtual_days": round(virtual_s / DAY_S, 2),
        "slowest_seed_s": round(slowest_s, 2),
        "faults": sum(struck.values()),
        **{f"faults {kind}": struck[kind] for kind in KINDS},
        **{f"scene {name}": played[name] for name in SCENES},
    }
