"""What every request passes, in order: authenticate, impersonate, take a seat, authorize, and then whoever answers it.

One of the places where an `ApiError` becomes a reply; a bug becomes a 500 and is reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import orjson

from navarch.apiserver import routes
from navarch.apiserver.authn.authenticator import Authenticator
from navarch.apiserver.authn.impersonation import impersonated
from navarch.apiserver.authz.messages import refused
from navarch.apiserver.call import ANONYMOUS, Authorizer, Call
from navarch.apiserver.limit import Limit
from navarch.base.clock import Clock
from navarch.base.errors import ApiError, Internal, Retryable, Unauthorized, Unavailable
from navarch.base.log import Log
from navarch.base.metrics import Registry
from navarch.base.tasks import BugReport
from navarch.wire.message import Request, Response

log = Log("apiserver")

Dispatch = Callable[[Call], Awaitable[Response]]

ALWAYS_ALLOWED = frozenset(("/healthz", "/livez", "/readyz"))
"""Whether a server lives may be asked before its roles are there."""


class Chain:
    """`handle` is the whole server's handler. dispatch: who answers once all this is passed."""

    def __init__(
        self,
        authenticator: Authenticator,
        authorizer: Authorizer,
        limit: Limit,
        dispatch: Dispatch,
        clock: Clock,
        metrics: Registry,
    ) -> None:
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._limit = limit
        self._dispatch = dispatch
        self._clock = clock
        labels = ("verb", "code", "group", "version", "resource", "subresource")
        self._requests = metrics.counter("apiserver_request", "Requests by what was asked and how it ended.", labels)
        self._durations = metrics.histogram(
            "apiserver_request_duration_seconds", "How long requests took, without watches.", ("verb", "resource")
        )
        metrics.gauge("apiserver_current_inflight_requests", "Calls that hold a seat.", read=lambda: float(limit.taken))
        self._bugs = BugReport(log, metrics.counter("navarch_bugs", "Unexpected errors, by where.", ("where",)))

    async def handle(self, request: Request) -> Response:
        started = self._clock.monotonic()
        call: Call | None = None
        try:
            user = self._authenticator.authenticate(request)
            user = impersonated(request, user, self._authorizer)
            call = routes.parse(request, user)
            if call.verb == "watch" or routes.long_running(call):
                response = await self._authorized(call)
            else:
                if not self._limit.enter(user):
                    await self._limit.wait(user)
                try:
                    response = await self._authorized(call)
                finally:
                    self._limit.leave(user)
        except (ApiError, Retryable) as error:
            response = refusal(error)
        except Exception as bug:  # noqa: BLE001 - reported, and the client is told that it was not its fault
            self._bugs.report(f"{request.method} {call.resource if call else request.path}", bug)
            response = refusal(Internal("an internal error occurred; the server's log has its traceback"))
        self._count(request, call, response, started)
        return response

    async def _authorized(self, call: Call) -> Response:
        if call.path not in ALWAYS_ALLOWED:
            asked = routes.attributes(call)
            decision = self._authorizer.decide(asked)
            if not decision.allowed:
                if call.user is ANONYMOUS:
                    raise Unauthorized("Unauthorized")
                raise refused(asked, decision.reason)
        return await self._dispatch(call)

    def _count(self, request: Request, call: Call | None, response: Response, started: float) -> None:
        code = str(response.status)
        if call is None or not call.is_resource:
            self._requests.add(request.method, code, "", "", "", "")
            return
        self._requests.add(call.verb, code, call.group, call.version, call.resource, call.subresource)
        if call.verb != "watch":
            self._durations.observe(self._clock.monotonic() - started, call.verb, call.resource)


def refusal(error: ApiError | Retryable) -> Response:
    """The Status that tells a client why not."""
    if isinstance(error, Retryable):
        error = Unavailable(str(error), retry_after_s=max(1, round(error.after_s)))
    headers = [("Content-Type", "application/json"), ("Cache-Control", "no-cache, private")]
    if error.retry_after_s:
        headers.append(("Retry-After", str(error.retry_after_s)))
    return Response(error.code, headers, orjson.dumps(error.status()))
