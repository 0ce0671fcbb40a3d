"""Looks at each request before the chain and at its answer behind it, when there is an audit policy.

Nothing here waits: entries go into the log's queue, and are read and written elsewhere. Without a policy none of this
is in the way of a request. Who asks, and why he may, is asked here once more: both are looked up, not found out.

Source: https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from navarch.apiserver import routes
from navarch.apiserver.audit import notes
from navarch.apiserver.audit.event import Entry, Record
from navarch.apiserver.audit.policy import COMPLETE, PANIC, RECEIVED, STARTED, Level, Policy
from navarch.apiserver.authn.authenticator import Authenticator
from navarch.apiserver.authn.impersonation import impersonated
from navarch.apiserver.call import ANONYMOUS, Authorizer, User
from navarch.apiserver.chain import AUDIT_ID_LONGEST
from navarch.base.clock import Clock, Ids
from navarch.base.errors import ApiError, Retryable
from navarch.base.metrics import Registry
from navarch.kinds.registry import Kinds
from navarch.wire.message import UPGRADED, Handler, Piped, Push, Request, Response, Tunnel

ANSWER_BYTES = 16 << 20
"""An answer that is larger and streamed is not kept for the log."""
_REMOVED = re.compile(r"unavailable in v(\d+\.\d+)\+")


class Sink(Protocol):
    def put(self, entry: Entry) -> bool:
        """Whether there was room for it."""
        ...


class AuditCounts:
    """What metrics tell, of a server without an audit log too."""

    def __init__(self, metrics: Registry) -> None:
        self.events = metrics.counter("apiserver_audit_event_total", "Entries that were told to the audit log.")
        self.lost = metrics.counter(
            "apiserver_audit_error_total", "Entries that the audit log had no room for, by plugin.", ("plugin",)
        )
        self.levels = metrics.counter(
            "apiserver_audit_level_total", "Requests by the level that the audit policy gave them.", ("level",)
        )


class Auditor:
    """Of one server. A record is made when the user is known, or when it is sure that he is not."""

    def __init__(self, policy: Policy, sink: Sink, clock: Clock, ids: Ids, kinds: Kinds, counts: AuditCounts) -> None:
        self._policy = policy
        self._sink = sink
        self._clock = clock
        self._kinds = kinds
        self._counts = counts
        self.new_id = ids.uid

    def received(self, request: Request, user: User, audit_id: str) -> Record:
        """A request of somebody, before anything else is asked."""
        call = routes.parse(request, user)
        plan = self._policy.plan(call, user)
        self._counts.levels.add(plan.level.text)
        record = Record(plan, audit_id, call, user, self._clock.now())
        if plan.level is Level.NONE:
            notes.begin(None)
            return record
        kind = self._kinds.resource(call.group, call.version, call.resource) if call.is_resource else None
        if kind is not None:
            record.known = True
            if kind.deprecated:
                record.notes["k8s.io/deprecated"] = "true"
                if (removed := _REMOVED.search(kind.deprecated)) is not None:
                    record.notes["k8s.io/removed-release"] = removed[1]
        notes.begin(record.notes)
        self._tell(record, RECEIVED)
        if request.upgrade is not None and routes.long_running(call):
            request.upgrade = self._upgraded(record, request.upgrade)
        return record

    def answered(self, record: Record, response: Response) -> None:
        if record.plan.level is Level.NONE:
            return
        if not routes.long_running(record.call) or response is UPGRADED or response.status >= 400:
            self._complete(record, response)
            return
        self._tell(record, STARTED, response.status)
        if isinstance(response.body, bytes):
            self._tell(record, COMPLETE, response.status, response.body)
        else:
            response.body = _Followed(response.body, lambda _: self._tell(record, COMPLETE, response.status))

    def failed(self, record: Record, why: str) -> None:
        """A bug answered it, or the client left before it was answered."""
        if record.plan.level is not Level.NONE:
            self._tell(record, PANIC, 500, panic=why)

    def _complete(self, record: Record, response: Response) -> None:
        if isinstance(response.body, bytes):
            self._tell(record, COMPLETE, response.status, response.body)
            return
        keeps = record.plan.level is Level.REQUEST_RESPONSE
        response.body = _Followed(
            response.body,
            lambda kept: self._tell(record, COMPLETE, response.status, kept),
            ANSWER_BYTES if keeps else 0,
        )

    def unknown(self, request: Request, response: Response, audit_id: str) -> None:
        """It was not found out who asks."""
        asked = routes.parse(request, ANONYMOUS)
        plan = self._policy.plan(asked, None)
        self._counts.levels.add(plan.level.text)
        if plan.level is not Level.NONE:
            record = Record(plan, audit_id, asked, None, self._clock.now())
            self._tell(record, STARTED, response.status, response.body if isinstance(response.body, bytes) else b"")

    def _tell(self, record: Record, stage: str, status: int = 0, answer: bytes = b"", panic: str = "") -> None:
        if stage in record.plan.omitted:
            return
        if record.plan.level < Level.REQUEST_RESPONSE and status < 400 and not answer.startswith(b'{"kind":"Status"'):
            answer = b""  # nobody reads it
        self._counts.events.add()
        if not self._sink.put(Entry(record, stage, self._clock.now(), status, answer, panic)):
            self._counts.lost.add("log")

    def _upgraded(
        self, record: Record, upgrade: Callable[[int, Sequence[tuple[str, str]]], Awaitable[Tunnel]]
    ) -> Callable[[int, Sequence[tuple[str, str]]], Awaitable[Tunnel]]:
        async def told(status: int, headers: Sequence[tuple[str, str]]) -> Tunnel:
            self._tell(record, STARTED, status)
            return await upgrade(status, headers)

        return told


class Audited:
    """The way of every request while there is an audit. handle: the chain."""

    def __init__(self, auditor: Auditor, authenticator: Authenticator, authorizer: Authorizer, chain: Handler) -> None:
        self._auditor = auditor
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._chain = chain

    async def handle(self, request: Request) -> Response:
        audit_id = request.headers.get("audit-id", "")[:AUDIT_ID_LONGEST]
        if not audit_id or not audit_id.isprintable():
            audit_id = self._auditor.new_id()
            request.headers = {**request.headers, "audit-id": audit_id}
        try:
            user = self._authenticator.authenticate(request)
        except (ApiError, Retryable):
            response = await self._chain(request)
            self._auditor.unknown(request, response, audit_id)
            return response
        record = self._auditor.received(request, user, audit_id)
        if record.plan.level is not Level.NONE:
            self._look_at(record, user)
        try:
            response = await self._chain(request)
        except asyncio.CancelledError:
            self._auditor.failed(record, "the client left before it was answered")
            raise
        self._auditor.answered(record, response)
        return response

    def _look_at(self, record: Record, user: User) -> None:
        """As whom it is answered, and why it may be or may not."""
        call = record.call
        try:
            speaks = impersonated(call.request, user, self._authorizer)
        except ApiError:
            return  # and that is what it will be told
        if speaks is not user:
            record.impersonated = speaks
        decision = self._authorizer.decide(replace(routes.attributes(call), user=speaks))
        record.notes["authorization.k8s.io/decision"] = "allow" if decision.allowed else "forbid"
        record.notes["authorization.k8s.io/reason"] = decision.reason


class _Followed:
    """A body whose end is told, once, with what there was of it if that was to be kept and is not too much."""

    def __init__(self, body: AsyncIterator[bytes], ended: Callable[[bytes], None], keep_bytes: int = 0) -> None:
        self._body = body
        self._ended: Callable[[bytes], None] | None = ended
        self._room = keep_bytes
        self._kept: list[bytes] = []

    def pipe(self, push: Push) -> None:
        if self._room <= 0 and isinstance(self._body, Piped):
            self._body.pipe(push)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self if self._room > 0 else self._body.__aiter__()

    async def __anext__(self) -> bytes:
        piece = await anext(self._body)
        self._room -= len(piece)
        if self._room >= 0:
            self._kept.append(piece)
        else:
            self._kept.clear()
        return piece

    async def aclose(self) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(b"".join(self._kept))
        closing: Any = getattr(self._body, "aclose", None)
        if closing is not None:
            await closing()
