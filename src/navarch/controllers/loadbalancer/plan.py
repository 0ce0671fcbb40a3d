"""Who gets which address: of all Services of type LoadBalancer together, for two may not have the same.

An address that a Service has stays its own while the pool has it. With the nodes' own addresses, a Service is told
those of all nodes that may take traffic from outside, and two Services cannot have the same port; the older one has it.

Source: https://kubernetes.io/docs/concepts/services-networking/service/#loadbalancer
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from navarch.controllers.beginning import SOON_S
from navarch.controllers.loadbalancer.pool import Pool
from navarch.controllers.plan import Event, Plan, Status
from navarch.kinds.object import Object
from navarch.kinds.service import ServiceSpec
from navarch.objects import condition
from navarch.objects.value import Document

CLASS = "navarch.io/pool"
"""The `loadBalancerClass` that asks for this one where there are several; without a class it is asked too."""
PENDING = "LoadBalancerPending"
Ports = frozenset[tuple[str, int]]
"""Protocol and number."""


@dataclass(frozen=True, slots=True)
class Observed:
    """services: all that `concerns_us`, and others too. pool: None when nobody gives addresses. beginning: some may
    have been given that are not known yet.

    nodes: name -> addresses of those that take traffic from outside. local: of Services that are served where their
    pods are (namespace and name), the nodes that have ready ones. reserved: ports of the nodes' own.
    """

    services: Sequence[Object]
    pool: Pool | None
    nodes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    local: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    reserved: Ports = frozenset()
    beginning: bool = False


@dataclass(frozen=True, slots=True)
class Given:
    """Where a Service is reached, or why it is not."""

    addresses: tuple[str, ...] = ()
    reason: str = ""
    trouble: str = ""


def asked_of_us(service: Object) -> bool:
    spec: ServiceSpec = service.view.spec
    return spec.type == "LoadBalancer" and spec.load_balancer_class in ("", CLASS)


def concerns_us(service: Object) -> bool:
    """Asked of us, or reached from outside no longer though its status says so; what others balance is theirs."""
    left_over = service.view.spec.type != "LoadBalancer" and bool(addresses_of(service))
    return asked_of_us(service) or left_over


def addresses_of(service: Object) -> tuple[str, ...]:
    return tuple(each.ip for each in service.view.status.load_balancer.ingress if each.ip)


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    if observed.pool is None:
        return Plan()
    if observed.beginning:
        return Plan(requeue_after_s=SOON_S)
    ordered = sorted(filter(concerns_us, observed.services), key=_age)
    given = _of_nodes(observed, ordered) if observed.pool.of_nodes else _of_pool(observed.pool, ordered)
    written = (_written(service, given[service.key], now) for service in ordered)
    return Plan(tuple(action for action in written if action is not None))


def _age(service: Object) -> tuple[bool, str, str, str]:
    """Those that have addresses first, then the older."""
    created = service.view.metadata.creation_timestamp
    return not addresses_of(service), created.isoformat() if created else "", service.namespace, service.name


def _of_pool(pool: Pool, services: Sequence[Object]) -> dict[tuple[str, str], Given]:
    """An address that somebody is to give up is free once their status says so: writes of one plan go out at once."""
    found: dict[tuple[str, str], Given] = {}
    taken: set[str] = set()
    kept = {service.key: _kept(service, pool, taken) for service in services if asked_of_us(service)}
    taken.update(address for service in services for address in addresses_of(service))
    for service in services:
        found[service.key] = Given()
        if service.key in kept:
            found[service.key] = _completed(service, pool, kept[service.key], taken)
            taken.update(found[service.key].addresses)
    return found


def _kept(service: Object, pool: Pool, taken: set[str]) -> dict[str, str]:
    """By family, the addresses that stay; they are taken then."""
    spec: ServiceSpec = service.view.spec
    kept = {}
    for family in spec.ip_families:
        for address in addresses_of(service):
            if pool.has(address, family) and address not in taken and spec.load_balancer_ip in ("", address):
                kept[family] = address
                taken.add(address)
                break
    return kept


def _completed(service: Object, pool: Pool, kept: Mapping[str, str], taken: set[str]) -> Given:
    """With an address of each family that it has not one of."""
    spec: ServiceSpec = service.view.spec
    if spec.load_balancer_ip:
        return _wanted(spec, pool, kept, taken)
    found = {family: kept.get(family) or pool.free(family, taken) for family in spec.ip_families}
    present = tuple(address for address in found.values() if address)
    lacking = [family for family, address in found.items() if not address]
    if not present or (lacking and spec.ip_family_policy == "RequireDualStack"):
        return Given((), "PoolExhausted", f"the pool has no {' and no '.join(lacking or ['IPv4'])} address left")
    return Given(present)


def _wanted(spec: ServiceSpec, pool: Pool, kept: Mapping[str, str], taken: set[str]) -> Given:
    wanted = spec.load_balancer_ip
    if wanted in kept.values():
        return Given((wanted,))
    if not any(pool.has(wanted, family) for family in spec.ip_families):
        return Given((), "NotInPool", f"the pool has no address {wanted} for {' or '.join(spec.ip_families)}")
    if wanted in taken:
        return Given((), "AddressTaken", f"another Service has {wanted}")
    return Given((wanted,))


def _of_nodes(observed: Observed, services: Sequence[Object]) -> dict[tuple[str, str], Given]:
    taken: dict[tuple[str, int], str] = dict.fromkeys(observed.reserved, "the nodes themselves have")
    found: dict[tuple[str, str], Given] = {}
    for service in services:
        found[service.key] = Given()
        if not asked_of_us(service):
            continue
        spec: ServiceSpec = service.view.spec
        ports = [(port.protocol, port.port) for port in spec.ports]
        clash = next((port for port in ports if port in taken), None)
        if clash is not None:
            text = f"{taken[clash]} port {clash[1]}/{clash[0]} of the nodes' addresses"
            found[service.key] = Given((), "PortTaken", text)
            continue
        taken.update(dict.fromkeys(ports, f"{service.namespace}/{service.name} has"))
        found[service.key] = _where(observed, service, spec)
    return found


def _where(observed: Observed, service: Object, spec: ServiceSpec) -> Given:
    names = sorted(observed.nodes)
    if spec.external_traffic_policy == "Local":
        local = observed.local.get(service.key, frozenset())
        names = [name for name in names if name in local]
    addresses = [
        address
        for name in names
        for address in observed.nodes[name]
        if ("IPv6" if ":" in address else "IPv4") in spec.ip_families
    ]
    if not addresses:
        return Given((), "NoNode", "no node takes traffic from outside for it")
    return Given(tuple(dict.fromkeys(addresses)))


def _written(service: Object, given: Given, now: datetime) -> Status | None:
    status: Document = service.document().get("status") or {}
    conditions = [one for one in status.get("conditions") or () if one.get("type") != PENDING]
    if given.trouble:
        pending = {"type": PENDING, "status": "True", "reason": given.reason, "message": given.trouble}
        conditions = condition.set(status.get("conditions"), pending, now)
    wanted = {**status, "loadBalancer": _ingress(status, given)}
    if conditions:
        wanted["conditions"] = conditions
    else:
        wanted.pop("conditions", None)
    if wanted == status:
        return None
    return Status(service, wanted, done=_told(service, given))


def _ingress(status: Document, given: Given) -> Document:
    before = {each.get("ip"): each for each in (status.get("loadBalancer") or {}).get("ingress") or ()}
    if not given.addresses:
        return {}
    return {"ingress": [before.get(each) or {"ip": each, "ipMode": "VIP"} for each in given.addresses]}


def _told(service: Object, given: Given) -> Event | None:
    if given.trouble:
        return Event(service, "AllocationFailed", f"Failed to allocate an address: {given.trouble}", "Warning")
    if given.addresses and set(given.addresses) != set(addresses_of(service)):
        return Event(service, "IPAllocated", f"Assigned IP {', '.join(given.addresses)}")
    return None
