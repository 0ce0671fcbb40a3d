"""EndpointSlice: some of the addresses behind a service.

Source: https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoint-slice-v1/
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from navarch.base.errors import Cause
from navarch.kinds import warnings
from navarch.kinds.endpoints import not_out_of_reach
from navarch.kinds.kind import Column, Kind
from navarch.kinds.printing import UNSET
from navarch.kinds.reference import ObjectReference
from navarch.kinds.rules import Faults, is_ip
from navarch.kinds.view import ObjectMeta, View
from navarch.objects import names
from navarch.objects.value import Document, Draft

SHOWN = 3
ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
PROTOCOLS = ("SCTP", "TCP", "UDP")
ENDPOINTS_MAX = 1000
PORTS_MAX = 20000
ADDRESSES_MAX = 100
HINTS_MAX = 8
PERHAPS_SPECIAL = ("0", "169.254.", "224.0.0.", ":", "f", "F")
"""How addresses begin that may not be reached from elsewhere; most others need no second look."""
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


def prepare(draft: Draft, old: Document | None) -> None:
    """Topology in its old form is not taken any more."""
    for index, endpoint in enumerate(draft.get("endpoints") or ()):
        if "deprecatedTopology" in endpoint:
            draft.remove("endpoints", index, "deprecatedTopology")


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
    else:
        _ports_of(faults, ports)
    if old is not None:
        faults.immutable("addressType", type_, old.get("addressType"))
    return faults.causes


def _ports_of(faults: Faults, ports: list[Document]) -> None:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        name, path = port.get("name", ""), f"ports[{index}]"
        if name:
            faults.checked(f"{path}.name", name, names.dns_label(name))
        if name in seen:
            faults.duplicate(f"{path}.name", name)
        seen.add(name)
        faults.one_of(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
        if port.get("port") is not None:
            faults.checked(f"{path}.port", port["port"], names.port(port["port"]))
        if (application := port.get("appProtocol")) is not None:
            faults.checked(f"{path}.appProtocol", application, names.qualified_name(application))


def _endpoint(faults: Faults, endpoint: Document, path: str, type_: str | None) -> None:
    addresses = endpoint.get("addresses") or []
    if not addresses:
        faults.required(f"{path}.addresses", "must contain at least 1 address")
    elif len(addresses) > ADDRESSES_MAX:
        faults.too_many(f"{path}.addresses", len(addresses), ADDRESSES_MAX)
    for index, found in enumerate(addresses):
        _address(faults, found, f"{path}.addresses[{index}]", type_)
    if (node := endpoint.get("nodeName")) is not None:
        faults.checked(f"{path}.nodeName", node, names.dns_subdomain(node))
    if (hostname := endpoint.get("hostname")) is not None:
        faults.checked(f"{path}.hostname", hostname, names.dns_label(hostname))
    if hints := endpoint.get("hints"):
        _hints(faults, hints, f"{path}.hints")


def _address(faults: Faults, found: str, field: str, type_: str | None) -> None:
    if type_ == "FQDN":
        _domain(faults, found, field)
    elif type_ in ("IPv4", "IPv6"):
        if not is_ip(found) or (":" in found) != (type_ == "IPv6"):
            faults.invalid(field, found, f"must be a valid {type_} address")
        elif found.startswith(PERHAPS_SPECIAL):
            not_out_of_reach(faults, found, field)


def _domain(faults: Faults, found: str, field: str) -> None:
    if not found:
        faults.required(field)
        return
    name = found.removesuffix(".")
    if messages := names.dns_subdomain(name):
        faults.invalid(field, name, ",".join(messages))
    elif "." not in name:
        faults.invalid(field, name, "should be a domain with at least two segments separated by dots")
    elif wrong := next((one for one in name.split(".") if names.dns_label(one)), ""):
        faults.invalid(field, wrong, ",".join(names.dns_label(wrong)))


def _hints(faults: Faults, hints: Document, path: str) -> None:
    for field, check in (("forZones", names.label_value), ("forNodes", names.dns_subdomain)):
        found = hints.get(field) or ()
        if len(found) > HINTS_MAX:
            faults.too_many(f"{path}.{field}", len(found), HINTS_MAX)
            return
        seen: set[str] = set()
        for index, hint in enumerate(found):
            name, where = hint.get("name", ""), f"{path}.{field}[{index}].name"
            if name in seen:
                faults.duplicate(where, name)
            seen.add(name)
            faults.checked(where, name, check(name))


def _limited(texts: list[str]) -> str:
    shown = ",".join(texts[:SHOWN])
    return f"{shown} + {len(texts) - SHOWN} more..." if len(texts) > SHOWN else shown or UNSET


def _ports(slice_: Document, now: datetime) -> str:
    """A port without a number is any; one with a name is shown by it, and the usual name is empty."""
    return _limited([str(port.get("port", port.get("name", "*"))) for port in slice_.get("ports") or ()])


def _endpoints(slice_: Document, now: datetime) -> str:
    return _limited([one for found in slice_.get("endpoints") or () for one in found.get("addresses") or ()])


ENDPOINTSLICE = Kind(
    group="discovery.k8s.io",
    version="v1",
    name="EndpointSlice",
    plural="endpointslices",
    view=EndpointSlice,
    default=default,
    prepare=prepare,
    rules=rules,
    warn=warnings.endpoint_slice,
    generation_counts=("labels",),
    columns=(
        Column("AddressType", ".addressType", description="IPv4, IPv6 or FQDN."),
        Column("Ports", _ports, description="The ports of every address."),
        Column("Endpoints", _endpoints, description="The first addresses."),
    ),
)
