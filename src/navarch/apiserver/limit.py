"""How many calls are worked on at once, and whose turn it is when there are more.

Each user has a queue; seats that come free go round the users, so one who asks a thousand things at once waits behind
himself and not in front of the others. Watches and streams hold no seat: they wait, they do not work.

Source: https://kubernetes.io/docs/concepts/cluster-administration/flow-control/ (its purpose; the mechanism is simpler)
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass

from navarch.apiserver.call import User
from navarch.base.errors import TooMany

EXEMPT = frozenset(("system:masters",))
MESSAGE = "The server has received too many requests and has asked us to try again later"


@dataclass(frozen=True, slots=True)
class Seats:
    """total: calls at once. each: of one user. queued: calls of one user that wait; waiting: of all."""

    total: int = 400
    each: int = 200
    queued: int = 500
    waiting: int = 5_000
    wait_s: float = 15.0


class Limit:
    """Seats for calls; see the module. For one event loop."""

    def __init__(self, seats: Seats | None = None) -> None:
        self.seats = seats or Seats()
        self.taken = 0
        self._of: dict[str, int] = {}
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._waiting = 0

    def enter(self, user: User) -> bool:
        """Take a seat without waiting; False means `wait` for one."""
        name = user.name
        if self.taken >= self.seats.total or self._of.get(name, 0) >= self.seats.each or name in self._queues:
            return not EXEMPT.isdisjoint(user.groups) and self._sit(name)
        return self._sit(name)

    async def wait(self, user: User) -> None:
        """Wait in the user's queue until there is a seat, and take it.

        Raises:
            TooMany: too many are waiting already, or it took too long.
        """
        queue = self._queues.setdefault(user.name, deque())
        if len(queue) >= self.seats.queued or self._waiting >= self.seats.waiting:
            raise TooMany(MESSAGE, retry_after_s=1)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        self._waiting += 1
        try:
            async with asyncio.timeout(self.seats.wait_s):
                await turn
        except (TimeoutError, asyncio.CancelledError) as error:
            if turn.done() and not turn.cancelled():
                self.leave(user)  # the seat came in the same moment
            else:
                self._forget(user.name, turn)
            if isinstance(error, TimeoutError):
                raise TooMany(MESSAGE, retry_after_s=1) from error
            raise
        finally:
            self._waiting -= 1

    def leave(self, user: User) -> None:
        """Give the seat back; the next in turn gets it."""
        self.taken -= 1
        left = self._of.get(user.name, 0) - 1
        if left > 0:
            self._of[user.name] = left
        else:
            self._of.pop(user.name, None)
        if self._queues:
            self._pass_on()

    def _sit(self, name: str) -> bool:
        self.taken += 1
        self._of[name] = self._of.get(name, 0) + 1
        return True

    def _pass_on(self) -> None:
        """Give free seats to the users in turn, to each at most his share."""
        for name in list(self._queues):
            if self.taken >= self.seats.total:
                return
            queue = self._queues[name]
            while queue and queue[0].done():
                queue.popleft()
            if queue and self._of.get(name, 0) < self.seats.each:
                queue.popleft().set_result(None)
                self._sit(name)
                self._queues.move_to_end(name)
            if not queue:
                self._queues.pop(name, None)

    def _forget(self, name: str, turn: asyncio.Future[None]) -> None:
        queue = self._queues.get(name)
        if queue is not None:
            if turn in queue:
                queue.remove(turn)
            if not queue:
                self._queues.pop(name, None)
