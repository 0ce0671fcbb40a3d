"""The few fields of Services, EndpointSlices and pods that decide where packets go.

Views of their own, because the proxy runs on every node and reads each of these objects there: what it does not need is
not decoded and not kept.
"""

from __future__ import annotations

import msgspec

from navarch.kinds.view import View


class Meta(View, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    creation_timestamp: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)


class ServicePort(View, frozen=True):
    port: int
    name: str = ""
    protocol: str = "TCP"
    node_port: int = 0


class ClientIP(View, frozen=True):
    timeout_seconds: int = 10800


class AffinityConfig(View, frozen=True):
    client_ip: ClientIP = msgspec.field(default_factory=ClientIP, name="clientIP")


class ServiceSpec(View, frozen=True):
    type: str = "ClusterIP"
    selector: dict[str, str] = msgspec.field(default_factory=dict)
    ports: tuple[ServicePort, ...] = ()
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    cluster_ips: tuple[str, ...] = msgspec.field(default=(), name="clusterIPs")
    external_ips: tuple[str, ...] = msgspec.field(default=(), name="externalIPs")
    load_balancer_source_ranges: tuple[str, ...] = ()
    session_affinity: str = "None"
    session_affinity_config: AffinityConfig = msgspec.field(default_factory=AffinityConfig)
    internal_traffic_policy: str = "Cluster"
    external_traffic_policy: str = "Cluster"


class Ingress(View, frozen=True):
    ip: str = ""
    ip_mode: str = "VIP"


class LoadBalancer(View, frozen=True):
    ingress: tuple[Ingress, ...] = ()


class ServiceStatus(View, frozen=True):
    load_balancer: LoadBalancer = msgspec.field(default_factory=LoadBalancer)


class Service(View, frozen=True):
    metadata: Meta = msgspec.field(default_factory=Meta)
    spec: ServiceSpec = msgspec.field(default_factory=ServiceSpec)
    status: ServiceStatus = msgspec.field(default_factory=ServiceStatus)


class Conditions(View, frozen=True):
    ready: bool = True
    serving: bool | None = None
    terminating: bool = False


class Hint(View, frozen=True):
    name: str = ""


class Hints(View, frozen=True):
    for_zones: tuple[Hint, ...] = ()
    for_nodes: tuple[Hint, ...] = ()


class SliceEndpoint(View, frozen=True):
    addresses: tuple[str, ...] = ()
    conditions: Conditions = msgspec.field(default_factory=Conditions)
    node_name: str = ""
    hints: Hints = msgspec.field(default_factory=Hints)


class SlicePort(View, frozen=True):
    name: str = ""
    port: int = 0
    protocol: str = "TCP"


class EndpointSlice(View, frozen=True):
    metadata: Meta = msgspec.field(default_factory=Meta)
    address_type: str = "IPv4"
    endpoints: tuple[SliceEndpoint, ...] = ()
    ports: tuple[SlicePort, ...] = ()


class ContainerPort(View, frozen=True):
    container_port: int
    host_port: int = 0
    host_ip: str = msgspec.field(default="", name="hostIP")
    protocol: str = "TCP"


class Container(View, frozen=True):
    ports: tuple[ContainerPort, ...] = ()


class PodSpec(View, frozen=True):
    host_network: bool = False
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()


class PodStatus(View, frozen=True):
    phase: str = "Pending"
    pod_ip: str = msgspec.field(default="", name="podIP")


class Pod(View, frozen=True):
    metadata: Meta = msgspec.field(default_factory=Meta)
    spec: PodSpec = msgspec.field(default_factory=PodSpec)
    status: PodStatus = msgspec.field(default_factory=PodStatus)
