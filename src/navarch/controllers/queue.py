"""Which objects of one controller wait for a look, now or later: `base.tasks.KeyQueue` with alarms and retries.

The queue is bounded by the number of keys that there are. Delays go through `alarms`, one for each key: a later wish
replaces an earlier one, as every plan says afresh when it wants to be looked at again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from navarch.base.backoff import delay_s
from navarch.base.tasks import KeyQueue
from navarch.controllers.alarms import Alarms

FIRST_RETRY_S = 0.005
LONGEST_RETRY_S = 60.0
LIMIT = 10_000_000


class WorkQueue:
    """name: the controller's, which keeps its keys apart from others' in the shared alarms."""

    def __init__(self, name: str, alarms: Alarms, now_s: Callable[[], float]) -> None:
        """now_s: of `Clock.monotonic`."""
        self._name = name
        self._alarms = alarms
        self._now_s = now_s
        self._added_s: dict[Hashable, float] = {}
        self._taken_s: dict[Hashable, float] = {}
        self.adds = 0
        self._keys: KeyQueue[Hashable] = KeyQueue(LIMIT)
        self._failures: dict[Hashable, int] = {}

    def add(self, key: Hashable) -> None:
        if key not in self._added_s:
            self._added_s[key] = self._now_s()
            self.adds += 1
        self._keys.add(key)

    async def get(self) -> tuple[Hashable, float]:
        """The next key, which counts as being worked on until `done`, and how many seconds it waited."""
        key = await self._keys.get()
        now = self._taken_s[key] = self._now_s()
        return key, now - self._added_s.pop(key, now)

    def done(self, key: Hashable) -> float:
        """Returns how many seconds it was worked on."""
        took_s = self._now_s() - self._taken_s.pop(key)
        self._keys.done(key)
        return took_s

    def at_work_s(self) -> list[float]:
        """For how long each key that is worked on has been."""
        now = self._now_s()
        return [now - taken for taken in self._taken_s.values()]

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is worked on (delayed keys do not count)."""
        return self._keys.idle

    def add_after(self, key: Hashable, after_s: float) -> None:
        """Add `key` then; forget any earlier wish for it."""
        self._alarms.set((self._name, key), after_s, lambda: self.add(key))

    def cancel(self, key: Hashable) -> None:
        """Forget the wish to add `key` later."""
        self._alarms.clear((self._name, key))

    def retry(self, key: Hashable, at_least_s: float = 0.0) -> float:
        """Add `key` again after a delay that doubles with every failure in a row; returns the delay."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        wait_s = max(at_least_s, delay_s(failures, FIRST_RETRY_S, LONGEST_RETRY_S))
        self.add_after(key, wait_s)
        return wait_s

    def succeeded(self, key: Hashable) -> None:
        """Its next failure is a first one again."""
        self._failures.pop(key, None)
