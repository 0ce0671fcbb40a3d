"""What a test says of when nodes were heard of, and what time it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from tests.unit.controllers.conftest import NOW


class Lately:
    """Heartbeats that came when a test says so; the clock too."""

    def __init__(self) -> None:
        self.moment = NOW
        self.seen: dict[str, datetime] = {}
        self.listeners: list[Callable[[str], None]] = []

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError

    async def renew(self, node: str) -> None:
        raise AssertionError

    def last_seen(self, node: str) -> datetime | None:
        return self.seen.get(node)

    def listen(self, listener: Callable[[str], None]) -> None:
        self.listeners.append(listener)
