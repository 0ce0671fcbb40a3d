"""The API server: the chain in front, and behind it the pages and the core that answer.

It listens nowhere by itself: `handle` is given to a `wire.http.Server`, and to clients in this process.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from functools import partial
from typing import Protocol

from navarch.apiserver import exposition, gauges, health, routes, version
from navarch.apiserver.admission.accounts import Issue
from navarch.apiserver.admission.plugins import Grants
from navarch.apiserver.aggregation.aggregator import Aggregator
from navarch.apiserver.aside import Aside
from navarch.apiserver.audit.auditor import AuditCounts, Audited, Auditor
from navarch.apiserver.authn.authenticator import Authenticator
from navarch.apiserver.authn.tokens import ServiceAccountTokens
from navarch.apiserver.authz import escalation
from navarch.apiserver.authz.authorizer import RulesAuthorizer
from navarch.apiserver.call import ANONYMOUS, Call, Reads
from navarch.apiserver.chain import Chain
from navarch.apiserver.connecting import connects
from navarch.apiserver.dialer import NodeDialer
from navarch.apiserver.discovery import Discovery
from navarch.apiserver.exposition import Exposition
from navarch.apiserver.fairness import dump
from navarch.apiserver.fairness.gate import Gate, Seats
from navarch.apiserver.framed import framed
from navarch.apiserver.health import Check, Health
from navarch.apiserver.openapi import OpenApi
from navarch.apiserver.reviews import Answer, Reviews
from navarch.apiserver.streams import Streams
from navarch.base.clock import Clock, Ids
from navarch.base.errors import MethodNotAllowed, NotFound, Unavailable
from navarch.base.metrics import Registry
from navarch.kinds import CLUSTERROLE
from navarch.kinds.registry import Kinds
from navarch.wire.message import Handler, Request, Response
from navarch.wire.websocket import is_handshake

UNCACHED = ("Cache-Control", "no-cache, private")
JSON = (("Content-Type", "application/json"), UNCACHED)


class Resources(Protocol):
    """What the server needs of `core.Core`."""

    @property
    def reads(self) -> Reads: ...

    @property
    def followed_once(self) -> bool: ...

    @property
    def aside(self) -> Aside: ...

    def trouble(self) -> str: ...

    def counts(self) -> Mapping[tuple[str, ...], float]: ...

    def watches(self) -> Mapping[tuple[str, ...], float]: ...

    def stored(self, call: Call) -> int: ...

    def handle(self, call: Call) -> Awaitable[Response]: ...

    async def connect(self, call: Call) -> None: ...

    def answer(self, plural: str, subresource: str, by: Answer) -> None: ...

    def check_grants(self, by: Grants) -> None: ...

    def issue_tokens(self, by: Issue) -> None: ...

    def serve_front(self, front: Handler) -> None: ...


class ApiServer:
    """Make it before the core is started: it tells the core who answers reviews.

    dialer: None where there are no nodes to reach. live, ready: more checks for the health pages.
    """

    def __init__(
        self,
        core: Resources,
        kinds: Kinds,
        authenticator: Authenticator,
        authorizer: RulesAuthorizer,
        tokens: ServiceAccountTokens,
        clock: Clock,
        ids: Ids,
        *,
        dialer: NodeDialer | None = None,
        metrics: Registry | None = None,
        seats: Seats | None = None,
        live: Mapping[str, Check] | None = None,
        ready: Mapping[str, Check] | None = None,
        aggregator: Aggregator | None = None,
    ) -> None:
        self.metrics = metrics or Registry()
        self._core = core
        self._tokens = tokens
        self.draining = False
        """Set before the server stops: it is not ready any more, and answers all the same."""
        self._had_roles = False
        roles = {"poststarthook/rbac/bootstrap-roles": self._has_roles}
        only_ready = {"informer-sync": self._has_followed, "shutdown": self._stays, **(ready or {})}
        self._health = Health({"etcd": core.trouble, **(live or {})}, roles, only_ready)
        self._exposition = Exposition(self.metrics, self._health)
        self._kinds = kinds
        self._aggregator = aggregator
        self._told = (kinds.version, 0)
        self._discovery = Discovery(kinds)
        self._openapi = OpenApi(kinds)
        self._streams = Streams(core.reads, authorizer, dialer, ids)
        self._version = version.document()
        self.audit_counts = AuditCounts(self.metrics)
        gauges.register(self.metrics, core.counts, core.watches, self._version)
        self.gate = Gate(core.reads, clock, self.metrics, seats, core.stored)
        self._chain = Chain(
            authenticator, authorizer, self.gate, core.reads, self._dispatch, clock, ids, kinds, self.metrics
        )
        self._front: Handler = self._chain.handle
        self._authenticator, self._authorizer = authenticator, authorizer
        for (plural, subresource), by in Reviews(core.reads, authorizer, tokens, clock).answers().items():
            core.answer(plural, subresource, by)
        core.issue_tokens(tokens.issue_legacy)
        core.check_grants(partial(escalation.check, authorizer))
        core.serve_front(self.handle)

    def audit_by(self, auditor: Auditor) -> None:
        """Tell it of every request from now on."""
        self._front = Audited(auditor, self._authenticator, self._authorizer, self._chain.handle).handle

    def handle(self, request: Request) -> Awaitable[Response]:
        """Every request, from whatever socket."""
        return self._front(request)

    def hands_on(self, request: Request) -> bool:
        """Whether a request's body is for a server that it is handed on to, and may be of any size."""
        call = routes.parse(request, ANONYMOUS)
        aggregator = self._aggregator
        return self._streams.hands_on(call) or (aggregator is not None and aggregator.route(call) is not None)

    def _stays(self) -> str:
        return "the server is stopping" if self.draining else ""

    def _has_followed(self) -> str:
        return "" if self._core.followed_once else "the caches are not filled yet"

    def _has_roles(self) -> str:
        """What a new cluster begins with has been written. Somebody may take it away again: that is no reason to start
        the server anew."""
        if not self._had_roles:
            self._had_roles = self._core.reads.get(CLUSTERROLE, "", "cluster-admin") is not None
        return "" if self._had_roles else "the default roles are not there yet"

    async def _dispatch(self, call: Call) -> Response:
        aggregator = self._aggregator
        if aggregator is not None and aggregator.routes and (remote := aggregator.route(call)) is not None:
            return await aggregator.forward(remote, call)
        if call.request.stream is not None and not self._streams.serves(call):
            raise Unavailable("who answers this has just changed, please try again", retry_after_s=1)
        if not call.is_resource:
            if is_openapi(call.path) and call.request.method in ("GET", "HEAD"):
                return await self._described(call)
            return self._page(call)
        if self._streams.serves(call):
            if connects(call):
                await self._core.connect(call)
            response = await self._streams.handle(call)
            return await framed(call.request, response, lines=False) if _wants_frames(call, "log") else response
        response = await self._core.handle(call)
        response.headers = (*response.headers, UNCACHED)
        if call.request.upgrade is not None and _wants_frames(call, "watch"):
            return await framed(call.request, response, lines=True)
        return response

    def _renew_pages(self) -> None:
        """What is served may have changed since discovery was told last."""
        aggregator = self._aggregator
        told = (self._kinds.version, 0 if aggregator is None else aggregator.version)
        if self._told == told:
            return
        self._told = told
        if aggregator is None:
            self._discovery, self._openapi = Discovery(self._kinds), OpenApi(self._kinds)
        else:
            self._discovery = Discovery(self._kinds, aggregator.told())
            self._openapi = OpenApi(self._kinds, aggregator.documents())

    async def _described(self, call: Call) -> Response:
        """Documents of all kinds take long to make, once. Raises: NotFound, NotAcceptable."""
        self._renew_pages()
        if self._openapi.is_made(call.request):
            return self._openapi.answer(call.request)
        return await self._core.aside.run(self._openapi.answer, call.request)

    def _page(self, call: Call) -> Response:
        """What is no resource. Raises: NotFound, MethodNotAllowed."""
        request = call.request
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        path = request.path.rstrip("/")
        root = path.split("/")[1] if "/" in path else ""
        self._renew_pages()
        if root in ("api", "apis"):
            return self._discovery.answer(request)
        if health.is_health(path):
            return self._health.answer(request)
        if path == "/version":
            return Response(200, JSON, self._version)
        if path in exposition.PATHS:
            return self._exposition.answer(request)
        if path.startswith(dump.PREFIX):
            return dump.answer(request, self.gate)
        if path == "/.well-known/openid-configuration":
            return Response(200, JSON, self._tokens.provider())
        if path == "/openid/v1/jwks":
            return Response(200, (("Content-Type", "application/jwk-set+json"),), self._tokens.key_set())
        if not path:
            return Response(200, JSON, ROOT)
        raise NotFound("the server could not find the requested resource")


def is_openapi(path: str) -> bool:
    return path.startswith("/openapi") and path.rstrip("/") != "/openapi/v1/jwks"


def _wants_frames(call: Call, what: str) -> bool:
    return what in (call.verb, call.subresource) and call.request.upgrade is not None and is_handshake(call.request)


ROOT = (
    b'{"paths":["/api","/apis","/healthz","/livez","/metrics","/metrics/slis","/openapi/v2","/openapi/v3","/readyz",'
    b'"/version"]}'
)
