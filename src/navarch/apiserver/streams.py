"""Logs, exec, attach, port-forward and proxies: handed on to the node that has the pod, both ways, untouched.

Authorization is over when a call gets here, except that opening a stream into a pod asks for `create`, whatever the
method. What the streams mean is between the client and the agent.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ (the proxy operations)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import quote, urlencode

from navarch.apiserver import targets
from navarch.apiserver.authn.authenticator import WEBSOCKET_BEARER
from navarch.apiserver.authz.messages import refused
from navarch.apiserver.call import Authorizer, Call, Reads
from navarch.apiserver.dialer import NodeDialer
from navarch.apiserver.routes import attributes, tail
from navarch.apiserver.targets import Backend
from navarch.base.clock import Ids
from navarch.base.errors import BadRequest, MethodNotAllowed, NotFound, Unavailable
from navarch.kinds import ENDPOINTSLICE, NODE, POD, SERVICE
from navarch.kinds.endpointslice import SERVICE_LABEL
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.wire.join import join
from navarch.wire.message import UPGRADED, Request, Response

SERVED = frozenset(
    (
        ("pods", "log"),
        ("pods", "exec"),
        ("pods", "attach"),
        ("pods", "portforward"),
        ("pods", "proxy"),
        ("nodes", "proxy"),
        ("services", "proxy"),
    )
)
LOG_OPTIONS = (
    "follow",
    "previous",
    "sinceSeconds",
    "sinceTime",
    "timestamps",
    "tailLines",
    "limitBytes",
    "stream",
)
STREAMS = (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty"))
"""What clients call them, and what a kubelet does."""
TRUE = ("1", "t", "T", "TRUE", "true", "True")
UPGRADE_HEADERS = frozenset(
    (
        "upgrade",
        "connection",
        "sec-websocket-key",
        "sec-websocket-version",
        "sec-websocket-protocol",
        "sec-websocket-extensions",
        "x-stream-protocol-version",
        "user-agent",
        "origin",
    )
)
NOT_FORWARDED = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "authorization",
        "host",
        "expect",
    )
)
"""Hop by hop (RFC 9110, section 7.6.1), and the credentials that are meant for us."""
NOT_RETURNED = NOT_FORWARDED | {"date"}


class Streams:
    """Answers the calls that `serves` says. dialer: None where there are no nodes to reach."""

    def __init__(self, reads: Reads, authorizer: Authorizer, dialer: NodeDialer | None, ids: Ids) -> None:
        self._reads = reads
        self._authorizer = authorizer
        self._dialer = dialer
        self._ids = ids

    def serves(self, call: Call) -> bool:
        return not call.group and (call.resource, call.subresource) in SERVED

    async def handle(self, call: Call) -> Response:
        """Raises: ApiError."""
        if call.subresource == "log":
            return await self._log(call)
        if call.subresource == "proxy":
            return await self._proxy(call)
        return await self._stream(call)

    async def _log(self, call: Call) -> Response:
        if call.verb != "get":
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        request = call.request
        pod = self._get(POD, call.namespace, call.name)
        container = targets.container_of(pod, request.param("container"))
        _check_log_options(request)
        node = pod.view.spec.node_name
        if not node:
            return Response(200, (("Content-Type", "text/plain"),), b"")
        asked = [(key, request.param(key)) for key in LOG_OPTIONS if request.params(key)]
        target = f"/containerLogs/{pod.namespace}/{pod.name}/{container}"
        answer = await self._dial().request(node, "GET", _with_query(target, asked))
        return _returned(answer)

    async def _stream(self, call: Call) -> Response:
        if call.verb not in ("get", "create"):
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        if call.verb == "get":
            asked = replace(attributes(call), verb="create")
            decision = self._authorizer.decide(asked)
            if not decision.allowed:
                raise refused(asked, decision.reason)
        request = call.request
        pod = self._get(POD, call.namespace, call.name)
        if call.subresource == "portforward":
            node = targets.node_of(pod)
            target = f"/portForward/{pod.namespace}/{pod.name}"
            query = [("port", port) for text in request.params("ports") for port in text.split(",") if port]
        else:
            container = targets.container_of(pod, request.param("container"))
            node = targets.node_of(pod)
            target = f"/{call.subresource}/{pod.namespace}/{pod.name}/{container}"
            query = [(theirs, "1") for ours, theirs in STREAMS if request.param(ours) in TRUE]
            if call.subresource == "exec":
                commands = request.params("command")
                if not commands:
                    raise BadRequest("you must specify at least 1 command for the container")
                query += [("command", command) for command in commands]
            if not query:
                raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
        return await self._joined(request, node, _with_query(target, query))

    async def _joined(self, request: Request, node: str, target: str) -> Response:
        """Open the stream on the node, then to the client, and pass bytes on until either ends."""
        if request.upgrade is None:
            raise BadRequest("Upgrade request required")
        headers = [
            (name, _own_protocols(name, value)) for name, value in request.headers.items() if name in UPGRADE_HEADERS
        ]
        status, answered, far = await self._dial().upgrade(node, target, headers)
        try:
            near = await request.upgrade(status, answered)
            await join(near, far)
        finally:
            await far.close()
        return UPGRADED

    async def _proxy(self, call: Call) -> Response:
        request, path = call.request, tail(call)
        if call.resource == "nodes":
            node = targets.split_name(call.name)[1]
            self._get(NODE, "", node)
            where = (node, path or "/")
        else:
            backend = self._backend(call)
            base = f"/podProxy/{backend.namespace}/{backend.pod}/{backend.scheme}/{backend.port}"
            where = (backend.node, base + (path or "/"))
        query = request.target.partition("?")[2]
        target = quote(where[1], safe="/:@!$&'()*+,;=~-._") + (f"?{query}" if query else "")
        if request.upgrade is not None:
            return await self._joined(request, where[0], target)
        headers = [(name, value) for name, value in request.headers.items() if name not in NOT_FORWARDED]
        return _returned(await self._dial().request(where[0], request.method, target, headers, request.body))

    def _backend(self, call: Call) -> Backend:
        scheme, name, port = targets.split_name(call.name)
        if call.resource == "pods":
            return targets.pod_backend(self._get(POD, call.namespace, name), scheme, port)
        service = self._get(SERVICE, call.namespace, name)
        slices = self._reads.where(ENDPOINTSLICE, labels=f"{SERVICE_LABEL}={name}")
        found = targets.service_backends(slices, service, scheme, port)
        if not found:
            raise Unavailable(f'no endpoints available for service "{call.name}"')
        return found[int(self._ids.fraction() * len(found))]

    def _get(self, kind: Kind, namespace: str, name: str) -> Object:
        found = self._reads.get(kind, namespace, name)
        if found is None:
            raise NotFound(f'{kind.plural} "{name}" not found', kind=kind.plural, name=name)
        return found

    def _dial(self) -> NodeDialer:
        if self._dialer is None:
            raise Unavailable("this server reaches no nodes: it was started without a way to their agents")
        return self._dialer


def _with_query(target: str, query: Sequence[tuple[str, str]]) -> str:
    return f"{target}?{urlencode(query)}" if query else target


def _own_protocols(name: str, value: str) -> str:
    """Tokens that browsers send as a WebSocket protocol are for us alone."""
    if name != "sec-websocket-protocol":
        return value
    offered = [protocol.strip() for protocol in value.split(",")]
    return ", ".join(protocol for protocol in offered if not protocol.startswith(WEBSOCKET_BEARER))


def _returned(answer: Response) -> Response:
    headers = [(name, value) for name, value in answer.headers if name.lower() not in NOT_RETURNED]
    return Response(answer.status, headers, answer.body)


def _check_log_options(request: Request) -> None:
    """Raises: BadRequest."""
    for key, least in (("tailLines", 0), ("sinceSeconds", 1), ("limitBytes", 1)):
        text = request.param(key)
        if text and not (text.removeprefix("-").isdigit() and int(text) >= least):
            what = "greater than or equal to 0" if least == 0 else "greater than 0"
            raise BadRequest(f'PodLogOptions is invalid: {key}: Invalid value: "{text}": must be {what}')
    if request.param("sinceSeconds") and request.param("sinceTime"):
        raise BadRequest("PodLogOptions is invalid: at most one of `sinceTime` or `sinceSeconds` may be specified")
