"""What a trace is made from: the objects that the nodes' proxies read, and the same rules compiled from them.

Only what a trace asks for is compiled, node by node. What a node alone knows is taken as it usually is: that bridged
packets are shown to netfilter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

from navarch.base.errors import NotFound
from navarch.client.client import Client
from navarch.dns.forwarding import Forwarding, forwarding_of
from navarch.dns.run import PORT as DNS_PORT
from navarch.dns.zone import Zone, entry_of
from navarch.kinds import (
    CONFIGMAP,
    ENDPOINTSLICE,
    NAMESPACE,
    NETWORKPOLICY,
    NODE,
    POD,
    SERVICE,
    SERVICECIDR,
)
from navarch.kinds.endpointslice import SERVICE_LABEL, EndpointSlice
from navarch.kinds.object import Object
from navarch.net.paths import MODES, Home, Link, Mode
from navarch.net.plan import wanted
from navarch.net.run import CONFIG, CONFIG_NAMESPACE, MODE, peer_of
from navarch.objects.value import dig
from navarch.proxy.addresses import FAMILIES, IPV4, Family, family_of, first_of, proper, within
from navarch.proxy.announce import plan
from navarch.proxy.compile import compile_rules
from navarch.proxy.podfacts import facts
from navarch.proxy.policy import Policies
from navarch.proxy.rules import Node, Rules, Target
from navarch.proxy.run import ZONE_LABEL
from navarch.proxy.settings import settings_in
from navarch.proxy.trace import gateway

DNS = ("kube-system", "kube-dns")
READ = (NODE, POD, NAMESPACE, SERVICE, ENDPOINTSLICE, NETWORKPOLICY, SERVICECIDR)


async def read(client: Client) -> World:
    """Reads and writes nothing. Raises: ApiError, Retryable."""
    found = [each for kind in READ for each in (await client.list(kind)).items]
    for name in (CONFIG, DNS[1]):
        found += await _settings(client, name)
    return world_of(found)


async def _settings(client: Client, name: str) -> list[Object]:
    try:
        return [await client.get(CONFIGMAP, CONFIG_NAMESPACE, name)]
    except NotFound:
        return []


@dataclass(frozen=True)
class World:
    """As packets of one address family see it. config: how the cluster's nodes are joined. dns: who else is asked for
    names. service_cidrs: of either family."""

    nodes: Mapping[str, Object]
    pods: Mapping[tuple[str, str], Object]
    namespaces: Sequence[Object]
    services: Mapping[tuple[str, str], Object]
    slices: Mapping[tuple[str, str], Sequence[EndpointSlice]]
    policies: Mapping[tuple[str, str], Object]
    service_cidrs: Sequence[str]
    config: Mapping[str, str] = field(default_factory=dict)
    dns: Mapping[str, str] = field(default_factory=dict)
    family: Family = IPV4
    _rules: dict[str, Rules] = field(default_factory=dict)

    @cached_property
    def families(self) -> Sequence[Family]:
        """Those that nodes have ranges of pod addresses in, the cluster's own first."""
        said = [text for text in self.config.get("clusterCIDR", "").split(",") if text.strip()]
        ranges = [text for node in self.nodes.values() for text in _ranges(node)]
        there = {each for text in ranges for each in FAMILIES if each.network(text)}
        ordered = dict.fromkeys(each for text in (*said, *ranges) for each in FAMILIES if each.network(text))
        return tuple(each for each in ordered if each in there) or (IPV4,)

    def of(self, family: Family) -> World:
        return self if family is self.family else replace(self, family=family, _rules={})

    @property
    def service_cidr(self) -> str:
        return _first_network(self.family, self.service_cidrs)

    @cached_property
    def cluster_cidr(self) -> str:
        """Where the cluster does not say it: the least network that all nodes' pods are in."""
        if said := _first_network(self.family, self.config.get("clusterCIDR", "").split(",")):
            return said
        texts = [text for node in self.nodes.values() for text in _ranges(node)]
        ranges: list[Any] = [found for text in texts if (found := self.family.network(text))]
        if not ranges:
            return f"{self.family.unspecified}/{self.family.bits}"
        whole = ranges[0]
        while not all(each.subnet_of(whole) for each in ranges):
            whole = whole.supernet()
        return str(whole)

    @property
    def domain(self) -> str:
        return self.config.get("clusterDomain") or "cluster.local"

    @property
    def mode(self) -> Mode:
        said = self.config.get(MODE)
        return next((mode for mode in MODES if mode == said), "auto")

    @property
    def forwarding(self) -> Forwarding:
        return forwarding_of(self.dns)[0]

    @cached_property
    def zone(self) -> Zone:
        made = Zone(self.domain, DNS)
        for key, service in self.services.items():
            made.put(*key, entry_of(service.view, self.slices.get(key, ())))
        return made

    @cached_property
    def known_nodes(self) -> Mapping[str, Node]:
        """Those that have an address and a range for their pods: the others have no network yet."""
        made = {}
        for name, found in self.nodes.items():
            peer, pods = peer_of(found), _first_network(self.family, _ranges(found))
            if peer is not None and pods:
                own = {"/".join(DNS): Target(first_of(pods), DNS_PORT)}
                zone = found.labels.get(ZONE_LABEL, "")
                addresses = self.family.those(peer.address.split(","))
                plain = Node(name, addresses, pods, self.cluster_cidr, self.service_cidr, zone, own)
                made[name] = settings_in(self.config)[0].on(plain)
        return made

    def rules(self, node: str) -> Rules:
        """Those of the node's kernel."""
        if node not in self._rules:
            services = [(found.view, self.slices.get(key, ())) for key, found in self.services.items()]
            bound = [found.view for found in self.pods.values() if found.view.spec.node_name == node]
            isolation = self._policies(node).isolation()
            own = plan.own_addresses(found.view for found in self.nodes.values())
            others = plan.balanced((service for service, _ in services), own)
            self._rules[node] = compile_rules(services, bound, self.known_nodes[node], isolation, others)
        return self._rules[node]

    def node_at(self, address: str) -> str:
        """The node that is, or whose pods have, this address; "" for none of the cluster's."""
        for name, node in self.known_nodes.items():
            if address in node.addresses or within(address, node.pod_cidr):
                return name
        return ""

    def who(self, address: str) -> str:
        """For people: whose address it is."""
        if found := self._holders.get(address):
            return f"pod {'/'.join(found)}"
        for name, node in self.known_nodes.items():
            if address in node.addresses or address == gateway(node):
                return f"node {name}"
        for (namespace, name), service in self.services.items():
            if address in (service.view.spec.cluster_ip, *service.view.spec.cluster_ips):
                return f"service {namespace}/{name}"
        return address

    def pod_at(self, address: str) -> Object | None:
        found = self._holders.get(address)
        return self.pods[found] if found else None

    @cached_property
    def _holders(self) -> Mapping[str, tuple[str, str]]:
        return {
            address: key
            for key, found in self.pods.items()
            if not found.view.terminal and not found.view.spec.host_network
            for address in proper((found.view.status.pod_ip, *(each.ip for each in found.view.status.pod_ips)))
        }

    def _policies(self, node: str) -> Policies:
        made = Policies(node, self.family)
        if self.policies:
            for space in self.namespaces:
                made.put_namespace(space.name, space.labels)
            for key, pod in self.pods.items():
                made.put_pod(*key, facts(pod))
            for key, policy in self.policies.items():
                made.put_policy(*key, policy.view)
        return made


