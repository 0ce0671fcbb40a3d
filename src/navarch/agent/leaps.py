"""Notices that the machine's clock was set, so that what was noted by it can be taken along.

The agent compares moments with the runtime's and the API server's, and so it notes them by the wall clock. How long
something still has to wait must not depend on where that clock was set meanwhile.
"""

from __future__ import annotations

from datetime import timedelta

from navarch.base.clock import Clock

LEAST_S = 2.0
"""Below that it is a correction as clocks are given all the time; nobody waits noticeably longer for it."""


class Leaps:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead_s = self._ahead()

    def since(self) -> timedelta:
        """By how much the wall clock was set since this was asked last; zero when it was not."""
        ahead_s = self._ahead()
        leapt_s = ahead_s - self._ahead_s
        if abs(leapt_s) < LEAST_S:
            return timedelta()
        self._ahead_s = ahead_s
        return timedelta(seconds=leapt_s)

    def _ahead(self) -> float:
        return self._clock.now().timestamp() - self._clock.monotonic()
