"""Has a joined machine's certificates asked for anew in good time, by a process of its own that ends again.

Source: https://kubernetes.io/docs/tasks/tls/certificate-rotation/
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta

from navarch.app import enrolment
from navarch.app.layout import Layout, Settings
from navarch.base.backoff import delay_s
from navarch.base.clock import Clock, Ids
from navarch.base.log import Log

MORE_SHARE = 0.2
"""Nodes that joined at one moment ask at moments this far apart."""
LONGEST_S = 12 * 3600.0
FIRST_DELAY_S, LONGEST_DELAY_S = 1.0, 300.0

_log = Log("upkeep")


class Upkeep:
    """ask: has what is due asked for. made: called when there may be new ones."""

    def __init__(
        self,
        layout: Layout,
        settings: Settings,
        clock: Clock,
        ids: Ids,
        ask: Callable[[Layout], Awaitable[None]],
        made: Callable[[], None],
    ) -> None:
        self._layout = layout
        self._settings = settings
        self._clock = clock
        self._share = enrolment.SHARE + MORE_SHARE * ids.fraction()
        self._ask = ask
        self._made = made

    async def run(self) -> None:
        """Until cancelled."""
        failures = 0
        while True:
            wait_s = self._wait_s()
            if wait_s > 0:
                failures = 0
                await self._clock.sleep(wait_s)
                continue
            await self._ask(self._layout)
            self._made()
            if self._wait_s() <= 0:
                await self._clock.sleep(delay_s(failures, FIRST_DELAY_S, LONGEST_DELAY_S))
                failures += 1

    def _wait_s(self) -> float:
        """At most until what nears its end first is due; 0 or less when something is."""
        wanted = enrolment.wanted(self._settings)
        first = min(enrolment.due_at(self._layout, self._settings, one, self._share) for one in wanted)
        left = (first - self._clock.now()) / timedelta(seconds=1)
        return min(LONGEST_S, left)


async def ask_beside(layout: Layout) -> None:
    """By a process of its own; what it says goes into this one's log."""
    words = (sys.executable, "-m", enrolment.MODULE, str(layout.data), str(layout.run))
    process = await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.DEVNULL)
    if code := await process.wait():
        _log.warning("no new certificate, will be tried again", exit_code=code)
