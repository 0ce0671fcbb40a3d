"""What expressions cost: compiling, evaluating, memory, and how long the most expensive may hold the server.

`python benchmarks/cel.py [FILE]` prints the figures as JSON, and writes them to FILE.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

DOCUMENT = {"spec": {"replicas": 3, "minReplicas": 1, "names": ["a", "b", "c"], "image": "nginx:1.2"}}
RULES = {
    "compare two fields": "self.spec.minReplicas <= self.spec.replicas",
    "all of a list of 3": "self.spec.names.all(n, n.size() < 10)",
    "match a pattern": "self.spec.image.matches('^[a-z]+:[0-9.]+$')",
    "quantity": "quantity('1Gi').isGreaterThan(quantity('1Mi'))",
}
BIG = {"list": list(range(2000)), "text": "a" * 100_000}
STORMS = {
    "three nested loops": "self.list.all(a, self.list.all(b, self.list.all(c, a + b + c >= 0)))",
    "comparing lists": "self.list.all(a, self.list == self.list)",
    "backtracking pattern": "self.list.all(a, self.text.matches('(a+)+b') || true)",
    "joining texts": "self.list.map(a, self.text + self.text).size() > 0",
    "splitting texts": "self.list.all(a, self.text.split('').size() > 0)",
}


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def timed_us(work: Any, count: int) -> float:
    rounds = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(count):
            work()
        rounds.append((time.perf_counter() - began) / count * 1e6)
    return statistics.median(rounds)


def main() -> None:
    before_mb, began = resident_mb(), time.perf_counter()
    from navarch.cel.kubernetes import program
    from navarch.cel.values import OverBudget

    figures: dict[str, Any] = {
        "import_ms": (time.perf_counter() - began) * 1e3,
        "import_mb": resident_mb() - before_mb,
        "rules": {},
        "storms": {},
    }
    for name, text in RULES.items():
        compiled = program(text)
        names = {"self": DOCUMENT}
        figures["rules"][name] = {
            "compile_us": timed_us(lambda text=text: program(text), 200),
            "evaluate_us": timed_us(lambda compiled=compiled, names=names: compiled.run(names), 2000),
            "cost": compiled.run(names)[1],
        }
    for name, text in STORMS.items():
        compiled, stopped, began = program(text), False, time.perf_counter()
        try:
            compiled.run({"self": BIG})
        except OverBudget:
            stopped = True
        figures["storms"][name] = {"seconds": time.perf_counter() - began, "stopped": stopped}
    text = json.dumps(figures, indent=2)
    print(text)
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text + "\n")


if __name__ == "__main__":
    main()
