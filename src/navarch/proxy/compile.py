"""Services, their EndpointSlices and this node's host ports, compiled into `Rules`: the proxy's pure plan.

Each service is compiled by itself into a `Part`, so that what did not change need not be compiled again; `joining` puts
them together. How packets are made to obey is the data planes' business.

Source: https://kubernetes.io/docs/reference/networking/virtual-ips/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address

from navarch.kinds.endpointslice import EndpointSlice
from navarch.kinds.pod.view import Pod
from navarch.kinds.service import Service, ServicePort, ServiceSpec
from navarch.kinds.view import ObjectMeta
from navarch.proxy.addresses import IPV4, Family
from navarch.proxy.endpoints import Choice, choose
from navarch.proxy.isolation import FREE, Isolation
from navarch.proxy.joining import join
from navarch.proxy.rules import Claim, Door, Front, Gate, Node, Part, Pool, Refusal, Rules, Target

PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
"""On a Service: some other proxy serves it."""

DEFAULT_AFFINITY_S = 3 * 60 * 60


def compile_rules(
    services: Iterable[tuple[Service, Sequence[EndpointSlice]]],
    pods: Iterable[Pod],
    node: Node,
    isolation: Isolation = FREE,
    balanced: Iterable[str] = (),
) -> Rules:
    """services: each with its slices. pods: those bound to this node. balanced: addresses of either family at which
    nothing else is served."""
    parts: dict[str, Part] = {}
    for service, slices in services:
        if part := compile_service(service, slices, node):
            parts[f"{service.metadata.namespace}/{service.metadata.name}"] = part
    for pod in pods:
        if part := compile_host_ports(pod, node.family):
            parts[f"/{pod.metadata.namespace}/{pod.metadata.name}"] = part
    return join(parts, node, isolation, frozenset(node.family.those(balanced)))


def compile_service(service: Service, slices: Sequence[EndpointSlice], node: Node) -> Part | None:
    """None for services that have no address of their own in the node's family (as headless ones and ExternalName have
    none), or that another proxy serves."""
    spec = service.spec
    if spec.type == "ExternalName" or spec.cluster_ip in ("", "None") or PROXY_NAME_LABEL in service.metadata.labels:
        return None
    inside = node.family.those(spec.cluster_ips or (spec.cluster_ip,))
    if not inside:
        return None
    name = f"{service.metadata.namespace}/{service.metadata.name}"
    built = _Building(service, node, inside)
    own = None if spec.selector else node.own.get(name)
    for port in spec.ports:
        choice = Choice((own,), (own,), True) if own else choose(port, slices, node)
        built.add(port, choice, f"{name}/{port.protocol.lower()}/{port.name or port.port}")
    return built.part()


def compile_host_ports(pod: Pod, family: Family = IPV4) -> Part | None:
    """Ports of the node that lead to the pod's containers; None without any, and where the pod has no such address."""
    address = next(iter(family.those((pod.status.pod_ip, *(each.ip for each in pod.status.pod_ips)))), "")
    if pod.spec.host_network or not address or pod.terminal:
        return None
    pools: list[Pool] = []
    fronts: dict[Front, str] = {}
    gates: dict[Gate, str] = {}
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        for port in container.ports:
            on = family.proper(port.host_ip or family.unspecified)
            if not port.host_port or not on:
                continue
            protocol = port.protocol.lower()
            target = Target(address, port.container_port)
            name = f"host/{pod.metadata.uid}/{protocol}/{port.host_port}/{port.container_port}"
            pool = Pool(name, protocol, (target,))
            if pool not in pools:
                pools.append(pool)
            if on == family.unspecified:
                gates[Gate(protocol, port.host_port)] = pool.name
            else:
                fronts[Front(on, protocol, port.host_port)] = pool.name
    if not pools:
        return None
    return Part(
        pools=tuple(pools),
        host_ports=gates,
        host_fronts=fronts,
        locals=(address,),
        created_s=_created_s(pod.metadata),
        claims=tuple(("host", *each) for each in (*fronts, *gates)),
    )


