"""Sets of CPUs as Linux and people write them: `0-3,8`. Pure.

Source: cpuset(7), "List format"
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_PART = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?", re.ASCII)
MOST = 65536
"""No machine has more; it bounds what a range may unfold to."""


def parse(text: str) -> frozenset[int]:
    """Raises: ValueError, saying which part is wrong."""
    found: set[int] = set()
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        shape = _PART.fullmatch(part)
        if shape is None:
            raise ValueError(f"{part!r} is no number or range of CPUs; a list looks like 0-3,8")
        first, last = int(shape[1]), int(shape[2] or shape[1])
        if last < first or last >= MOST:
            raise ValueError(f"{part!r} is no range of CPUs: it must go up, and stay below {MOST}")
        found.update(range(first, last + 1))
    return frozenset(found)


def text(cpus: Iterable[int]) -> str:
    """The shortest form, ascending; "" for none."""
    runs: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if runs and cpu == runs[-1][1] + 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
