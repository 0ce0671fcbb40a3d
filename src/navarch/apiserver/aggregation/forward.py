"""One request, handed on to the server that answers for its group and version.

The caller's credentials stay here; who asks is said by headers. Redirects are neither followed nor passed on, since
what they lead to would be asked with a user's rights. Refusals are plain text, as upstream's aggregator gives them.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from navarch.apiserver import forwarding
from navarch.apiserver.aggregation.identity import headers_of
from navarch.apiserver.aggregation.remote import Remote
from navarch.apiserver.call import Call, User
from navarch.apiserver.outgoing import Outgoing, Streamed, Target, Unreachable, bundle_of
from navarch.apiserver.resolving import Reach
from navarch.apiserver.rewriting import Rewriter, escaped
from navarch.apiserver.routes import long_running
from navarch.base.errors import NotFound, Unavailable
from navarch.base.log import Log
from navarch.base.pki import Pair
from navarch.wire.join import join
from navarch.wire.message import UPGRADED, Request, Response
from navarch.wire.upgrade import upgrade

log = Log("apiserver.aggregation")

TEXT = (("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"))
REDIRECTED = b"the backend attempted to redirect this request, which is not permitted"
HEADERS_S = 60.0
LONG_HEADERS_S = 3600.0
"""A server may begin the answer to a watch with its first event."""


def refused(status: int, message: str) -> Response:
    return Response(status, TEXT, f"{message}\n".encode())


def target_of(reach: Reach, remote: Remote, pair: Pair | None) -> Target:
    """Raises: Unreachable."""
    found = reach.service(remote.namespace, remote.service, remote.port)
    return replace(found, bundle=bundle_of(remote.bundle), insecure=remote.insecure, pair=pair)


async def forward(reach: Reach, remote: Remote, pair: Pair | None, call: Call) -> Response:
    """Raises: NotFound: a path that leads elsewhere than it seems."""
    request = call.request
    if any(part in (".", "..") for part in request.path.split("/")):
        raise NotFound("the server could not find the requested resource")
    if not remote.available:
        return refused(503, "service unavailable")
    try:
        target = target_of(reach, remote, pair)
    except Unreachable as error:
        log.warning("no way to an aggregated server", name=remote.name, error=error)
        return refused(503, "service unavailable")
    target = replace(target, path=escaped(request.path))
    headers = _headers(request, call.user, target)
    query = request.target.partition("?")[2]
    if request.upgrade is not None:
        return await _upgraded(reach.outgoing, request, target, query, headers)
    patience_s = LONG_HEADERS_S if long_running(call) else HEADERS_S
    try:
        answer = await reach.outgoing.open(
            target, request.method, query, headers=headers, body=request.content, headers_s=patience_s
        )
    except Unreachable as error:
        return refused(503, f"error trying to reach service: {error}")
    location = any(name.lower() == "location" and value for name, value in answer.headers)
    if 300 <= answer.status <= 399 and location:
        await _dropped(answer)
        return Response(502, (), REDIRECTED)
    returned = forwarding.returned(Response(answer.status, answer.headers, _guarded(answer.body)))
    return Rewriter("", (target.authority, request.headers.get("host", ""))).answer(returned)


def _headers(request: Request, user: User, target: Target) -> list[tuple[str, str]]:
    dropped = ("host", "x-forwarded-uri", "x-forwarded-host", "x-forwarded-proto")
    sent = [(name, value) for name, value in forwarding.sent_on(request) if name not in dropped]
    forwarded = [("X-Forwarded-Uri", target.path), ("X-Forwarded-Host", target.authority)]
    return [*sent, *forwarded, ("X-Forwarded-Proto", "https"), *headers_of(user)]


async def _upgraded(
    outgoing: Outgoing, request: Request, target: Target, query: str, headers: list[tuple[str, str]]
) -> Response:
    assert request.upgrade is not None
    asked = target.path + (f"?{query}" if query else "")
    try:
        status, answered, far, body = await upgrade(
            target.host,
            target.port,
            asked,
            [("Host", target.authority), *headers],
            method=request.method,
            tls=outgoing.context(target),
            server_name=target.name,
        )
    except (Unreachable, Unavailable) as error:
        return refused(503, f"error dialing backend: {error}")
    if status != 101:
        if status < 400:
            return refused(503, f"invalid upgrade response: status code {status}")
        return forwarding.returned(Response(status, answered, body))
    try:
        near = await request.upgrade(status, answered)
        await join(near, far)
    finally:
        await far.close()
    return UPGRADED


async def _guarded(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A body that breaks off is the other server's fault: no bug of ours."""
    try:
        async for piece in body:
            yield piece
    except Unreachable as error:
        raise Unavailable(str(error)) from error
    finally:
        if hasattr(body, "aclose"):
            await body.aclose()


async def _dropped(answer: Streamed) -> None:
    """Give the connection up. An iterator that never began would not close what it holds."""
    async for _ in answer.body:
        break
    if hasattr(answer.body, "aclose"):
        await answer.body.aclose()
