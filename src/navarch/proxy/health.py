"""What load balancers ask of a node: has it endpoints of this Service, and is its proxy well.

A Service with `externalTrafficPolicy: Local` has a port of its own for that question (`healthCheckNodePort`), on every
node; the proxy's own page answers for all others. Answers are those of kube-proxy.

Source: https://kubernetes.io/docs/reference/networking/virtual-ips/#traffic-policies, KEP-3836 (`nodeEligible`)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import orjson

from navarch.base.backoff import delay_s
from navarch.base.clock import Clock
from navarch.base.log import Log
from navarch.kinds.endpointslice import EndpointSlice
from navarch.kinds.service import Service
from navarch.wire.http import ListenError, Server
from navarch.wire.message import Request, Response

PAGE_PORT = 10256
FIRST_DELAY_S, LONGEST_DELAY_S = 1.0, 60.0

log = Log("proxy")


class Check(NamedTuple):
    """local_endpoints: ready ones of the Service on this node."""

    port: int
    namespace: str
    name: str
    local_endpoints: int


class Standing(NamedTuple):
    """How the proxy is. healthy: what it was told to do it does. eligible: load balancers may go on to use the node."""

    healthy: bool
    eligible: bool
    updated: datetime
    now: datetime


def check_of(service: Service, slices: Sequence[EndpointSlice], node: str) -> Check | None:
    """None for a Service that nobody asks about on a port of its own."""
    spec = service.spec
    if spec.type != "LoadBalancer" or spec.external_traffic_policy != "Local" or not spec.health_check_node_port:
        return None
    near: dict[str, set[str]] = {}
    for part in slices:
        for endpoint in part.endpoints:
            if endpoint.ready and endpoint.node_name == node and endpoint.addresses:
                near.setdefault(part.address_type, set()).add(endpoint.addresses[0])
    # Who has an address of either family is one endpoint.
    count = max(map(len, near.values()), default=0)
    return Check(spec.health_check_node_port, service.metadata.namespace, service.metadata.name, count)


def answer(check: Check, standing: Standing) -> Response:
    document = {
        "service": {"namespace": check.namespace, "name": check.name},
        "localEndpoints": check.local_endpoints,
        "serviceProxyHealthy": standing.healthy,
    }
    serves = check.local_endpoints > 0 and standing.healthy
    weight = ("X-Load-Balancing-Endpoint-Weight", str(check.local_endpoints))
    return _json(document, serves, weight)


def page(path: str, standing: Standing) -> Response:
    """`/livez` is about the proxy alone, `/healthz` about the node's use too."""
    if path not in ("/healthz", "/livez"):
        return Response(404, (("Content-Type", "text/plain; charset=utf-8"),), b"404 page not found\n")
    document = {"lastUpdated": str(standing.updated), "currentTime": str(standing.now)}
    if path == "/livez":
        return _json(document, standing.healthy)
    return _json({**document, "nodeEligible": standing.eligible}, standing.healthy and standing.eligible)


def _json(document: Mapping[str, object], well: bool, *headers: tuple[str, str]) -> Response:
    content = (("Content-Type", "application/json"), ("X-Content-Type-Options", "nosniff"))
    return Response(200 if well else 503, (*content, *headers), orjson.dumps(document))


class HealthPorts:
    """The ports on which questions are answered. addresses: the node's. page_port: 0 for none."""

    def __init__(
        self, addresses: Sequence[str], standing: Callable[[], Standing], clock: Clock, page_port: int = PAGE_PORT
    ) -> None:
        self._addresses = tuple(addresses)
        self._standing = standing
        self._clock = clock
        self._page_port = page_port
        self._checks: dict[str, Check] = {}
        self._changed = asyncio.Event()

    def put(self, name: str, check: Check | None) -> None:
        """name: of whom it is about. A port that is asked for twice answers for the one that had it first."""
        if check is None:
            gone = self._checks.pop(name, None)
        else:
            gone, self._checks[name] = self._checks.get(name), check
        if (gone.port if gone else 0) != (check.port if check else 0):
            self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        open_: dict[int, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                wanted = {check.port for check in self._checks.values()} | ({self._page_port} - {0})
                for port in open_.keys() - wanted:
                    open_.pop(port).cancel()
                for port in wanted - open_.keys():
                    open_[port] = group.create_task(self._serve(port))
                await self._changed.wait()
                self._changed.clear()

    async def _serve(self, port: int) -> None:
        async def handle(request: Request) -> Response:
            found = next((each for each in self._checks.values() if each.port == port), None)
            if found is None:
                return page(request.path, self._standing())
            return answer(found, self._standing())

        failures = 0
        while True:
            async with Server(handle, clock=self._clock, grace_s=0.5) as server:
                try:
                    for address in self._addresses:
                        await server.listen(address, port, tls=False)
                    await asyncio.get_running_loop().create_future()
                except ListenError as error:
                    log.warning("health cannot be asked about on a port; it is tried again", port=port, error=error)
            await self._clock.sleep(delay_s(failures, FIRST_DELAY_S, LONGEST_DELAY_S))
            failures += 1