class _Building:
    """One service's part under construction."""

    def __init__(self, service: Service, node: Node, inside: tuple[str, ...]) -> None:
        spec = service.spec
        self._node = node
        self._spec = spec
        self._created_s = _created_s(service.metadata)
        self._affinity_s = _affinity_s(spec)
        self._inside = inside
        self._balanced = _balanced(service, node.family) if spec.type == "LoadBalancer" else ()
        self._outside = tuple(dict.fromkeys((*node.family.those(spec.external_ips), *self._balanced)))
        self._pools: dict[str, Pool] = {}
        self._doors: list[Door] = []
        self._fronts: dict[Front, str] = {}
        self._node_ports: dict[Gate, str] = {}
        self._refused: dict[Front, Refusal] = {}
        self._refused_node_ports: dict[Gate, Refusal] = {}
        self._guards: dict[Front, tuple[str, ...]] = {}
        self._locals: set[str] = set()

    def add(self, port: ServicePort, choice: Choice, name: str) -> None:
        protocol = port.protocol.lower()
        self._locals.update(target.address for target in choice.local)
        within = choice.local if self._spec.internal_traffic_policy == "Local" else choice.cluster
        for address in self._inside:
            front = Front(address, protocol, port.port)
            if within:
                self._fronts[front] = self._pool(within, choice, protocol, name)
            else:
                self._refused[front] = "drop" if choice.reachable else "reject"
        gate = Gate(protocol, port.node_port) if port.node_port else None
        if self._outside or gate:
            self._add_outside(port, choice, gate, name)

    def part(self) -> Part:
        gates = (*self._node_ports, *self._refused_node_ports)
        claims: tuple[Claim, ...] = (*self._fronts, *self._refused, *gates, *self._inside)
        return Part(
            pools=tuple(self._pools.values()),
            doors=tuple(self._doors),
            fronts=self._fronts,
            node_ports=self._node_ports,
            refused=self._refused,
            refused_node_ports=self._refused_node_ports,
            guards=self._guards,
            cluster_ips=self._inside,
            locals=tuple(sorted(self._locals)),
            created_s=self._created_s,
            claims=tuple(dict.fromkeys(claims)),
        )

    def _add_outside(self, port: ServicePort, choice: Choice, gate: Gate | None, name: str) -> None:
        protocol = port.protocol.lower()
        local_only = self._spec.external_traffic_policy == "Local"
        fronts = [Front(address, protocol, port.port) for address in self._outside]
        refusal: Refusal | None = None
        if not choice.reachable:
            refusal = "reject"
        elif local_only and not choice.local:
            refusal = "drop"
        if refusal:
            self._refused.update((front, refusal) for front in fronts)
            if gate:
                self._refused_node_ports[gate] = refusal
        if refusal != "reject":
            door = self._door(choice, protocol, name, local_only)
            self._fronts.update((front, door) for front in fronts)
            if gate:
                self._node_ports[gate] = door
        if self._spec.load_balancer_source_ranges:
            allowed = self._allowed()
            self._guards.update((front, allowed) for front in fronts if front.address in self._balanced)

    def _allowed(self) -> tuple[str, ...]:
        """The source ranges, with the load balancer's own addresses where they let this node in: a load balancer may
        have left its address on the node, which then speaks with it."""
        network = self._node.family.network
        ranges = [found for text in self._spec.load_balancer_source_ranges if (found := network(text))]
        allowed = sorted({str(each) for each in ranges})
        if any(ip_address(address) in each for address in self._node.addresses for each in ranges):
            allowed += self._balanced
        return tuple(allowed)

    def _door(self, choice: Choice, protocol: str, name: str, local_only: bool) -> str:
        anywhere = self._pool(choice.cluster, choice, protocol, name)
        if local_only:
            pool = self._pool(choice.local, choice, protocol, name) if choice.local else ""
            door = Door(f"door/{name}", pool, near=anywhere, hidden=False)
        else:
            door = Door(f"door/{name}", anywhere)
        self._doors.append(door)
        return door.name

    def _pool(self, targets: tuple[Target, ...], choice: Choice, protocol: str, name: str) -> str:
        pool = f"pool/{name}" if targets == choice.cluster else f"local/{name}"
        self._pools.setdefault(pool, Pool(pool, protocol, targets, self._affinity_s))
        return pool


def _created_s(metadata: ObjectMeta) -> float:
    return metadata.creation_timestamp.timestamp() if metadata.creation_timestamp else 0.0


def _affinity_s(spec: ServiceSpec) -> int:
    if spec.session_affinity != "ClientIP":
        return 0
    config = spec.session_affinity_config
    return config.client_ip.timeout_seconds if config and config.client_ip else DEFAULT_AFFINITY_S


def _balanced(service: Service, family: Family) -> tuple[str, ...]:
    """Addresses of the load balancer whose packets arrive still carrying them."""
    ingress = service.status.load_balancer.ingress
    return family.those(each.ip for each in ingress if each.ip_mode != "Proxy")
