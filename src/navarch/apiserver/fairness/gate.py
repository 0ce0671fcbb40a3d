"""Where calls take their seats and wait for them: the edge of priority and fairness.

The server works on one thread, so a call that never waits for anything would have its seat back before the next one
looks for it, and a flood of such calls would never queue. A seat is therefore free again only when the loop's turn is
over: within one turn each level works on as many calls as it has seats, and the queues say whose are next.

Nothing runs while nothing is asked: seats are shared out anew when somebody finds none, at most every ten seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from navarch.apiserver import routes
from navarch.apiserver.call import Call, Reads
from navarch.apiserver.fairness import seats
from navarch.apiserver.fairness.level import Level
from navarch.apiserver.fairness.matching import CATCH_ALL, SchemaSpec, level_of, matches, ordered, schema_of
from navarch.apiserver.fairness.queueset import Ticket
from navarch.apiserver.fairness.work import OBJECTS_A_SEAT
from navarch.base.clock import Clock
from navarch.base.errors import TooMany
from navarch.base.metrics import Registry
from navarch.kinds import FLOWSCHEMA, PRIORITYLEVELCONFIGURATION

MESSAGE = "The server has received too many requests and has asked us to try again later"
MEMO = 8_192
SHARE_OUT_S = 10.0
REASONS = ("queue-full", "concurrency-limit", "time-out", "cancelled")
READS = ("get", "list", "watch", "head", "options")
FLOW_BUCKETS = (0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0)

Headers = tuple[tuple[str, str], ...]
Count = Callable[[Call], int]
"""How many objects are stored of what a call is about."""


@dataclass(frozen=True, slots=True)
class Seats:
    """total: calls at once, shared out among the priority levels. wait_s: how long one waits for its turn at most."""

    total: int = 600
    wait_s: float = 15.0


@dataclass(slots=True, eq=False)
class Schema:
    """A FlowSchema at work. rejected: by reason. waited, worked: series of the histograms."""

    spec: SchemaSpec
    level: Level
    headers: Headers
    waited: tuple[list[float], list[float]]
    worked: list[float]
    dispatched: int = 0
    executing: int = 0
    waiting: int = 0
    rejected: dict[str, int] = field(default_factory=dict)


class Gate:
    """`schema_of` says whose rules hold for a call, `enter` takes its seats or lets it wait, `leave` gives them back.

    For one event loop.
    """

    def __init__(
        self, reads: Reads, clock: Clock, metrics: Registry, settings: Seats | None = None, count: Count | None = None
    ) -> None:
        """count: without it, every call takes one seat."""
        self.settings = settings or Seats()
        self._reads = reads
        self._clock = clock
        self._count = count
        self._versions = (-1, -1)
        self._policies = -1
        self._schemas: dict[str, Schema] = {}
        self._order: tuple[Schema, ...] = ()
        self.levels: dict[str, Level] = {}
        self._named: frozenset[str] = frozenset()
        self._memo: dict[tuple[Any, ...], Schema] = {}
        self._leaving: list[Ticket] = []
        self._rising: list[Schema] = []
        self._shared_at = -SHARE_OUT_S
        self.inflight = {"readOnly": 0, "mutating": 0}
        self.queued = {"readOnly": 0, "mutating": 0}
        own = ("flow_schema", "priority_level")
        self._worked = metrics.histogram(
            "apiserver_flowcontrol_request_execution_duration_seconds",
            "How long calls held their seats.",
            ("priority_level", "flow_schema", "type"),
            FLOW_BUCKETS,
        )
        self._waited = metrics.histogram(
            "apiserver_flowcontrol_request_wait_duration_seconds",
            "How long calls waited for their seats.",
            ("priority_level", "flow_schema", "execute"),
            FLOW_BUCKETS,
        )
        metrics.counter(
            "apiserver_flowcontrol_dispatched_requests",
            "Calls that were given seats.",
            own,
            read=lambda: self._told(lambda schema: schema.dispatched),
        )
        metrics.counter(
            "apiserver_flowcontrol_rejected_requests",
            "Calls that were turned away, by why.",
            ("flow_schema", "priority_level", "reason"),
            read=self._rejections,
        )
        metrics.gauge(
            "apiserver_flowcontrol_current_executing_requests",
            "Calls that have seats.",
            own,
            read=lambda: self._told(lambda schema: schema.executing),
        )
        metrics.gauge(
            "apiserver_flowcontrol_current_inqueue_requests",
            "Calls that wait for seats.",
            own,
            read=lambda: self._told(lambda schema: schema.waiting),
        )
        self._level_metrics(metrics)

    def _level_metrics(self, metrics: Registry) -> None:
        level = ("priority_level",)

        def of(what: Callable[[Level], float]) -> Callable[[], Mapping[tuple[str, ...], float]]:
            return lambda: {(name,): what(found) for name, found in self.present().items()}

        metrics.gauge(
            "apiserver_flowcontrol_nominal_limit_seats",
            "Seats of a level by its shares.",
            level,
            of(lambda found: found.bounds.nominal),
        )
        metrics.gauge(
            "apiserver_flowcontrol_lower_limit_seats",
            "Seats that a level never lends.",
            level,
            of(lambda found: found.bounds.lower),
        )
        metrics.gauge(
            "apiserver_flowcontrol_upper_limit_seats",
            "Seats of a level with all that it may borrow.",
            level,
            of(lambda found: found.bounds.upper),
        )
        metrics.gauge(
            "apiserver_flowcontrol_current_limit_seats",
            "Seats of a level at present.",
            level,
            of(lambda found: found.limit),
        )
        metrics.gauge(
            "apiserver_flowcontrol_current_executing_seats",
            "Seats that are taken.",
            level,
            of(lambda found: found.taken),
        )
        metrics.gauge(
            "apiserver_flowcontrol_current_inqueue_seats",
            "Seats that are waited for.",
            level,
            of(lambda found: found.waiting_seats),
        )
        metrics.gauge(
            "apiserver_flowcontrol_demand_seats_high_watermark",
            "The most seats that a level wanted since they were shared out last.",
            level,
            of(lambda found: found.high),
        )

    def present(self) -> dict[str, Level]:
        """The levels as they are configured now, by name."""
        self._refresh()
        return self.levels

    def schemas(self) -> tuple[Schema, ...]:
        """In the order in which they are tried."""
        self._refresh()
        return self._order

    def waited_s(self, ticket: Ticket) -> float:
        return self._clock.monotonic() - ticket.at

    def _told(self, what: Callable[[Schema], float]) -> Mapping[tuple[str, ...], float]:
        self._refresh()
        return {(name, found.spec.level): what(found) for name, found in self._schemas.items()}

    def _rejections(self) -> Mapping[tuple[str, ...], float]:
        return {
            (name, found.spec.level, reason): times
            for name, found in self._schemas.items()
            for reason, times in found.rejected.items()
        }

    # --- the configuration ---

    def _refresh(self) -> None:
        if self._reads.policies == self._policies:
            return
        self._policies = self._reads.policies
        versions = (self._reads.version(FLOWSCHEMA), self._reads.version(PRIORITYLEVELCONFIGURATION))
        if versions == self._versions:
            return
        self._versions = versions
        schemas = [schema_of(found.document()) for found in self._reads.list(FLOWSCHEMA)]
        order, specs = ordered(
            schemas, [level_of(found.document()) for found in self._reads.list(PRIORITYLEVELCONFIGURATION)]
        )
        levels = {}
        for name, spec in specs.items():
            level = levels[name] = self.levels.get(name) or Level(spec)
            level.configure(spec)
        self.levels = levels
        for name, bound in seats.bounds(self.settings.total, specs).items():
            levels[name].bounds, levels[name].limit = bound, max(1, bound.nominal)
        self._shared_at = -SHARE_OUT_S
        self._schemas = {spec.name: self._schema(spec, levels[spec.level]) for spec in order}
        self._order = tuple(self._schemas.values())
        self._named = frozenset(name for spec in order for name in spec.namespaces)
        self._memo.clear()

    def _schema(self, spec: SchemaSpec, level: Level) -> Schema:
        headers = (
            ("X-Kubernetes-PF-FlowSchema-UID", spec.uid),
            ("X-Kubernetes-PF-PriorityLevel-UID", level.spec.uid),
        )
        known = self._schemas.get(spec.name)
        if known is not None and known.level is level:
            known.spec, known.headers = spec, headers
            return known
        names = (spec.level, spec.name)
        return Schema(
            spec,
            level,
            headers,
            (self._waited.series(*names, "true"), self._waited.series(*names, "false")),
            self._worked.series(*names, "regular"),
        )

    def schema_of(self, call: Call) -> Schema:
        """By which FlowSchema the call is judged."""
        self._refresh()
        user, namespace = call.user, call.namespace
        if namespace and namespace not in self._named:
            namespace = "*"
        key = (
            user.name,
            user.groups,
            call.verb,
            call.group,
            call.resource or call.path,
            call.subresource,
            namespace,
        )
        found = self._memo.get(key)
        if found is None:
            asked = routes.attributes(call)
            found = next((one for one in self._order if matches(one.spec, asked)), None) or self._schemas[CATCH_ALL]
            if len(self._memo) >= MEMO:
                self._memo.clear()
            self._memo[key] = found
        return found

    # --- seats ---

    def sit(self, schema: Schema) -> bool:
        """Take one seat, where one is free and nobody waits for it: what most calls do. `rise` gives it back."""
        if not schema.level.sit(1):
            return False
        schema.dispatched += 1
        schema.executing += 1
        schema.waited[0][0] += 1
        return True

    def rise(self, schema: Schema, seconds: float) -> None:
        """The same as `leave` and `worked`, after `sit`."""
        self._worked.observe_in(schema.worked, seconds)
        level = schema.level
        if level.spec.exempt:
            schema.executing -= 1
            level.free(1)
            return
        if not self._leaving and not self._rising:
            asyncio.get_running_loop().call_soon(self._settle)
        self._rising.append(schema)

    def enter(self, schema: Schema, call: Call) -> Ticket:
        """Take seats, or a place in a queue: then `turn` is set, and must be awaited by `wait`.

        Raises: TooMany.
        """
        level = schema.level
        ticket = Ticket(self.seats_of(schema, call), schema=schema, level=level)
        if level.sit(ticket.seats):
            schema.dispatched += 1
            schema.executing += 1
            schema.waited[0][0] += 1
            return ticket
        now = self._clock.monotonic()
        if not level.spec.exempt and now - self._shared_at >= SHARE_OUT_S:
            level.high = max(level.high, level.taken + level.waiting_seats + ticket.seats)
            self._share_out(now)
            if level.sit(ticket.seats):
                schema.dispatched += 1
                schema.executing += 1
                schema.waited[0][0] += 1
                return ticket
        if not level.queue(ticket, _flow(schema, call), schema.spec, now):
            self._reject(schema, "queue-full" if level.queues is not None else "concurrency-limit")
            raise TooMany(MESSAGE, retry_after_s=1)
        schema.waiting += 1
        ticket.turn = asyncio.get_running_loop().create_future()
        return ticket

    def seats_of(self, schema: Schema, call: Call) -> int:
        """How many the call takes: more than one only where a list looks at many objects."""
        if call.verb != "list" or self._count is None or not call.is_resource or call.name:
            return 1
        objects = self._count(call)
        if objects <= OBJECTS_A_SEAT:
            return 1
        asked = call.request.param("limit")
        limit = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 10 else 0
        selects = bool(call.request.param("labelSelector") or call.request.param("fieldSelector"))
        return schema.level.seats_for(objects, limit, selects)

    async def wait(self, ticket: Ticket) -> None:
        """Until it is the ticket's turn. Raises: TooMany, when that takes too long."""
        schema, level = ticket.schema, ticket.level
        began = ticket.at
        try:
            async with asyncio.timeout(self.settings.wait_s):
                await ticket.turn
        except (TimeoutError, asyncio.CancelledError) as error:
            late = isinstance(error, TimeoutError)
            if level.give_up(ticket, self._clock.monotonic()):
                schema.waiting -= 1
                self._pass_on(level)
            else:
                self.leave(ticket)  # its turn came in the same moment
            self._reject(schema, "time-out" if late else "cancelled")
            self._waited.observe_in(schema.waited[1], self._clock.monotonic() - began)
            if late:
                raise TooMany(MESSAGE, retry_after_s=1) from error
            raise
        self._waited.observe_in(schema.waited[0], self._clock.monotonic() - began)

    def leave(self, ticket: Ticket) -> None:
        """Give the seats back, at the end of the loop's turn."""
        if ticket.level.spec.exempt:
            ticket.schema.executing -= 1
            ticket.level.rise(ticket, 0.0)
            return
        if not self._leaving and not self._rising:
            asyncio.get_running_loop().call_soon(self._settle)
        self._leaving.append(ticket)

    def _settle(self) -> None:
        now = self._clock.monotonic()
        leaving, self._leaving = self._leaving, []
        rising, self._rising = self._rising, []
        levels: dict[int, Level] = {}
        for schema in rising:
            schema.executing -= 1
            schema.level.free(1)
            levels[id(schema.level)] = schema.level
        for ticket in leaving:
            level = ticket.level
            ticket.schema.executing -= 1
            level.rise(ticket, now)
            levels[id(level)] = level
        for level in levels.values():
            self._pass_on(level, now)

    def _pass_on(self, level: Level, now: float | None = None) -> None:
        """Hand free seats to those whose turn it is."""
        if not level.waiting:
            return
        now = self._clock.monotonic() if now is None else now
        if now - self._shared_at >= SHARE_OUT_S:
            self._share_out(now)
        while (ticket := level.next(now)) is not None:
            schema = ticket.schema
            schema.waiting -= 1
            schema.executing += 1
            schema.dispatched += 1
            if not ticket.turn.done():
                ticket.turn.set_result(None)

    def _share_out(self, now: float) -> None:
        """Seats that some do not want go to those who do."""
        self._shared_at = now
        for level in self.levels.values():
            level.wanted = seats.smoothed(level.wanted, level.high)
            level.high = level.taken + level.waiting_seats
        limits = seats.allocate(
            self.settings.total, {name: (level.bounds, level.wanted) for name, level in self.levels.items()}
        )
        for name, limit in limits.items():
            self.levels[name].limit = limit

    def worked(self, ticket: Ticket, seconds: float) -> None:
        """Count how long it took."""
        self._worked.observe_in(ticket.schema.worked, seconds)

    def _reject(self, schema: Schema, reason: str) -> None:
        schema.rejected[reason] = schema.rejected.get(reason, 0) + 1


def _flow(schema: Schema, call: Call) -> str:
    by = schema.spec.by
    return call.user.name if by == "ByUser" else call.namespace if by == "ByNamespace" else ""
