"""One priority level's queues: shuffle sharding, and fair queuing among what waits. Pure: the time is an argument.

A flow is dealt a hand of queues and joins the shortest of them, so that a heavy flow fills its own hand and seldom all
queues of a light one. Among queues, virtual time decides: a queue's turn comes when as much work was given to the
others as to it, however much waits in it.

Source: https://kubernetes.io/docs/concepts/cluster-administration/flow-control/ (Queuing);
KEP-1040 "Priority and Fairness for API Server Requests" (fair queuing for server requests)
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field
from typing import Any

SERVICE_S = 0.003
"""How long a call is taken to hold its seats until it is known better."""
LEAST_S = 0.0001
"""What a call pays for at least: those that never wait for anything hold their seats for no time, and cost some."""


@dataclass(slots=True, eq=False)
class Ticket:
    """One call. seats: how many it takes. at: when it began to wait, or to work. turn: what its waiter
    awaits, None for one that never waited. among: the queues that it waited in."""

    seats: int
    queue: int = -1
    at: float = 0.0
    turn: Any = None
    schema: Any = None
    level: Any = None
    among: QueueSet | None = None


@dataclass(slots=True)
class _Queue:
    """next: the virtual time at which its next call starts. working: seats of it that are taken."""

    next: float
    waiting: deque[Ticket] = field(default_factory=deque)
    waiting_seats: int = 0
    working: int = 0
    calls: int = 0


def number_of(schema: str, flow: str) -> int:
    """What the hand of a flow is dealt from."""
    return int.from_bytes(hashlib.blake2b(f"{schema}\0{flow}".encode(), digest_size=8).digest(), "big")


def hand(number: int, queues: int, size: int) -> list[int]:
    """`size` different queues out of `queues`, each set of them as likely as any other."""
    cards: list[int] = []
    for dealt in range(min(size, queues)):
        number, card = divmod(number, queues - dealt)
        for known in sorted(cards):
            if card >= known:
                card += 1
        cards.append(card)
    return cards


class QueueSet:
    """queues, size, length: see `LevelSpec`. Only queues that something waits or works in take memory."""

    def __init__(self, queues: int, size: int, length: int) -> None:
        self.queues, self.size, self.length = queues, size, length
        self.waiting = 0
        self.waiting_seats = 0
        self._queues: dict[int, _Queue] = {}
        self._virtual = 0.0
        self._at = 0.0
        self._hands: dict[int, list[int]] = {}

    def arrive(self, ticket: Ticket, number: int, now: float, limit: int) -> bool:
        """Put it in the shortest queue of its hand; False when that is full. limit: the level's seats."""
        self._pass(now, limit)
        cards = self._hands.get(number)
        if cards is None:
            if len(self._hands) >= 4096:
                self._hands.clear()
            cards = self._hands[number] = hand(number, self.queues, self.size)
        chosen = min(cards, key=self._load)
        queue = self._queues.get(chosen)
        if queue is None:
            queue = self._queues[chosen] = _Queue(self._virtual)
        elif len(queue.waiting) >= self.length:
            return False
        ticket.queue, ticket.at, ticket.among = chosen, now, self
        queue.waiting.append(ticket)
        queue.waiting_seats += ticket.seats
        self.waiting += 1
        self.waiting_seats += ticket.seats
        return True

    def next(self, now: float, limit: int, taken: int) -> Ticket | None:
        """Whose turn it is, taken out of its queue; None when nobody's, or when it needs more seats than are free."""
        if not self.waiting:
            return None
        self._pass(now, limit)
        chosen: _Queue | None = None
        least = 0.0
        for queue in self._queues.values():
            if queue.waiting:
                ends = queue.next + queue.waiting[0].seats * SERVICE_S
                if chosen is None or ends < least:
                    chosen, least = queue, ends
        assert chosen is not None
        first = chosen.waiting[0]
        if taken and taken + first.seats > limit:
            return None
        chosen.waiting.popleft()
        self._no_longer_waits(chosen, first)
        chosen.next += first.seats * SERVICE_S
        chosen.working += first.seats
        chosen.calls += 1
        first.at = now
        return first

    def leave(self, ticket: Ticket, now: float, limit: int) -> None:
        """It had a turn and is done: what it really took is what its queue pays for."""
        queue = self._queues.get(ticket.queue)
        if queue is None:
            return
        self._pass(now, limit)
        queue.working -= ticket.seats
        queue.calls -= 1
        queue.next -= ticket.seats * (SERVICE_S - max(LEAST_S, now - ticket.at))
        self._forget(ticket.queue, queue)

    def give_up(self, ticket: Ticket, now: float, limit: int) -> bool:
        """It waits no longer. False when it did not wait any more."""
        queue = self._queues.get(ticket.queue)
        if queue is None or ticket not in queue.waiting:
            return False
        self._pass(now, limit)
        queue.waiting.remove(ticket)
        self._no_longer_waits(queue, ticket)
        self._forget(ticket.queue, queue)
        return True

    def lengths(self) -> dict[int, tuple[int, int, float]]:
        """Of each queue in use: how many wait, how many are worked on, its virtual time."""
        return {number: (len(queue.waiting), queue.calls, queue.next) for number, queue in self._queues.items()}

    def tickets(self) -> dict[int, tuple[Ticket, ...]]:
        """What waits in each queue, the first first."""
        return {number: tuple(queue.waiting) for number, queue in self._queues.items() if queue.waiting}

    def _load(self, number: int) -> int:
        queue = self._queues.get(number)
        return 0 if queue is None else queue.waiting_seats + queue.working

    def _no_longer_waits(self, queue: _Queue, ticket: Ticket) -> None:
        queue.waiting_seats -= ticket.seats
        self.waiting -= 1
        self.waiting_seats -= ticket.seats

    def _forget(self, number: int, queue: _Queue) -> None:
        """An idle queue has no past: it starts at the present virtual time when it is used again."""
        if not queue.waiting and not queue.calls:
            del self._queues[number]

    def _pass(self, now: float, limit: int) -> None:
        """Virtual time goes as fast as each of the queues in use is served, if all are served alike."""
        passed, self._at = now - self._at, now
        if passed > 0 and self._queues:
            wanted = sum(queue.waiting_seats + queue.working for queue in self._queues.values())
            self._virtual += passed * min(wanted, limit) / len(self._queues)
