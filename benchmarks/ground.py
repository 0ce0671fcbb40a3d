"""What all benchmarks share: the conditions that a result was measured under, and what a process has spent."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def conditions(date: str) -> dict[str, Any]:
    said = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    return {
        "commit": said.stdout.strip(),
        "cpu": cpu(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "date": date,
    }


def cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{os.cpu_count()} x {line.partition(':')[2].strip()}"
    return f"{os.cpu_count()} x {platform.machine()}"


def cpu_s(pid: int) -> float:
    """CPU seconds that the living threads of a process have used, to the nanosecond."""
    spent = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        spent += int((task / "schedstat").read_text().split()[0])
    return spent / 1e9


def memory_mb(pid: int) -> dict[str, float]:
    """rss: with everything that is shared; pss: shared pages by their part; anonymous: what is this process's alone."""
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in ("Rss", "Pss", "Anonymous"):
            found[f"{name.lower()}_MB"] = round(int(rest.split()[0]) / 1024, 1)
    return found
