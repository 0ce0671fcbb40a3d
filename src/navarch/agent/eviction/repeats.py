"""Whose pods were evicted for what they wrote: the next of the same owner waits, as a container that fails does.

A controller makes a new pod at once. One that fills the disk again within a second would have all others wait for the
disk for good; a container that fails so often waits ever longer, and so does a pod here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from navarch.base.backoff import delay_s

FIRST_S, LONGEST_S = 10.0, 300.0
FORGOTTEN = timedelta(minutes=10)
"""After the last eviction: an owner whose pods went well for so long begins anew."""


@dataclass(frozen=True, slots=True)
class Past:
    times: int
    last: datetime


class Repeats:
    """In the agent's memory alone: one that was restarted knows of none."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._past: dict[str, Past] = {}

    def note(self, owner: str) -> None:
        """owner: the uid of the pod's controller."""
        now = self._now()
        self._past = {uid: past for uid, past in self._past.items() if now - past.last < FORGOTTEN}
        before = self._past.get(owner)
        self._past[owner] = Past(before.times + 1 if before is not None else 1, now)

    def held_until(self, owner: str) -> datetime | None:
        """When the next pod of this owner may start; None: at once."""
        past = self._past.get(owner)
        if past is None:
            return None
        until = past.last + timedelta(seconds=delay_s(past.times - 1, FIRST_S, LONGEST_S))
        return until if until > self._now() else None
