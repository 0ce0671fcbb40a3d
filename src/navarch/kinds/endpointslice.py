"""EndpointSlice: some of the addresses behind a service.

Source: https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoint-slice-v1/
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from navarch.base.errors import Cause
from navarch.kinds import warnings
from navarch.kinds.kind import Column, Kind
from navarch.kinds.printing import UNSET
from navarch.kinds.reference import ObjectReference
from navarch.kinds.rules import Faults, is_ip
from navarch.kinds.view import ObjectMeta, View
from navarch.objects import names
from navarch.objects.value import Document, Draft, dig

SHOWN = 3
ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
PROTOCOLS = ("SCTP", "TCP", "UDP")
ENDPOINTS_MAX = 1000
PORTS_MAX = 20000
ADDRESSES_MAX = 100
SERVICE_LABEL = "kubernetes.io/service-name"
MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"


class EndpointConditions(View, frozen=True):
    """None means unknown, which counts as true for ready and serving and as false for terminating."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ForZone(View, frozen=True):
    name: str


class ForNode(View, frozen=True):
    name: str


class EndpointHints(View, frozen=True):
    for_zones: tuple[ForZone, ...] = ()
    for_nodes: tuple[ForNode, ...] = ()


class Endpoint(View, frozen=True):
    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions = EndpointConditions()
    hostname: str = ""
    node_name: str = ""
    zone: str = ""
    target_ref: ObjectReference | None = None
    hints: EndpointHints = EndpointHints()

    @property
    def ready(self) -> bool:
        return self.conditions.ready is not False

    @property
    def serving(self) -> bool:
        """Whether it still answers, perhaps while it terminates."""
        return self.ready if self.conditions.serving is None else self.conditions.serving

    @property
    def terminating(self) -> bool:
        return self.conditions.terminating is True


class SlicePort(View, frozen=True):
    """port: None means all ports."""

    name: str = ""
    protocol: str = "TCP"
    port: int | None = None
    app_protocol: str = ""


class EndpointSlice(View, frozen=True):
    """address_type: IPv4, IPv6 or FQDN."""

    metadata: ObjectMeta = ObjectMeta()
    address_type: str = "IPv4"
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[SlicePort, ...] = ()

    @property
    def service(self) -> str:
        """The name of the service that it belongs to."""
        return self.metadata.labels.get(SERVICE_LABEL, "")


def default(draft: Draft) -> None:
    for port in draft.each("ports"):
        draft.default("", "ports", port, "name")
        draft.default("TCP", "ports", port, "protocol")


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    type_ = new.get("addressType")
    faults.one_of("addressType", type_, ADDRESS_TYPES)
    endpoints, ports = new.get("endpoints") or [], new.get("ports") or []
    if len(endpoints) > ENDPOINTS_MAX:
        faults.too_many("endpoints", len(endpoints), ENDPOINTS_MAX)
    else:
        for index, endpoint in enumerate(endpoints):
            _endpoint(faults, endpoint, f"endpoints[{index}]", type_)
    if len(ports) > PORTS_MAX:
        faults.too_many("ports", len(ports), PORTS_MAX)
    seen: set[str] = set()
    for index, port in enumerate(ports):
        name = port.get("name", "")
        if name in seen:
            faults.duplicate(f"ports[{index}].name", name)
        seen.add(name)
        if name:
            faults.checked(f"ports[{index}].name", name, names.dns_label(name))
        faults.one_of(f"ports[{index}].protocol", port.get("protocol"), PROTOCOLS)
        if port.get("port") is not None:
            faults.checked(f"ports[{index}].port", port["port"], names.port(port["port"]))
    if old is not None:
        faults.immutable("addressType", type_, old.get("addressType"))
    return faults.causes


def _endpoint(faults: Faults, endpoint: Document, path: str, type_: str | None) -> None:
    addresses = endpoint.get("addresses") or []
    if not addresses:
        faults.required(f"{path}.addresses", "must contain at least 1 address")
    elif len(addresses) > ADDRESSES_MAX:
        faults.too_many(f"{path}.addresses", len(addresses), ADDRESSES_MAX)
    for index, found in enumerate(addresses):
        field = f"{path}.addresses[{index}]"
        if type_ == "FQDN":
            faults.checked(field, found, names.dns_subdomain(found))
        elif not is_ip(found) or (":" in found) != (type_ == "IPv6"):
            faults.invalid(field, found, f"must be a valid {type_} address")
    for field_name, check in (("hostname", names.dns_label), ("nodeName", names.dns_subdomain)):
        if value := endpoint.get(field_name):
            faults.checked(f"{path}.{field_name}", value, check(value))


def _limited(texts: list[str]) -> str:
    shown = ",".join(texts[:SHOWN])
    return f"{shown} + {len(texts) - SHOWN} more..." if len(texts) > SHOWN else shown or UNSET


def _ports(slice_: Document, now: datetime) -> str:
    return _limited([str(port["port"]) if "port" in port else "*" for port in slice_.get("ports") or ()])


def _endpoints(slice_: Document, now: datetime) -> str:
    return _limited([dig(found, "addresses", 0, default="") for found in slice_.get("endpoints") or ()])


ENDPOINTSLICE = Kind(
    group="discovery.k8s.io",
    version="v1",
    name="EndpointSlice",
    plural="endpointslices",
    view=EndpointSlice,
    default=default,
    rules=rules,
    warn=warnings.endpoint_slice,
    generation_counts=("labels",),
    columns=(
        Column("AddressType", ".addressType", description="IPv4, IPv6 or FQDN."),
        Column("Ports", _ports, description="The ports of every address."),
        Column("Endpoints", _endpoints, description="The first addresses."),
    ),
)
