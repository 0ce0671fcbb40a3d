"""EndpointSlice: some of the addresses behind a service.

Source: https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoint-slice-v1/
"""

from __future__ import annotations

from datetime import datetime

from navarch.kinds.kind import Column, Kind
from navarch.kinds.printing import UNSET
from navarch.kinds.reference import ObjectReference
from navarch.kinds.view import ObjectMeta, View
from navarch.objects.value import Document, Draft, dig

SHOWN = 3
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
    columns=(
        Column("AddressType", ".addressType", description="IPv4, IPv6 or FQDN."),
        Column("Ports", _ports, description="The ports of every address."),
        Column("Endpoints", _endpoints, description="The first addresses."),
    ),
)
