"""Addresses for Services of type LoadBalancer where no cloud gives any: from a pool, or the nodes' own.

Who on the link answers for an address of the pool is the nodes' matter; this says only whose it is.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from navarch.base.log import Log
from navarch.client.client import Client
from navarch.controllers.beginning import Beginning
from navarch.controllers.controller import Cache, Controller, Watch
from navarch.controllers.endpoints.slices import service_index
from navarch.controllers.loadbalancer.plan import Observed, Ports, asked_of_us, concerns_us, plan
from navarch.controllers.loadbalancer.pool import NAME, NAMESPACE, Pool, pool_of
from navarch.controllers.options import Setup
from navarch.kinds import CONFIGMAP, ENDPOINTSLICE, NODE, SERVICE
from navarch.kinds.endpointslice import SERVICE_LABEL
from navarch.kinds.object import Object

__all__ = ["Observed", "controller", "plan"]

ALL = ""
"""The one key: addresses are given to all Services together."""
OUTSIDE, BY_SERVICE = "load-balanced", "service"
API = ("default", "kubernetes")
SSH_PORT = 22
"""Whoever is at a node from afar is not to be cut off by a Service."""

_log = Log("controllers")


def controller(setup: Setup) -> Controller[Observed]:
    beginning = Beginning(SERVICE)
    settings = _Settings()

    def observe(cache: Cache, key: Hashable) -> Observed | None:
        pool = settings.pool(cache[CONFIGMAP].get(NAMESPACE, NAME))
        if pool is None:
            return None
        services = list(cache[SERVICE].by(OUTSIDE, ALL))
        if not beginning.over(cache[SERVICE]):
            return Observed(services, pool, beginning=True)
        if not pool.of_nodes:
            return Observed(services, pool)
        nodes = {node.name: _addresses(node) for node in cache[NODE].list() if node.view.takes_traffic}
        local = {each.key: _local(cache, each) for each in services if _is_local(each)}
        return Observed(services, pool, nodes, local, _reserved(cache))

    async def confirm(client: Client, observed: Observed) -> Observed:
        if observed.beginning:
            await beginning.ask(client)
        return observed

    return Controller(
        name="service-load-balancer",
        watches=(
            Watch(SERVICE, _of_services, indexes={OUTSIDE: _outside_index}, seldom=True),
            Watch(CONFIGMAP, _of_settings, seldom=True),
            Watch(NODE, _of_nodes, _node_matters),
            Watch(ENDPOINTSLICE, _of_slices, indexes={BY_SERVICE: service_index}, seldom=True),
        ),
        observe=observe,
        confirm=confirm,
        plan=plan,
        component="service-controller",
        account="service-controller",
        workers=1,
    )


class _Settings:
    """Read once a revision, so that what is wrong in them is said once."""

    def __init__(self) -> None:
        self._revision = 0
        self._pool: Pool | None = None

    def pool(self, found: Object | None) -> Pool | None:
        if found is None:
            self._revision, self._pool = 0, None
        elif found.revision != self._revision:
            self._pool, faults = pool_of(found.view.data)
            self._revision = found.revision
            for fault in faults:
                _log.warning("a part of the pool is left out", config_map=f"{NAMESPACE}/{NAME}", fault=fault)
        return self._pool


def _outside_index(service: Object) -> Iterable[str]:
    return (ALL,) if concerns_us(service) else ()


def _of_services(cache: Cache, service: Object) -> Iterable[Hashable]:
    return _outside_index(service)


def _of_settings(cache: Cache, found: Object) -> Iterable[Hashable]:
    return (ALL,) if found.key == (NAMESPACE, NAME) else ()


def _of_nodes(cache: Cache, node: Object) -> Iterable[Hashable]:
    return (ALL,) if cache[CONFIGMAP].get(NAMESPACE, NAME) is not None else ()


def _node_matters(old: Object, new: Object) -> bool:
    return old.view.takes_traffic != new.view.takes_traffic or _addresses(old) != _addresses(new)


def _addresses(node: Object) -> tuple[str, ...]:
    """Those by which it is reached from outside, where it has such."""
    known = node.view.status.addresses
    outer = tuple(each.address for each in known if each.type == "ExternalIP")
    return outer or tuple(each.address for each in known if each.type == "InternalIP")


def _of_slices(cache: Cache, found: Object) -> Iterable[Hashable]:
    service = cache[SERVICE].get(found.namespace, found.labels.get(SERVICE_LABEL, ""))
    return (ALL,) if service is not None and asked_of_us(service) and _is_local(service) else ()


def _is_local(service: Object) -> bool:
    return bool(service.view.spec.external_traffic_policy == "Local")


def _local(cache: Cache, service: Object) -> frozenset[str]:
    slices = cache[ENDPOINTSLICE].by(BY_SERVICE, f"{service.namespace}/{service.name}")
    return frozenset(end.node_name for each in slices for end in each.view.endpoints if end.ready)


def _reserved(cache: Cache) -> Ports:
    """By which nodes are run, and the API server reached."""
    found = {("TCP", SSH_PORT)}
    found |= {("TCP", node.view.status.daemon_endpoints.kubelet_endpoint.port) for node in cache[NODE].list()}
    for each in cache[ENDPOINTSLICE].by(BY_SERVICE, "/".join(API)):
        found |= {(port.protocol, port.port) for port in each.view.ports if port.port}
    return frozenset(found)
