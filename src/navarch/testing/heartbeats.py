"""Signs of life of simulated nodes: a function of the clock, so that thousands of idle nodes cost nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from navarch.base.clock import Clock
from navarch.client.lease import ALIVE


class SimulatedHeartbeats:
    """The seam `client.Heartbeats`: a node is alive until it is failed, and again once it is healed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, datetime] = {}
        self._listeners: list[Callable[[str], None]] = []

    async def renew(self, node: str) -> None:
        self.revive(node)

    def last_seen(self, node: str) -> datetime | None:
        return self._known.get(node)

    def listen(self, listener: Callable[[str], None]) -> None:
        self._listeners.append(listener)

    def alive(self, node: str) -> bool:
        return self._known.get(node) == ALIVE

    def revive(self, node: str) -> None:
        if not self.alive(node):
            self._known[node] = ALIVE
            self._tell(node)

    def silence(self, node: str) -> None:
        """The last sign of life was just now."""
        if self.alive(node):
            self._known[node] = self._clock.now()
            self._tell(node)

    def forget(self, node: str) -> None:
        self._known.pop(node, None)

    def _tell(self, node: str) -> None:
        for listener in self._listeners:
            listener(node)
