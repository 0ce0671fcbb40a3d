"""One priority level at work: who sits, who waits, who is next. Pure; `gate` hangs futures on the tickets."""

from __future__ import annotations

from navarch.apiserver.fairness.matching import LevelSpec, SchemaSpec
from navarch.apiserver.fairness.queueset import QueueSet, Ticket, number_of
from navarch.apiserver.fairness.seats import Bounds
from navarch.apiserver.fairness.work import seats_of


class Level:
    """limit: its seats at present. taken: of them. high: the most that it wanted since seats were shared out last."""

    __slots__ = ("_before", "bounds", "executing", "high", "limit", "queues", "spec", "taken", "wanted")

    def __init__(self, spec: LevelSpec) -> None:
        self.spec = spec
        self.bounds = Bounds(0, 0, 1)
        self.limit = 1
        self.taken = 0
        self.executing = 0
        self.high = 0
        self.wanted = 0.0
        self.queues: QueueSet | None = None
        self._before: list[QueueSet] = []
        self.configure(spec)

    def configure(self, spec: LevelSpec) -> None:
        """Take over a new specification; what waits in queues that are gone is served first."""
        self.spec = spec
        shape = (spec.queues, spec.hand, spec.length)
        if self.queues is not None and (self.queues.queues, self.queues.size, self.queues.length) != shape:
            if self.queues.waiting:
                self._before.append(self.queues)
            self.queues = None
        if self.queues is None and spec.queues:
            self.queues = QueueSet(*shape)

    @property
    def waiting(self) -> int:
        return sum(queues.waiting for queues in self.sets)

    @property
    def waiting_seats(self) -> int:
        return sum(queues.waiting_seats for queues in self.sets)

    @property
    def sets(self) -> list[QueueSet]:
        return self._before if self.queues is None else [*self._before, self.queues]

    def seats_for(self, objects: int, limit: int, selects: bool) -> int:
        return seats_of(objects, limit, selects, self.bounds.nominal)

    def sit(self, seats: int) -> bool:
        """Take seats for a call at once, where nobody waits for them."""
        before = self.taken
        taken = before + seats
        if before and taken > self.limit and not self.spec.exempt:
            return False
        queues = self.queues
        if (queues is not None and queues.waiting) or self._before:
            return False
        self.executing += 1
        self.taken = taken
        if taken > self.high:
            self.high = taken
        return True

    def _take(self, ticket: Ticket) -> None:
        self.executing += 1
        self.taken += ticket.seats
        if self.taken > self.high:
            self.high = self.taken

    def free(self, seats: int) -> None:
        """Take back the seats of a call that never waited."""
        self.executing -= 1
        self.taken -= seats

    def queue(self, ticket: Ticket, flow: str, schema: SchemaSpec, now: float) -> bool:
        """Let it wait; False where there is no queue, or no room in it."""
        if self.queues is None or not self.queues.arrive(ticket, number_of(schema.name, flow), now, self.limit):
            return False
        self.high = max(self.high, self.taken + self.waiting_seats)
        return True

    def rise(self, ticket: Ticket, now: float) -> None:
        """Give its seats back."""
        self.executing -= 1
        self.taken -= ticket.seats
        if ticket.among is not None:
            ticket.among.leave(ticket, now, self.limit)

    def give_up(self, ticket: Ticket, now: float) -> bool:
        """It waits no longer; False when its turn has come already."""
        found = ticket.among is not None and ticket.among.give_up(ticket, now, self.limit)
        self._before = [queues for queues in self._before if queues.waiting]
        return found

    def next(self, now: float) -> Ticket | None:
        """Whose turn it is; its seats are taken."""
        for queues in self.sets:
            ticket = queues.next(now, self.limit, self.taken)
            if ticket is not None:
                self._take(ticket)
                if self._before:
                    self._before = [left for left in self._before if left.waiting]
                return ticket
            if queues.waiting:
                return None
        return None