def world_of(objects: Iterable[Object]) -> World:
    """objects: of the kinds in `READ`, and two ConfigMaps; others are passed over."""
    kinds: dict[str, dict[tuple[str, str], Object]] = {}
    slices: dict[tuple[str, str], list[EndpointSlice]] = {}
    for found in objects:
        kinds.setdefault(found.kind.name, {})[found.key] = found
        if found.kind.name == ENDPOINTSLICE.name and (name := found.labels.get(SERVICE_LABEL)):
            slices.setdefault((found.namespace, name), []).append(cast(EndpointSlice, found.view))

    def of(name: str) -> dict[tuple[str, str], Object]:
        return dict(sorted(kinds.get(name, {}).items()))

    maps = {found.name: dict(dig(found.document(), "data", default={})) for found in of(CONFIGMAP.name).values()}
    config = maps.get(CONFIG, {})
    networks = [
        text for found in of(SERVICECIDR.name).values() for text in dig(found.document(), "spec", "cidrs", default=())
    ]
    made = World(
        nodes={found.name: found for found in of(NODE.name).values()},
        pods=of(POD.name),
        namespaces=list(of(NAMESPACE.name).values()),
        services=of(SERVICE.name),
        slices=slices,
        policies=of(NETWORKPOLICY.name),
        service_cidrs=[*config.get("serviceCIDR", "").split(","), *networks],
        config=config,
        dns=maps.get(DNS[1], {}),
    )
    return made.of(made.families[0])


def _first_network(family: Family, texts: Iterable[str]) -> str:
    """ "" without any."""
    return next((str(found) for text in texts if (found := family.network(text))), "")


def _ranges(node: Object) -> Sequence[str]:
    spec = node.view.spec
    return tuple(dict.fromkeys((*spec.pod_cidrs, *filter(None, (spec.pod_cidr,)))))


def has_way(world: World, here: str, address: str) -> bool:
    """Whether the node has a path to the pods that this address is one of, by the plan that its agent carries out."""
    own, there = peer_of(world.nodes[here]), world.node_at(address)
    if own is None:
        return False
    peers = [peer for name, found in world.nodes.items() if name != here and (peer := peer_of(found))]
    home = Home(
        here, own.address, ",".join(own.networks), ",".join(world.of(each).cluster_cidr for each in world.families)
    )
    links = [Link("", f"{each}/{family_of(each).bits}", 1500) for each in own.address.split(",")]
    # Whose route it is where two claim a range was decided by the plan: it is the one that the other alone would get.
    alone = wanted(home, [peer for peer in peers if peer.name == there], links, world.mode).routes
    routes = wanted(home, peers, links, world.mode).routes
    return any(route in alone and within(address, route.network) for route in routes)
