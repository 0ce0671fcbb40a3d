"""Logs, exec, attach, port-forward and proxies: handed on to the node that has the pod, both ways, untouched.

Authorization is over when a call gets here, except that opening a stream into a pod asks for `create`, whatever the
method. What the streams mean is between the client and the agent. Proxies are in `proxies`.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ (the proxy operations)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlencode

from navarch.apiserver import forwarding, pod_options, targets
from navarch.apiserver.authz.messages import refused
from navarch.apiserver.call import Authorizer, Call, Reads
from navarch.apiserver.dialer import Declined, NodeDialer
from navarch.apiserver.proxies import SERVED as PROXIED
from navarch.apiserver.proxies import Proxies
from navarch.apiserver.routes import attributes
from navarch.base.clock import Ids
from navarch.base.errors import BadRequest, Internal, MethodNotAllowed, NotFound, Unavailable
from navarch.kinds import POD
from navarch.kinds.object import Object
from navarch.wire.join import join
from navarch.wire.message import UPGRADED, Request, Response

STREAMED = frozenset((("pods", "exec"), ("pods", "attach"), ("pods", "portforward")))
SERVED = PROXIED | STREAMED | {("pods", "log")}
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


class Streams:
    """Answers the calls that `serves` says. dialer: None where there are no nodes to reach."""

    def __init__(self, reads: Reads, authorizer: Authorizer, dialer: NodeDialer | None, ids: Ids) -> None:
        self._reads = reads
        self._authorizer = authorizer
        self._dialer = dialer
        self._proxies = Proxies(reads, ids, self._dial, self._joined)

    def serves(self, call: Call) -> bool:
        return not call.group and (call.resource, call.subresource) in SERVED

    def hands_on(self, call: Call) -> bool:
        """Whether its body is for whoever it is handed on to."""
        return not call.group and (call.resource, call.subresource) in PROXIED

    async def handle(self, call: Call) -> Response:
        """Raises: ApiError."""
        if call.subresource == "log":
            return await self._log(call)
        if call.subresource == "proxy":
            return await self._proxies.handle(call)
        return await self._stream(call)

    async def _log(self, call: Call) -> Response:
        if call.verb != "get":
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        request = call.request
        query = pod_options.log_query(request, call.name)
        pod = self._pod(call.namespace, call.name)
        container = targets.container_of(pod, request.param("container"))
        node = pod.view.spec.node_name
        if not node:
            return Response(200, (("Content-Type", "text/plain"),), b"")
        target = f"/containerLogs/{pod.namespace}/{pod.name}/{container}"
        insecure = pod_options.flag(request, "insecureSkipTLSVerifyBackend")
        asked = _with_query(target, query)
        return forwarding.returned(await self._dial().request(node, "GET", asked, insecure=insecure))

    async def _stream(self, call: Call) -> Response:
        if call.request.method not in ("GET", "POST"):
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        if call.verb == "get":
            asked = replace(attributes(call), verb="create")
            decision = self._authorizer.decide(asked)
            if not decision.allowed:
                raise refused(asked, decision.reason)
        request = call.request
        pod = self._pod(call.namespace, call.name)
        if call.subresource == "portforward":
            node = targets.node_of(pod)
            target = f"/portForward/{pod.namespace}/{pod.name}"
            query = pod_options.forward_query(request)
        else:
            container = targets.container_of(pod, request.param("container"))
            node = targets.node_of(pod)
            target = f"/{call.subresource}/{pod.namespace}/{pod.name}/{container}"
            query = pod_options.stream_query(request, call.subresource)
        headers = [
            (name, forwarding.own_protocols(value) if name == "sec-websocket-protocol" else value)
            for name, value in request.headers.items()
            if name in UPGRADE_HEADERS
        ]
        return await self._joined(request, node, _with_query(target, query), headers)

    async def _joined(self, request: Request, node: str, target: str, headers: list[tuple[str, str]]) -> Response:
        """Open the stream on the node, then to the client, and pass bytes on until either ends."""
        if request.upgrade is None:
            raise BadRequest("Upgrade request required")
        try:
            status, answered, far = await self._dial().upgrade(node, target, headers)
        except Declined as declined:
            answer = declined.response
            if answer.status < 400:
                raise Internal(f"invalid upgrade response: status code {answer.status}") from declined
            return forwarding.returned(answer)
        try:
            near = await request.upgrade(status, answered)
            await join(near, far)
        finally:
            await far.close()
        return UPGRADED

    def _pod(self, namespace: str, name: str) -> Object:
        found = self._reads.get(POD, namespace, name)
        if found is None:
            raise NotFound(f'pods "{name}" not found', kind="pods", name=name)
        return found

    def _dial(self) -> NodeDialer:
        if self._dialer is None:
            raise Unavailable("this server reaches no nodes: it was started without a way to their agents")
        return self._dialer


def _with_query(target: str, query: Sequence[tuple[str, str]]) -> str:
    return f"{target}?{urlencode(query)}" if query else target
