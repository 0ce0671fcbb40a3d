"""A data plane in memory: it keeps the rules, and sends packets through `trace`.

So that tests and simulations can ask about traffic without a kernel.
"""

from __future__ import annotations

import asyncio

from navarch.base.clock import Clock, Ids
from navarch.proxy.rules import Refusal, Rules, Target
from navarch.proxy.trace import Arrival, Packet, Trace, pools, trace


class FakeDataplane:
    def __init__(self, clock: Clock, ids: Ids) -> None:
        self._clock = clock
        self._ids = ids
        self._rules: Rules | None = None
        self._known = False
        self._disturbed = asyncio.Event()
        self._seen: dict[tuple[str, str], tuple[Target, float]] = {}
        self.writes = 0

    def current(self) -> Rules | None:
        return self._rules if self._known else None

    async def replace(self, old: Rules | None, new: Rules) -> None:
        if self.current() is not None and old == new == self._rules:
            return
        self._rules = new
        self._known = True
        self._disturbed.clear()
        self.writes += 1

    async def disturbed(self) -> None:
        await self._disturbed.wait()

    async def remove(self) -> None:
        self._rules, self._known = None, False
        self._seen.clear()

    def disturb(self) -> None:
        """As if somebody had deleted everything."""
        self._rules, self._known = None, False
        self._seen.clear()
        self._disturbed.set()

    def trace(self, packet: Packet) -> Trace:
        if self._rules is None:
            return Trace("arrives", (Arrival(Target(packet.address, packet.port), False),))
        return trace(self._rules, packet)

    def send(self, packet: Packet) -> Arrival | Refusal:
        """One connection: a target is picked, and remembered where the service asks for affinity."""
        found = self.trace(packet)
        if not found.arrivals:
            return "drop" if found.fate == "arrives" else found.fate
        pool = pools(self._rules).get(found.pool) if self._rules else None
        now = self._clock.monotonic()
        key = (found.pool, packet.source)
        target, seen = self._seen.get(key, (None, 0.0))
        picked = found.arrivals[int(self._ids.fraction() * len(found.arrivals))]
        if pool and pool.affinity_s:
            if now < seen + pool.affinity_s:
                picked = next((each for each in found.arrivals if each.target == target), picked)
            self._seen[key] = (picked.target, now)
        return picked if picked.passes else "drop"
