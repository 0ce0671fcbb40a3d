"""Signs of life that cost nothing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from navarch.client.lease import ALIVE
from navarch.testing.heartbeats import SimulatedHeartbeats


class HandTurned:
    def __init__(self) -> None:
        self.moment = datetime(2030, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


def test_alive_until_silenced_and_again_once_revived() -> None:
    clock = HandTurned()
    heartbeats = SimulatedHeartbeats(clock)
    heard: list[str] = []
    heartbeats.listen(heard.append)
    assert heartbeats.last_seen("n1") is None
    asyncio.run(heartbeats.renew("n1"))
    heartbeats.revive("n1")
    assert heartbeats.last_seen("n1") == ALIVE
    heartbeats.silence("n1")
    silenced = clock.moment
    clock.moment += timedelta(hours=1)
    heartbeats.silence("n1")
    assert heartbeats.last_seen("n1") == silenced
    heartbeats.revive("n1")
    assert heard == ["n1", "n1", "n1"]
    heartbeats.forget("n1")
    assert heartbeats.last_seen("n1") is None
