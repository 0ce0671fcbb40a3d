"""How long to wait before the next try: exponential, capped, with jitter so that many do not come back at once."""

from __future__ import annotations

from navarch.base.clock import Ids


class Backoff:
    """Counts the failures of one thing. first_s doubles up to limit_s; jitter adds up to that share of the wait."""

    __slots__ = ("_ids", "_jitter", "failures", "first_s", "limit_s")

    def __init__(self, ids: Ids, *, first_s: float = 0.1, limit_s: float = 30.0, jitter: float = 0.5) -> None:
        self._ids = ids
        self._jitter = jitter
        self.first_s = first_s
        self.limit_s = limit_s
        self.failures = 0

    def next_s(self) -> float:
        """Note one more failure and say how long to wait."""
        wait_s = delay_s(self.failures, self.first_s, self.limit_s)
        self.failures += 1
        return wait_s * (1.0 + self._jitter * self._ids.fraction())

    def reset(self) -> None:
        self.failures = 0


def delay_s(failures: int, first_s: float, limit_s: float) -> float:
    """The wait after so many earlier failures, without jitter."""
    if failures >= 64:  # 2.0 ** 64 is past every limit, and larger powers overflow
        return limit_s
    return float(min(limit_s, first_s * 2.0**failures))
