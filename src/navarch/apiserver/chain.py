"""What every request passes, in order: authenticate, impersonate, take a seat, authorize, and then whoever answers it.

One of the places where an `ApiError` becomes a reply; a bug becomes a 500 and is reported. Every answer says under
which id its request is found in the log, and by which FlowSchema it was judged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count

import orjson

from navarch.apiserver import deadlines, routes
from navarch.apiserver.authn.authenticator import Authenticator
from navarch.apiserver.authn.impersonation import impersonated
from navarch.apiserver.authz.messages import refused
from navarch.apiserver.call import ANONYMOUS, Authorizer, Call
from navarch.apiserver.counts import MUTATING, RequestCounts
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


class Chain:
    """`handle` is the whole server's handler. dispatch: who answers once all this is passed."""

    def __init__(
        self,
        authenticator: Authenticator,
        authorizer: Authorizer,
        gate: Gate,
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
        self._dispatch = dispatch
        self._clock = clock
        self._numbers = count(1)
        self._audit_prefix = ids.uid()[:24]
        self._deadlines = Deadlines(longest_s, min(deadlines.LOOK_S, longest_s / 4))
        self._counts = RequestCounts(metrics, kinds)
        self._bugs = BugReport(log, metrics.counter("navarch_bugs", "Unexpected errors, by where.", ("where",)))

    async def handle(self, request: Request) -> Response:
        started = self._clock.monotonic()
        audit_id = request.headers.get("audit-id", "")[:AUDIT_ID_LONGEST]
        if not audit_id or not audit_id.isprintable():
            audit_id = f"{self._audit_prefix}{next(self._numbers):012x}"
        call = Call(request, ANONYMOUS, request.method.lower(), request.path)
        schema: Schema | None = None
        streamed = False
        try:
            user = self._authenticator.authenticate(request)
            user = impersonated(request, user, self._authorizer)
            call = routes.parse(request, user)
            streamed = routes.long_running(call)
            if call.verb == "watch" and request.method == "HEAD":
                raise MethodNotAllowed("the server does not allow this method on the requested resource")
            if streamed and call.verb != "watch":
                response = await self._authorized(call)
            else:
                schema = self._gate.schema_of(call)
                response = await self._seated(call, schema, streamed)
        except (ApiError, Retryable) as error:
            response = refusal(error)
        except asyncio.CancelledError:
            self._counts.left(call)
            raise
        except Exception as bug:  # noqa: BLE001 - reported, and the client is told that it was not its fault
            self._bugs.report(f"{request.method} {call.resource or request.path}", bug)
            response = refusal(Internal("an internal error occurred; the server's log has its traceback"))
        took_s = self._clock.monotonic() - started
        self._counts.done(call, response, took_s, streamed)
        if response is UPGRADED:
            return response
        if streamed:
            self._counts.opened(call, response)
            if any(name.lower() == "audit-id" for name, _ in response.headers):
                return response  # whoever was asked by proxy has told his
        elif took_s > SLOW_S:
            self._tell_slow(call, response, audit_id, took_s)
        headers = (*response.headers, ("Audit-Id", audit_id))
        response.headers = headers if schema is None else headers + schema.headers
        return response

    async def _seated(self, call: Call, schema: Schema, streamed: bool) -> Response:
        """Answer once it is the call's turn; what does not go on for as long as the client likes, within its time."""
        if streamed:
            return await self._in_turn(call, schema)
        running, mutating = self._counts.running, call.verb in MUTATING
        running[mutating] += 1
        try:
            if (within_s := deadlines.wanted_s(call.request)) > 0:
                return await self._hurried(call, schema, within_s)
            return await self._timely(call, schema)
        finally:
            running[mutating] -= 1

    async def _timely(self, call: Call, schema: Schema) -> Response:
        task: asyncio.Task[object] | None = asyncio.current_task()
        assert task is not None
        self._deadlines.enter(task)
        try:
            return await self._in_turn(call, schema)
        except asyncio.CancelledError:
            if not self._deadlines.was_late(task):
                raise
            self._counts.ended(call, 504)
            raise deadlines.too_late() from None
        finally:
            self._deadlines.leave(task)

    async def _hurried(self, call: Call, schema: Schema, within_s: float) -> Response:
        """For a client that says how long it waits."""
        try:
            async with asyncio.timeout(within_s):
                return await self._in_turn(call, schema)
        except TimeoutError:
            self._counts.ended(call, 504)
            raise deadlines.too_late() from None

    async def _in_turn(self, call: Call, schema: Schema) -> Response:
        gate = self._gate
        ticket = gate.enter(schema, call)
        if ticket.turn is not None:
            await gate.wait(ticket)
        sat = self._clock.monotonic()
        try:
            return await self._authorized(call)
        finally:
            gate.worked(ticket, self._clock.monotonic() - sat)
            gate.leave(ticket)

    async def _authorized(self, call: Call) -> Response:
        if call.path not in ALWAYS_ALLOWED:
            asked = routes.attributes(call)
            decision = self._authorizer.decide(asked)
            if not decision.allowed:
                if call.user is ANONYMOUS:
                    raise Unauthorized("Unauthorized")
                raise refused(asked, decision.reason)
        return await self._dispatch(call)

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
        )


def refusal(error: ApiError | Retryable) -> Response:
    """The Status that tells a client why not."""
    if isinstance(error, Retryable):
        error = Unavailable(str(error), retry_after_s=max(1, round(error.after_s)))
    headers = [("Content-Type", "application/json"), ("Cache-Control", "no-cache, private")]
    if error.retry_after_s:
        headers.append(("Retry-After", str(error.retry_after_s)))
    return Response(error.code, headers, orjson.dumps(error.status()))
