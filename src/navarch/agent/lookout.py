"""How the agent learns what happens in the runtime: by its events, and by a slow relist as the net under them.

A relist compares everything there is with what the pods' workers know. It comes at once when the stream of events has
opened (what happened before that was not told), soon after one that found something the events had not told, and then
less and less often; never so often that it keeps the runtime busy. What only a relist found is counted and logged: as
long as that stays at zero, the events can be relied on.

Source: https://kubernetes.io/docs/tasks/administer-cluster/switch-to-evented-pleg/
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from navarch.agent.runtime import PodOnNode, Runtime, RuntimeFailure
from navarch.agent.vitals import Vitals
from navarch.base.clock import Clock
from navarch.base.log import Log

_log = Log("agent")

SHORTEST_S = 2.0
AWAY_S = 1.0
LATE_S = 1.0
"""An event that has been under way for so long did not come."""
BUSY_SHARE = 0.02
"""Of the time, at most that goes into relisting."""
UNHEALTHY_S = 180.0

Marks = Mapping[str, int]
"""Pods at rest, with a number that changes whenever somebody tells their worker to look."""


class Sights(Protocol):
    """Whoever is told: the pods of the node."""

    def marks(self) -> Marks: ...

    def look_at(self, uids: Iterable[str]) -> None:
        """Something of these pods may have changed."""
        ...

    async def compare(self, found: Mapping[str, PodOnNode], marks: Marks) -> list[str]:
        """Everything there is has been listed: have every worker look that knows it otherwise.

        Returns the uids of those that were at rest when the list was asked for, and that nobody has told since.
        """
        ...


class Lookout:
    """longest_s: the pause between two relists once nothing is found any more. changed: the runtime came or went."""

    def __init__(
        self, runtime: Runtime, clock: Clock, vitals: Vitals, longest_s: float, changed: Callable[[], None]
    ) -> None:
        self._runtime = runtime
        self._clock = clock
        self._vitals = vitals
        self._longest_s = longest_s
        self._changed = changed
        self._now = asyncio.Event()
        self._open = False
        self._whole = False
        """Whether the stream has been open ever since the last relist began."""
        self._told: set[str] = set()
        """Pods that events have told of since the present relist began."""
        self._seen_at = clock.monotonic()
        self._cost_s = 0.0
        """What the last list took."""

    def problem(self) -> str:
        """What a node's condition says when the runtime has not let itself be listed for long; "" otherwise."""
        silent_s = self._clock.monotonic() - self._seen_at
        if silent_s < UNHEALTHY_S:
            return ""
        return f"PLEG is not healthy: pleg was last seen active {_duration(silent_s)} ago; threshold is 3m0s"

    async def first(self) -> Mapping[str, PodOnNode]:
        """What there is when the agent begins; waits until the runtime answers."""
        while True:
            try:
                return await self._list()
            except RuntimeFailure as error:
                _log.warning("the runtime is not there yet", error=error)
                await self._clock.sleep(AWAY_S)

    async def listen(self, sights: Sights) -> None:
        """Pass on what the runtime tells, for as long as it is there; then when it is there again. Until cancelled."""
        while True:
            asked_at = self._clock.monotonic()
            try:
                async for changed in self._runtime.changes():
                    if not self._open:
                        self._opened(self._clock.monotonic() - asked_at)
                    self._pass_on(changed, sights)
            except RuntimeFailure as error:
                _log.warning("the runtime went away, will be asked again", error=error)
            self._vitals.cut.add()
            if self._open:
                self._open = self._whole = False
                self._changed()
            await self._clock.sleep(AWAY_S)

    def _opened(self, took_s: float) -> None:
        self._open = True
        self._vitals.connected.add()
        self._vitals.opened.observe(took_s)
        self._changed()

    def _pass_on(self, changed: frozenset[str], sights: Sights) -> None:
        if "" in changed:
            self._now.set()
        named = changed - {""}
        if named:
            self._vitals.events.add(amount=len(named))
            self._told |= named
            sights.look_at(named)

    async def relist(self, sights: Sights) -> None:
        """Compare with everything there is, again and again, until cancelled."""
        pause_s, ended_at = SHORTEST_S, self._clock.monotonic()
        while True:
            try:
                async with asyncio.timeout(pause_s):
                    await self._now.wait()
            except TimeoutError:
                asked = False
            else:
                asked = True
            self._now.clear()
            try:
                clean = await self._compare(sights, asked)
            except RuntimeFailure as error:
                _log.warning("the runtime could not be listed", error=error)
                pause_s = SHORTEST_S
                continue
            now = self._clock.monotonic()
            self._vitals.intervals.observe(now - ended_at)
            ended_at = now
            grown_s = min(pause_s * 2, self._longest_s) if clean else SHORTEST_S
            pause_s = max(grown_s, self._cost_s / BUSY_SHARE)

    async def _compare(self, sights: Sights, asked: bool) -> bool:
        """Whether the events had told everything since the relist before. Raises: RuntimeFailure."""
        whole, self._whole = self._whole, self._open
        self._told.clear()
        marks = sights.marks()
        different = await sights.compare(await self._list(), marks)
        if asked and whole:  # an event had told that something has changed, but not where
            return False
        if whole and different:
            await self._clock.sleep(LATE_S)
            different = [uid for uid in different if uid not in self._told]
        for uid in different:
            self._vitals.differences.add("missed" if whole else "cut")
            if whole:
                _log.warning("a change that no event of the runtime had told of", uid=uid)
        return whole and not different

    async def _list(self) -> Mapping[str, PodOnNode]:
        started_at = self._clock.monotonic()
        found = await self._runtime.observe()
        self._seen_at = self._clock.monotonic()
        self._cost_s = self._seen_at - started_at
        self._vitals.relists.observe(self._cost_s)
        self._vitals.seen.set(self._clock.now().timestamp())
        return found


def _duration(seconds: float) -> str:
    """As Go writes it: `3m5s`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"
