"""Endpoints: the addresses behind a service in the old form, kept for clients that still read it.

Source: https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoints-v1/
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from ipaddress import ip_address

from navarch.base.errors import Cause
from navarch.kinds.kind import Column, Kind
from navarch.kinds.printing import NONE
from navarch.kinds.reference import ObjectReference
from navarch.kinds.rules import Faults, address, is_loose_ip, not_special
from navarch.kinds.view import ObjectMeta, View
from navarch.objects import names
from navarch.objects.value import Document, Draft

SHOWN = 3
"""How many addresses a cell names before it counts the rest."""


class EndpointAddress(View, frozen=True):
    ip: str
    hostname: str = ""
    node_name: str = ""
    target_ref: ObjectReference | None = None


class EndpointPort(View, frozen=True):
    port: int
    name: str = ""
    protocol: str = "TCP"
    app_protocol: str = ""


class EndpointSubset(View, frozen=True):
    """Every address with every port."""

    addresses: tuple[EndpointAddress, ...] = ()
    not_ready_addresses: tuple[EndpointAddress, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


class Endpoints(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    subsets: tuple[EndpointSubset, ...] = ()


def default(draft: Draft) -> None:
    for subset in draft.each("subsets"):
        for port in draft.each("subsets", subset, "ports"):
            draft.default("TCP", "subsets", subset, "ports", port, "protocol")


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    if old is not None and new.get("subsets") == old.get("subsets"):
        return ()
    faults = Faults()
    for index, subset in enumerate(new.get("subsets") or ()):
        path = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            faults.required(path, "must specify `addresses` or `notReadyAddresses`")
        for field in ("addresses", "notReadyAddresses"):
            for number, found in enumerate(subset.get(field) or ()):
                _address(faults, found, f"{path}.{field}[{number}]")
        ports = subset.get("ports") or ()
        for number, port in enumerate(ports):
            _port(faults, port, len(ports) > 1, f"{path}.ports[{number}]")
    return faults.causes


def not_out_of_reach(faults: Faults, value: str, field: str) -> None:
    """Of a good address. Loopback is allowed, unlike in Kubernetes: there a cluster in one process finds extension
    servers, and a server of its own machine alone is found."""
    if not ip_address(value).is_loopback:
        not_special(faults, value, field)


def _address(faults: Faults, found: Document, path: str) -> None:
    good = address(faults, ip := found.get("ip", ""), f"{path}.ip")
    if hostname := found.get("hostname"):
        faults.checked(f"{path}.hostname", hostname, names.dns_label(hostname))
    if (node := found.get("nodeName")) is not None:
        faults.checked(f"{path}.nodeName", node, names.dns_subdomain(node))
    if good:
        not_out_of_reach(faults, ip, f"{path}.ip")
    elif not is_loose_ip(ip):
        faults.invalid(f"{path}.ip", ip, "must be a valid IP address")


def _port(faults: Faults, port: Document, named: bool, path: str) -> None:
    """named: whether it must have a name."""
    if name := port.get("name"):
        faults.checked(f"{path}.name", name, names.dns_label(name))
    elif named:
        faults.required(f"{path}.name")
    faults.checked(f"{path}.port", port.get("port", 0), names.port(port.get("port", 0)))
    faults.one_of(f"{path}.protocol", port.get("protocol"), ("SCTP", "TCP", "UDP"))
    if (application := port.get("appProtocol")) is not None:
        faults.checked(f"{path}.appProtocol", application, names.qualified_name(application))


def joined(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def _endpoints(endpoints: Document, now: datetime) -> str:
    if not endpoints.get("subsets"):
        return NONE
    texts: list[str] = []
    for subset in endpoints["subsets"]:
        addresses = [address.get("ip", "") for address in subset.get("addresses") or ()]
        if ports := subset.get("ports"):
            texts += [joined(ip, port.get("port", 0)) for port in ports for ip in addresses]
        else:
            texts += addresses
    shown = ",".join(texts[:SHOWN])
    return f"{shown} + {len(texts) - SHOWN} more..." if len(texts) > SHOWN else shown


ENDPOINTS = Kind(
    group="",
    version="v1",
    name="Endpoints",
    plural="endpoints",
    singular="endpoints",
    short=("ep",),
    view=Endpoints,
    default=default,
    rules=rules,
    counts_generation=False,
    deprecated="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    columns=(Column("Endpoints", _endpoints, description="Addresses and ports that are ready."),),
)
