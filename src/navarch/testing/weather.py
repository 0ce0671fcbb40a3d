"""Which faults are in force at a moment of a simulation, and how old the views of organs may be because of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from navarch.base.clock import Clock
from navarch.client.client import ObjectList
from navarch.kinds.kind import Kind

USUAL_LAG_S = 3.0
"""How old a view may be when all is well: a write in flight, a key that is tried again."""

RECOVERY_S = 15.0
"""How long after a fault its traces last: the longest pause of an informer that could not list, and some."""


@dataclass(slots=True)
class Hold:
    """An organ's watches say nothing until it is over. lost: they are lost then. lists: what a fresh process of the
    organ is told when it lists, by kind; the newest where a kind is not among them."""

    lost: bool = False
    lists: Mapping[Kind, ObjectList] = field(default_factory=dict)
    over: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class Weather:
    """latency_s: how long a request or a delivery takes at most when all is well. delay_s: how late watches are.
    epoch: goes up whenever all watches are to end."""

    clock: Clock | None = None
    latency_s: float = 0.0
    share: float = 0.0
    lost_replies: bool = False
    delay_s: float = 0.0
    epoch: int = 0
    expired: bool = False
    crashing: dict[str, int] = field(default_factory=dict)
    """organ -> writes left."""
    holds: dict[str, Hold] = field(default_factory=dict)
    listed: dict[str, dict[Kind, None]] = field(default_factory=dict)
    """organ -> what it follows."""
    travelled_s: float = -1e9
    """When an organ last had a view of the past that it was started with."""
    _troubles: int = 0
    _since_s: float = 0.0
    _until_s: float = -1e9

    def _now_s(self) -> float:
        return self.clock.monotonic() if self.clock is not None else 0.0

    @contextmanager
    def trouble(self) -> Iterator[None]:
        """While it lasts, views may be as old as it is."""
        if not self._troubles and self._now_s() - self._until_s > RECOVERY_S:
            self._since_s = self._now_s()
        self._troubles += 1
        try:
            yield
        finally:
            self._troubles -= 1
            self._until_s = self._now_s()

    def lag_s(self) -> float:
        """How old the view may be that some organ acts on now."""
        now_s = self._now_s()
        if self._troubles or now_s - self._until_s <= RECOVERY_S:
            return now_s - self._since_s + USUAL_LAG_S
        return USUAL_LAG_S

    def travelling(self) -> bool:
        """Whether some organ may act on a past that it was started with."""
        return self._now_s() - self.travelled_s <= RECOVERY_S or any(hold.lists for hold in self.holds.values())
