"""Sets of completion indexes, written as `0,2-4,7`: a Job has up to a hundred thousand, of which few runs are apart.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Indexes:
    """runs: (first, last) of each, in order, with gaps between them."""

    runs: tuple[tuple[int, int], ...] = ()

    @property
    def total(self) -> int:
        return sum(last - first + 1 for first, last in self.runs)

    def __contains__(self, index: int) -> bool:
        place = bisect_right(self.runs, (index, float("inf")))
        return place > 0 and self.runs[place - 1][1] >= index

    def __bool__(self) -> bool:
        return bool(self.runs)

    def __str__(self) -> str:
        """A run of two is written as two: `3,4`."""
        return ",".join(_run_text(first, last) for first, last in self.runs)

    def joined(self, others: Iterable[tuple[int, int]]) -> Indexes:
        found: list[tuple[int, int]] = []
        for first, last in sorted((*self.runs, *others)):
            if found and first <= found[-1][1] + 1:
                found[-1] = (found[-1][0], max(found[-1][1], last))
            else:
                found.append((first, last))
        return Indexes(tuple(found))

    def plus(self, indexes: Iterable[int]) -> Indexes:
        return self.joined((index, index) for index in indexes)

    def missing(self, below: int) -> Iterator[int]:
        """Those from 0 that are not in it, lowest first."""
        candidate = 0
        for first, last in self.runs:
            yield from range(candidate, min(first, below))
            candidate = max(candidate, last + 1)
        yield from range(candidate, below)

    def common(self, other: Indexes) -> int:
        """How many are in both."""
        return sum(
            max(0, min(last, end) - max(first, start) + 1) for first, last in self.runs for start, end in other.runs
        )


def _run_text(first: int, last: int) -> str:
    if first == last:
        return str(first)
    return f"{first},{last}" if last == first + 1 else f"{first}-{last}"


@lru_cache(maxsize=1024)
def parse(text: str, below: int) -> Indexes:
    """What the text says, but for indexes that are not below `below`; none where it makes no sense."""
    found: list[tuple[int, int]] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            return Indexes()
        start, end = int(first), min(int(last) if dash else int(first), below - 1)
        if start <= end:
            found.append((start, end))
    return Indexes().joined(found)
