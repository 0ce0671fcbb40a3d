"""Service: a stable address for the pods that a selector names.

Addresses and node ports are allocated by the API server's core.

Source: https://kubernetes.io/docs/reference/kubernetes-api/service-resources/service-v1/
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from navarch.kinds import warnings
from navarch.kinds.kind import Column, Kind
from navarch.kinds.printing import NONE, pairs
from navarch.kinds.service_rules import drop_unfit, inherit, rules, status_rules
from navarch.kinds.view import Condition, ObjectMeta, View
from navarch.objects import names
from navarch.objects.value import Document, Draft, dig

HEADLESS = "None"
"""The clusterIP of a service without one."""


class ServicePort(View, frozen=True):
    """target_port: a number, or the name of a container's port; None is the same as `port`."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    app_protocol: str = ""
    target_port: int | str | None = None
    node_port: int = 0


class ClientIPConfig(View, frozen=True):
    timeout_seconds: int = 10800


class SessionAffinityConfig(View, frozen=True):
    client_ip: ClientIPConfig | None = msgspec.field(default=None, name="clientIP")


class ServiceSpec(View, frozen=True):
    type: str = "ClusterIP"
    ports: tuple[ServicePort, ...] = ()
    selector: dict[str, str] = {}
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    cluster_ips: tuple[str, ...] = msgspec.field(default=(), name="clusterIPs")
    external_ips: tuple[str, ...] = msgspec.field(default=(), name="externalIPs")
    load_balancer_ip: str = msgspec.field(default="", name="loadBalancerIP")
    load_balancer_source_ranges: tuple[str, ...] = ()
    load_balancer_class: str = ""
    allocate_load_balancer_node_ports: bool = True
    external_name: str = ""
    external_traffic_policy: str = ""
    internal_traffic_policy: str = "Cluster"
    health_check_node_port: int = 0
    publish_not_ready_addresses: bool = False
    session_affinity: str = "None"
    session_affinity_config: SessionAffinityConfig | None = None
    ip_families: tuple[str, ...] = ()
    ip_family_policy: str = ""
    traffic_distribution: str = ""


class IngressPort(View, frozen=True):
    port: int
    protocol: str = "TCP"
    error: str = ""


class LoadBalancerIngress(View, frozen=True):
    ip: str = ""
    hostname: str = ""
    ip_mode: str = ""
    ports: tuple[IngressPort, ...] = ()


class LoadBalancerStatus(View, frozen=True):
    ingress: tuple[LoadBalancerIngress, ...] = ()


class ServiceStatus(View, frozen=True):
    load_balancer: LoadBalancerStatus = LoadBalancerStatus()
    conditions: tuple[Condition, ...] = ()


class Service(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()

    @property
    def headless(self) -> bool:
        return self.spec.cluster_ip == HEADLESS


def default(draft: Draft) -> None:
    """What holds before addresses are allocated."""
    spec = draft.get("spec", default={})
    filled = {"sessionAffinity": "None", "type": "ClusterIP", **spec}
    timeout_s = dig(filled, "sessionAffinityConfig", "clientIP", "timeoutSeconds")
    if filled["sessionAffinity"] == "ClientIP" and timeout_s is None:
        filled["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": 10800}}
    if filled["sessionAffinity"] == "None":
        filled.pop("sessionAffinityConfig", None)
    reachable = filled["type"] == "ClusterIP" and filled.get("externalIPs")
    if filled["type"] in ("NodePort", "LoadBalancer") or reachable:
        filled.setdefault("externalTrafficPolicy", "Cluster")
    if filled["type"] != "ExternalName":
        filled.setdefault("internalTrafficPolicy", "Cluster")
    if filled["type"] == "LoadBalancer":
        filled.setdefault("allocateLoadBalancerNodePorts", True)
    if ports := spec.get("ports"):
        filled["ports"] = [_port(port) for port in ports]
    if filled != spec:
        draft.set(filled, "spec")
    for index in draft.each("status", "loadBalancer", "ingress") if filled["type"] == "LoadBalancer" else ():
        if draft.get("status", "loadBalancer", "ingress", index, "ip"):
            draft.default("VIP", "status", "loadBalancer", "ingress", index, "ipMode")


def _port(port: Document) -> Document:
    filled = {"protocol": "TCP", **port}
    if filled.get("targetPort") in (None, "", 0) and "port" in port:
        filled["targetPort"] = port["port"]
    return filled


def prepare(draft: Draft, old: Document | None) -> None:
    drop_unfit(draft, old)
    inherit(draft, old)
    if old is None:
        draft.set({"loadBalancer": {}}, "status")


def _type(service: Document, now: datetime) -> str:
    return str(dig(service, "spec", "type", default=""))


def _cluster_ip(service: Document, now: datetime) -> str:
    return dig(service, "spec", "clusterIPs", 0) or dig(service, "spec", "clusterIP") or NONE


def _external_ip(service: Document, now: datetime) -> str:
    """Addresses from the outside, or what stands in for them."""
    spec = service.get("spec") or {}
    given = spec.get("externalIPs") or []
    match spec.get("type"):
        case "LoadBalancer":
            ingress = dig(service, "status", "loadBalancer", "ingress", default=())
            assigned = sorted({one.get("ip") or one.get("hostname") or "" for one in ingress} - {""})
            return ",".join([*assigned, *given]) or "<pending>"
        case "ExternalName":
            return spec.get("externalName") or NONE
        case _:
            return ",".join(given) or NONE


def _ports(service: Document, now: datetime) -> str:
    return ",".join(map(_port_text, dig(service, "spec", "ports", default=()))) or NONE


def _port_text(port: Document) -> str:
    outside = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port')}{outside}/{port.get('protocol', 'TCP')}"


def _selector(service: Document, now: datetime) -> str:
    return pairs(dig(service, "spec", "selector"))


SERVICE = Kind(
    group="",
    version="v1",
    name="Service",
    plural="services",
    short=("svc",),
    name_rule=names.dns_label,
    categories=("all",),
    view=Service,
    default=default,
    rules=rules,
    warn=warnings.service,
    prepare=prepare,
    subresources=("status", "proxy"),
    subresource_rules={"status": status_rules},
    counts_generation=False,
    columns=(
        Column("Type", _type, description="How the service is reached."),
        Column("Cluster-IP", _cluster_ip, description="Its address inside the cluster."),
        Column("External-IP", _external_ip, description="Its addresses from outside."),
        Column("Port(s)", _ports, description="Its ports, with their node ports."),
        Column("Selector", _selector, priority=1, description="The labels of the pods behind it."),
    ),
    fields={"spec.clusterIP": ("spec", "clusterIP"), "spec.type": ("spec", "type")},
)
