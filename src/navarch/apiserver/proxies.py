"""`pods/proxy`, `services/proxy` and `nodes/proxy`: any request, handed on through the agent of the node it is for.

Authorization is over when a call gets here. The agent reaches its pods by what its runtime says of them, so what an
object claims about addresses leads nowhere; claims that Kubernetes refuses are refused here too.

Source: https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/#accessing-services-running-on-the-cluster
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from navarch.apiserver import forwarding, targets
from navarch.apiserver.call import Call, Reads
from navarch.apiserver.dialer import NodeDialer
from navarch.apiserver.rewriting import Rewriter, escaped, sub_path
from navarch.apiserver.routes import tail
from navarch.apiserver.targets import Backend
from navarch.base.clock import Ids
from navarch.base.errors import MethodNotAllowed, NotFound, Unavailable
from navarch.kinds import ENDPOINTSLICE, NODE, POD, SERVICE
from navarch.kinds.endpointslice import SERVICE_LABEL
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.wire.message import Request, Response

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
SERVED = frozenset((("pods", "proxy"), ("nodes", "proxy"), ("services", "proxy")))

Join = Callable[[Request, str, str, list[tuple[str, str]]], Awaitable[Response]]
"""Opens an upgraded connection: (request, node, target at its agent, headers)."""


@dataclass(frozen=True, slots=True)
class Place:
    """base: the path at the node's agent under which the proxied server is. host: what that server calls itself."""

    node: str
    base: str
    host: str


class Proxies:
    """dial: the way to the nodes, or Unavailable raised. joined: see `Join`."""

    def __init__(self, reads: Reads, ids: Ids, dial: Callable[[], NodeDialer], joined: Join) -> None:
        self._reads = reads
        self._ids = ids
        self._dial = dial
        self._joined = joined

    async def handle(self, call: Call) -> Response:
        """Raises: ApiError."""
        request = call.request
        if request.method not in METHODS:
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        place, rest = self._place(call), tail(call)
        path = sub_path(rest)
        raw_path, question, query = request.target.partition("?")
        target = place.base + escaped(path or "/") + question + query
        headers = forwarding.sent_on(request)
        if request.upgrade is not None:
            return await self._joined(request, place.node, target, headers)
        if not path and request.method in ("GET", "HEAD"):
            return Response(301, [("Location", f"{raw_path}/{question}{query}")])
        prefix = call.path.removesuffix(rest)
        headers = [(name, value) for name, value in headers if name != "x-forwarded-uri"]
        headers.append(("x-forwarded-uri", escaped(prefix + path)))
        answer = await self._dial().request(place.node, request.method, target, headers, request.content)
        rewriter = Rewriter(prefix, (place.host, request.headers.get("host", "")))
        return rewriter.answer(forwarding.returned(answer))

    def _place(self, call: Call) -> Place:
        if call.resource == "nodes":
            return self._node(call.name)
        backend = self._pod(call) if call.resource == "pods" else self._service(call)
        base = f"/podProxy/{backend.namespace}/{backend.pod}/{backend.scheme}/{backend.port}"
        return Place(backend.node, base, backend.host)

    def _node(self, asked: str) -> Place:
        scheme, name, port = targets.split_name(asked, "node")
        status = self._get(NODE, "", name).document().get("status", {})
        agent = str(status.get("daemonEndpoints", {}).get("kubeletEndpoint", {}).get("Port", ""))
        addresses = {entry["type"]: entry["address"] for entry in reversed(status.get("addresses", []))}
        host = addresses.get("InternalIP", name)
        targets.check_address(host)
        host = f"[{host}]" if ":" in host else host
        if not port or port == agent:
            return Place(name, "", f"{host}:{agent}")
        return Place(name, f"/nodeProxy/{scheme or 'http'}/{targets.number(port)}", f"{host}:{port}")

    def _pod(self, call: Call) -> Backend:
        scheme, name, port = targets.split_name(call.name, "pod")
        return targets.pod_backend(self._get(POD, call.namespace, name), scheme, port)

    def _service(self, call: Call) -> Backend:
        scheme, name, port = targets.split_name(call.name, "service")
        service = self._get(SERVICE, call.namespace, name)
        slices = self._reads.where(ENDPOINTSLICE, labels=f"{SERVICE_LABEL}={name}")
        found = targets.service_backends(slices, service, scheme, port)
        found = [one for one in found if targets.is_at(self._reads.get(POD, one.namespace, one.pod), one.address)]
        if not found:
            raise Unavailable(f'no endpoints available for service "{call.name}"')
        return found[int(self._ids.fraction() * len(found))]

    def _get(self, kind: Kind, namespace: str, name: str) -> Object:
        found = self._reads.get(kind, namespace, name)
        if found is None:
            raise NotFound(f'{kind.plural} "{name}" not found', kind=kind.plural, name=name)
        return found
