"""Endpoints: the addresses behind a service in the old form, kept for clients that still read it.

Source: https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoints-v1/
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from navarch.base.errors import Cause
from navarch.kinds.kind import Column, Kind
from navarch.kinds.printing import NONE
from navarch.kinds.reference import ObjectReference
from navarch.kinds.rules import Faults, address
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
    faults = Faults()
    for index, subset in enumerate(new.get("subsets") or ()):
        path = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            faults.required(path, "must specify `addresses` or `notReadyAddresses`")
        for field in ("addresses", "notReadyAddresses"):
            for number, found in enumerate(subset.get(field) or ()):
                address(faults, found.get("ip", ""), f"{path}.{field}[{number}].ip")
        ports = subset.get("ports") or ()
        for number, port in enumerate(ports):
            where = f"{path}.ports[{number}]"
            if not port.get("name") and len(ports) > 1:
                faults.required(f"{where}.name")
            faults.checked(f"{where}.port", port.get("port", 0), names.port(port.get("port", 0)))
            faults.one_of(f"{where}.protocol", port.get("protocol"), ("SCTP", "TCP", "UDP"))
    return faults.causes


def joined(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def _endpoints(endpoints: Document, now: datetime) -> str:
    texts: list[str] = []
    for subset in endpoints.get("subsets") or ():
        addresses = [address.get("ip", "") for address in subset.get("addresses") or ()]
        if ports := subset.get("ports"):
            texts += [joined(ip, port.get("port", 0)) for port in ports for ip in addresses]
        else:
            texts += addresses
    shown = ",".join(texts[:SHOWN])
    return f"{shown} + {len(texts) - SHOWN} more..." if len(texts) > SHOWN else shown or NONE


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
