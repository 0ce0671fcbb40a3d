"""Runs a benchmark and says how it compares with the stored result: `python benchmarks/run.py NAME [--save DATE]`.

A ratio above 1 is worse than what is stored. `--fail-above 1.5` makes anything worse than that the exit code; `--save`
stores the new figures with the conditions that they were measured under, and `--rounds` keeps the best of several.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from ground import RESULTS, conditions

NAMES = (
    *("agent", "api", "core", "etcd", "gate", "large", "library", "machine", "network", "objects"),
    *("scale", "scheduler", "service", "volumes", "watchers"),
)
"""Modules beside this one; each has a `measure()` that returns figures by name, nested or not."""


def leaves(figures: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    for name, value in figures.items():
        path = f"{above}/{name}" if above else name
        if isinstance(value, Mapping):
            yield from leaves(value, path)
        elif isinstance(value, int | float):
            yield path, value


def more_is_better(name: str) -> bool:
    return name.rpartition("/")[2].endswith(("per_s", "per_cpu_s", "per_second"))


def ratio(name: str, now: float, before: float) -> float:
    """How many times worse than before."""
    if not now or not before:
        return 1.0
    return before / now if more_is_better(name) else now / before


def better(old: Any, new: Any, name: str = "") -> Any:
    """The better of two measurements, figure by figure."""
    if isinstance(old, Mapping):
        return {key: better(old[key], new[key], key) for key in old}
    return max(old, new) if more_is_better(name) else min(old, new)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--save", metavar="DATE", help="store the result, dated so")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--fail-above", type=float, default=0.0)
    asked = parser.parse_args()
    path = RESULTS / f"{asked.name}.json"
    before = dict(leaves(json.loads(path.read_text()).get("figures", {}))) if path.exists() else {}
    figures = importlib.import_module(asked.name).measure()
    for _ in range(asked.rounds - 1):
        figures = better(figures, importlib.import_module(asked.name).measure())
    worst = 0.0
    for name, now in leaves(figures):
        if name not in before:
            print(f"{name:<60} {now:>12}   new")
            continue
        found = ratio(name, now, before[name])
        worst = max(worst, found)
        print(f"{name:<60} {now:>12}   was {before[name]:>12}   x{found:.2f}")
    if asked.save:
        result = {"conditions": {**conditions(asked.save), "rounds": asked.rounds}, "figures": figures}
        path.write_text(json.dumps(result, indent=2) + "\n")
    if asked.fail_above and worst > asked.fail_above:
        print(f"worse than what is stored by {worst:.2f}, allowed is {asked.fail_above}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
