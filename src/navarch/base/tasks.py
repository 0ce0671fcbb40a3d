"""Small aids for structured concurrency: a bounded queue that knows each key once, and a loop that outlives bugs.

Tasks themselves come from `asyncio.TaskGroup`; nothing here starts one.
"""

from __future__ import annotations

import asyncio
import traceback
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from navarch.base.errors import ApiError, Retryable
from navarch.base.log import Log
from navarch.base.metrics import Counter

Key = TypeVar("Key", bound=Hashable)


class QueueFull(Exception):
    """More distinct keys wait than the queue was made for."""


class KeyQueue(Generic[Key]):
    """Keys that wait to be worked on, each at most once, in the order in which they were first added.

    A key that is being worked on is not handed out a second time; added meanwhile, it comes again after `done`.
    For one event loop.
    """

    def __init__(self, limit: int = 100_000) -> None:
        self._limit = limit
        self._waiting: OrderedDict[Key, None] = OrderedDict()
        self._working: set[Key] = set()
        self._again: set[Key] = set()
        self._getters: OrderedDict[int, asyncio.Future[None]] = OrderedDict()
        self._closed = False

    def __len__(self) -> int:
        """How many keys wait (those being worked on not counted, unless they were added again)."""
        return len(self._waiting) + len(self._again)

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is being worked on."""
        return not self._waiting and not self._working

    def add(self, key: Key) -> None:
        """Raises: QueueFull."""
        if key in self._working:
            self._again.add(key)
        elif key not in self._waiting:
            if len(self._waiting) >= self._limit:
                raise QueueFull(f"{self._limit} keys are waiting")
            self._waiting[key] = None
            self._wake()

    async def get(self) -> Key:
        """The next key; it counts as being worked on until `done`."""
        while not self._waiting:
            waiter = asyncio.get_running_loop().create_future()
            self._getters[id(waiter)] = waiter
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake()  # the wake-up was meant for one that will use it
                raise
            finally:
                self._getters.pop(id(waiter), None)
        key, _ = self._waiting.popitem(last=False)
        self._working.add(key)
        return key

    def done(self, key: Key) -> None:
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self._waiting[key] = None  # taken in once already: the limit is for new ones
            self._wake()

    def _wake(self) -> None:
        while self._getters:
            _, waiter = self._getters.popitem(last=False)
            if not waiter.done():
                waiter.set_result(None)
                return


class BugReport:
    """Where bugs go: counted each time, logged with their traceback the first time that a place raises them."""

    def __init__(self, log: Log, counter: Counter | None = None) -> None:
        """counter: with one label, the name of what failed."""
        self._log = log
        self._counter = counter
        self._seen: set[tuple[str, str, int]] = set()

    def report(self, name: str, bug: BaseException) -> None:
        """To be called while `bug` is being handled."""
        if self._counter is not None:
            self._counter.add(name)
        frames = traceback.extract_tb(bug.__traceback__)
        place = (name, type(bug).__name__, (frames[-1].lineno or 0) if frames else 0)
        if place in self._seen:
            self._log.error("the same bug again", where=name, error=repr(bug))
        else:
            if len(self._seen) < 1_000:
                self._seen.add(place)
            self._log.exception("a bug", where=name, error=repr(bug))


async def supervise(
    name: str, step: Callable[[], Awaitable[None]], bugs: BugReport, pause: Callable[[], Awaitable[None]]
) -> None:
    """Run `step` again and again until cancelled; after an error that it let through, wait for `pause` and go on.

    `ApiError` and `Retryable` are no bugs: the step is expected to log what matters about them.
    """
    while True:
        try:
            await step()
        except (ApiError, Retryable):
            await pause()
        except Exception as bug:  # noqa: BLE001 - the one place where a loop outlives its bugs; reported
            bugs.report(name, bug)
            await pause()
