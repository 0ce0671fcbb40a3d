"""What every request passes, in order: authenticate, impersonate, take a seat, authorize, and then whoever answers it.

One of the places where an `ApiError` becomes a reply; a bug becomes a 500 and is reported. Every answer says under
which id its request is found in the log, and by which FlowSchema it was judged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import orjson

from navarch.apiserver import deadlines, routes, trace
from navarch.apiserver.authn.authenticator import Authenticator
from navarch.apiserver.authn.impersonation import impersonated
from navarch.apiserver.authz.messages import refused
from navarch.apiserver.call import ANONYMOUS, Authorizer, Call, Decision, Reads
from navarch.apiserver.counts import MUTATING, RequestCounts, Series, applies
from navarch.apiserver.deadlines import Deadlines
from navarch.apiserver.fairness.gate import Gate, Schema
from navarch.base.clock import Clock, Ids
from navarch.base.errors import ApiError, Internal, MethodNotAllowed, Retryable, Unauthorized, Unavailable
from navarch.base.log import Log
from navarch.base.metrics import Registry
from navarch.base.tasks import BugReport
from navarch.kinds.registry import Kinds
from navarch.wire.message import UPGRADED, Request, Response

log = Log("apiserver")

Dispatch = Callable[[Call], Awaitable[Response]]

ALWAYS_ALLOWED = frozenset(("/healthz", "/livez", "/readyz"))
"""Whether a server lives may be asked before its roles are there."""
SLOW_S = 0.5
AUDIT_ID_LONGEST = 64
MEMO = 8_192


@dataclass(frozen=True, slots=True)
class Known:
    """What is the same for all calls that differ in the name of their object alone. allowed: whatever that name is;
    False means that the authorizer is to be asked."""

    schema: Schema
    series: Series
    allowed: bool
    mutating: bool


class Chain:
    """`handle` is the whole server's handler. dispatch: who answers once all this is passed."""

    def __init__(
        self,
        authenticator: Authenticator,
        authorizer: Authorizer,
        gate: Gate,
        reads: Reads,
        dispatch: Dispatch,
        clock: Clock,
        ids: Ids,
        kinds: Kinds,
        metrics: Registry,
        longest_s: float = deadlines.LONGEST_S,
    ) -> None:
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._gate = gate
        self._reads = reads
        self._dispatch = dispatch
        self._clock = clock
        self._kinds = kinds
        self._numbers = count(1)
        self._audit_prefix = ids.uid()[:24]
        self._deadlines = Deadlines(longest_s, min(deadlines.LOOK_S, longest_s / 4))
        self._counts = RequestCounts(metrics, kinds)
        self._bugs = BugReport(log, metrics.counter("navarch_bugs", "Unexpected errors, by where.", ("where",)))
        self._memo: dict[tuple[Any, ...], Known] = {}
        self._present = (-1, -1)

    async def handle(self, request: Request) -> Response:
        started = self._clock.monotonic()
        call: Call | None = None
        known: Known | None = None
        streamed = False
        try:
            user = self._authenticator.authenticate(request)
            user = impersonated(request, user, self._authorizer)
            call = routes.parse(request, user)
            streamed = routes.long_running(call)
            if call.verb == "watch" and request.method == "HEAD":
                raise MethodNotAllowed("the server does not allow this method on the requested resource")
            if streamed and call.verb != "watch":
                self._authorize(call)
                response = await self._dispatch(call)
            else:
                known = self._known(call)
                response = await (self._in_turn(call, known) if streamed else self._seated(call, known, started))
        except (ApiError, Retryable) as error:
            response = refusal(error)
        except asyncio.CancelledError:
            self._counts.left(call or _unknown(request))
            raise
        except Exception as bug:  # noqa: BLE001 - reported, and the client is told that it was not its fault
            self._bugs.report(f"{request.method} {(call and call.resource) or request.path}", bug)
            response = refusal(Internal("an internal error occurred; the server's log has its traceback"))
        took_s = self._clock.monotonic() - started
        if known is None:
            call = call or _unknown(request)
            self._counts.done(self._counts.series(call), response, took_s, streamed)
        else:
            self._counts.done(known.series, response, took_s, streamed)
        if response is UPGRADED:
            return response
        assert call is not None
        self._label(call, known, response, took_s, streamed)
        return response

    def _label(self, call: Call, known: Known | None, response: Response, took_s: float, streamed: bool) -> None:
        """Say under which id it is found in the log, and whose rules it was judged by."""
        audit_id = call.request.headers.get("audit-id", "")
        if audit_id:
            audit_id = audit_id[:AUDIT_ID_LONGEST]
        if not audit_id or not audit_id.isprintable():
            audit_id = f"{self._audit_prefix}{next(self._numbers):012x}"
        if streamed:
            self._counts.opened(call, response)
            if any(name.lower() == "audit-id" for name, _ in response.headers):
                return  # whoever was asked by proxy has told his
        elif took_s > SLOW_S:
            self._tell_slow(call, response, audit_id, took_s)
        schema = () if known is None else known.schema.headers
        response.headers = (*response.headers, ("Audit-Id", audit_id), *schema)

    def _known(self, call: Call) -> Known:
        """Looked up by all that it depends on. Which rules there are is part of that, and so is which kinds."""
        if not call.is_resource:  # a path may be anything
            return self._judged(call)
        present = (self._reads.policies, self._kinds.version)
        if present != self._present:
            self._memo.clear()
            self._present = present
        user, request = call.user, call.request
        key = (
            user.name,
            user.groups,
            call.verb,
            call.group,
            call.version,
            call.resource,
            call.subresource,
            call.namespace,
            not call.name,
            applies(request) if call.verb == "patch" else False,
            bool(request.param("dryRun")) if request.query else False,
        )
        found = self._memo.get(key)
        if found is None:
            found = self._judged(call)
            if len(self._memo) >= MEMO:
                self._memo.clear()
            self._memo[key] = found
        return found

    def _judged(self, call: Call) -> Known:
        allowed = call.is_resource and _always(self._authorizer.decide(routes.attributes(call)))
        return Known(self._gate.schema_of(call), self._counts.series(call), allowed, call.verb in MUTATING)

    async def _seated(self, call: Call, known: Known, started: float) -> Response:
        """Answer once it is the call's turn, within its time."""
        running, mutating = self._counts.running, known.mutating
        task: asyncio.Task[object] | None = asyncio.current_task()
        assert task is not None
        running[mutating] += 1
        try:
            if call.request.query and (within_s := deadlines.wanted_s(call.request)) > 0:
                return await self._hurried(call, known, within_s)
            self._deadlines.enter(task)
            gate, schema = self._gate, known.schema
            if not known.allowed or gate.seats_of(schema, call) > 1 or not gate.sit(schema):
                return await self._in_turn(call, known)
            try:
                return await self._dispatch(call)
            finally:
                gate.rise(schema, self._clock.monotonic() - started)
        except asyncio.CancelledError:
            if not self._deadlines.was_late(task):
                raise
            self._counts.ended(call, 504)
            raise deadlines.too_late() from None
        finally:
            self._deadlines.leave(task)
            running[mutating] -= 1

    async def _hurried(self, call: Call, known: Known, within_s: float) -> Response:
        """For a client that says how long it waits."""
        try:
            async with asyncio.timeout(within_s):
                return await self._in_turn(call, known)
        except TimeoutError:
            self._counts.ended(call, 504)
            raise deadlines.too_late() from None

    async def _in_turn(self, call: Call, known: Known) -> Response:
        gate = self._gate
        ticket = gate.enter(known.schema, call)
        if ticket.turn is not None:
            came = self._clock.monotonic()
            await gate.wait(ticket)
            trace.note("waiting for a seat", self._clock.monotonic() - came)
        sat = self._clock.monotonic()
        try:
            if not known.allowed:
                self._authorize(call)
            return await self._dispatch(call)
        finally:
            gate.worked(ticket, self._clock.monotonic() - sat)
            gate.leave(ticket)

    def _authorize(self, call: Call) -> None:
        """Raises: Forbidden, Unauthorized."""
        if call.path in ALWAYS_ALLOWED:
            return
        asked = routes.attributes(call)
        decision = self._authorizer.decide(asked)
        if not decision.allowed:
            if call.user is ANONYMOUS:
                raise Unauthorized("Unauthorized")
            raise refused(asked, decision.reason)

    def _tell_slow(self, call: Call, response: Response, audit_id: str, took_s: float) -> None:
        log.info(
            "a slow request",
            took_ms=round(took_s * 1000),
            verb=call.verb,
            path=call.request.target,
            user=call.user.name,
            agent=call.request.headers.get("user-agent", ""),
            code=response.status,
            audit_id=audit_id,
            steps=trace.told(asyncio.get_running_loop().time() - took_s),
        )


def _unknown(request: Request) -> Call:
    """A request of which no more is known than how it was made."""
    return Call(request, ANONYMOUS, request.method.lower(), request.path)


def _always(decision: Decision) -> bool:
    return decision.allowed and decision.always


def refusal(error: ApiError | Retryable) -> Response:
    """The Status that tells a client why not."""
    if isinstance(error, Retryable):
        error = Unavailable(str(error), retry_after_s=max(1, round(error.after_s)))
    headers = [("Content-Type", "application/json"), ("Cache-Control", "no-cache, private")]
    if error.retry_after_s:
        headers.append(("Retry-After", str(error.retry_after_s)))
    return Response(error.code, headers, orjson.dumps(error.status()))
