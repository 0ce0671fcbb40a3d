"""Services, endpoints and policies as Hypothesis makes them, on a node with three pods and a host outside: in IPv4, in
IPv6, or in both.

What they come to is asked of the model, every packet of them; the tests ask a kernel the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from hypothesis import strategies as st

from navarch.kinds.endpointslice import EndpointSlice
from navarch.kinds.networkpolicy import NetworkPolicy
from navarch.kinds.service import Service
from navarch.proxy.addresses import FAMILIES, IPV4, IPV6, Family, family_of
from navarch.proxy.announce.plan import balanced
from navarch.proxy.compile import compile_rules
from navarch.proxy.podfacts import PodFacts
from navarch.proxy.policy import Policies
from navarch.proxy.rules import Node, Rules
from navarch.proxy.settings import ProxySettings
from navarch.proxy.trace import Arrival, Packet, trace
from navarch.testing.lan import GATEWAY, Answer, twin

PODS = {"a": "10.244.0.5", "b": "10.244.0.6", "c": "10.244.0.7"}
HOSTS = {"node": "192.0.2.10", "outside": "192.0.2.20", **PODS}
PORTS = (8080, 9090)
NODE = Node(
    name="n1",
    addresses=(HOSTS["node"],),
    pod_cidr="10.244.0.0/24",
    cluster_cidr="10.244.0.0/16",
    service_cidr="10.96.0.0/12",
)
NODES = {
    IPV4: NODE,
    IPV6: Node(
        name="n1",
        addresses=(twin(HOSTS["node"]),),
        pod_cidr="fd00:10:244::/64",
        cluster_cidr="fd00:10:244::/56",
        service_cidr="fd00:10:96::/112",
        bridge="br0",
    ),
}
SETTINGS = (
    ProxySettings(),
    ProxySettings(masquerade_all=True),
    ProxySettings(node_port_networks=("10.0.0.0/8", "fd00::/8")),
    ProxySettings(node_port_networks=("0.0.0.0/0", "::/0")),
)
NAMED = (("web", "tcp", 8080), ("web", "udp", 9090))


def in_family(family: Family, text: str) -> str:
    """An address or a network of IPv4, or its twin."""
    return text if family is IPV4 else twin(text)


@dataclass(frozen=True)
class Scene:
    rules: tuple[Rules, ...]
    """Of each family."""
    packets: tuple[tuple[str, Packet], ...]
    """With the host that sends it."""


ENDPOINTS = st.lists(
    st.builds(
        lambda host, ready, serving, terminating: {
            "addresses": [host],
            "nodeName": "n1" if host in PODS else "n2",
            "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        },
        st.sampled_from(("a", "b", "c", "outside")),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
    max_size=3,
    unique_by=lambda each: each["addresses"][0],
)
TRAFFIC = st.sampled_from(("Cluster", "Local"))
RANGES = st.lists(st.sampled_from(("192.0.2.0/24", "10.244.0.4/30", "192.0.2.20/32", "10.244.0.5/32")), max_size=2)
PROTOCOL = st.sampled_from(("TCP", "UDP"))


@st.composite
def services(
    draw: st.DrawFn, number: int, families: tuple[Family, ...] = (IPV4,)
) -> tuple[Service, list[EndpointSlice]]:
    has = draw(st.sampled_from(families).map(lambda each: (each,)) | st.permutations(families).map(tuple))

    def every(text: str) -> list[str]:
        return [in_family(each, text) for each in families]

    kind = draw(st.sampled_from(("ClusterIP", "NodePort", "LoadBalancer")))
    protocol = draw(PROTOCOL)
    port: dict[str, Any] = {"port": 80, "protocol": protocol}
    spec: dict[str, Any] = {
        "type": kind,
        "clusterIP": in_family(has[0], f"10.96.0.{number}"),
        "clusterIPs": [in_family(each, f"10.96.0.{number}") for each in has],
        "ports": [port],
        "selector": {"a": "b"},
        "internalTrafficPolicy": draw(TRAFFIC),
        "externalTrafficPolicy": draw(TRAFFIC),
        "sessionAffinity": draw(st.sampled_from(("None", "ClientIP"))),
    }
    status: dict[str, Any] = {}
    if kind != "ClusterIP":
        port["nodePort"] = 30080 + number
    if kind == "LoadBalancer":
        spec["loadBalancerSourceRanges"] = [other for each in draw(RANGES) for other in every(each)]
        mode = draw(st.sampled_from(("VIP", "Proxy")))
        reached = [{"ip": each, "ipMode": mode} for each in every(f"198.51.100.{number}")]
        status = {"loadBalancer": {"ingress": reached}}
    if draw(st.booleans()):
        spec["externalIPs"] = every(f"198.51.100.{100 + number}")
    ports = [{"port": draw(st.sampled_from(PORTS)), "protocol": protocol}]
    slices = []
    for family in has:
        endpoints = [
            {**each, "addresses": [in_family(family, HOSTS[host]) for host in each["addresses"]]}
            for each in draw(ENDPOINTS)
        ]
        slices.append({"addressType": family.name, "endpoints": endpoints, "ports": ports})
    metadata = {"name": f"s{number}", "namespace": "default"}
    made = msgspec.convert({"metadata": metadata, "spec": spec, "status": status}, Service)
    return made, msgspec.convert(slices, list[EndpointSlice])


SELECTOR = st.sampled_from([{}, *({"matchLabels": {"pod": each}} for each in ("a", "b", "outside"))])
SPACES = st.sampled_from([{}, {"matchLabels": {"ns": "x"}}, {"matchLabels": {"ns": "y"}}])
BLOCK = st.builds(
    lambda family, cidr, without: {
        "ipBlock": {"cidr": in_family(family, cidr), "except": [in_family(family, each) for each in without]}
    },
    st.sampled_from(FAMILIES),
    st.sampled_from(("0.0.0.0/0", "10.244.0.0/24", "192.0.2.0/24")),
    st.lists(st.sampled_from(("10.244.0.6/31", "192.0.2.20/32")), max_size=1),
)
PEER = st.fixed_dictionaries({"podSelector": SELECTOR}, optional={"namespaceSelector": SPACES}) | BLOCK
PORT = st.one_of(
    st.fixed_dictionaries({"protocol": PROTOCOL}, optional={"port": st.sampled_from((8080, 9090, "web"))}),
    st.just({"protocol": "TCP", "port": 8000, "endPort": 8100}),
)


def sides(peers: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    rule = st.fixed_dictionaries({}, optional={peers: st.lists(PEER, max_size=2), "ports": st.lists(PORT, max_size=2)})
    return st.lists(rule, max_size=2)


POLICY = st.fixed_dictionaries(
    {
        "podSelector": SELECTOR,
        "policyTypes": st.sampled_from((["Ingress"], ["Egress"], ["Ingress", "Egress"])),
        "ingress": sides("from"),
        "egress": sides("to"),
    }
)
POLICIES = st.dictionaries(st.sampled_from(("x/p", "x/q", "y/p")), POLICY, max_size=2)


def isolation_of(policies: dict[str, Any], family: Family = IPV4) -> Policies:
    """Pods a and b are in x, c in y, and the host outside stands for a pod of y on another node."""

    def facts(name: str, node: str) -> PodFacts:
        return PodFacts({"pod": name}, (HOSTS[name], twin(HOSTS[name])), node, NAMED)

    known = Policies("n1", family)
    for name in "xy":
        known.put_namespace(name, {"ns": name})
    for name, namespace in (("a", "x"), ("b", "x"), ("c", "y")):
        known.put_pod(namespace, name, facts(name, "n1"))
    known.put_pod("y", "outside", facts("outside", "n2"))
    for name, spec in policies.items():
        known.put_policy(*name.split("/"), msgspec.convert({"spec": spec}, NetworkPolicy))
    return known


@st.composite
def scenes(draw: st.DrawFn, families: tuple[Family, ...] = (IPV4,)) -> Scene:
    count = draw(st.integers(0, 2))
    made = [draw(services(number, families)) for number in range(1, count + 1)]
    policies, said = draw(POLICIES), draw(st.sampled_from(SETTINGS))
    closed = balanced((service for service, _ in made), frozenset())
    rules = [
        compile_rules(made, (), said.on(NODES[each]), isolation_of(policies, each).isolation(), closed)
        for each in families
    ]
    asked = [packet for each in families for packet in packets([service for service, _ in made], each)]
    return Scene(tuple(rules), tuple(asked))


def packets(made: Sequence[Service], family: Family) -> list[tuple[str, Packet]]:
    """From every host to every door that there is, and to every pod."""
    hosts = {name: in_family(family, address) for name, address in HOSTS.items()}
    doors = [(hosts[name], port) for name in PODS for port in PORTS]
    doors += [(hosts["outside"], PORTS[0]), (in_family(family, "10.96.0.200"), 80)]
    for service in made:
        (port,) = service.spec.ports
        inside = family.those(service.spec.cluster_ips)
        outside = (*service.spec.external_ips, *(each.ip for each in service.status.load_balancer.ingress))
        doors += [(address, port.port) for address in (*inside, *family.those(outside))]
        doors += [(address, 81) for address in (*inside, *family.those(balanced([service], frozenset())))]
        if port.node_port:
            doors += [(hosts["node"], port.node_port), (in_family(family, GATEWAY), port.node_port)]
    return [
        (host, Packet(address, to, protocol, port, local=host == "node"))
        for host, address in hosts.items()
        for to, port in doors
        for protocol in ("tcp", "udp")
        if not unsaid(host, address, to, hosts)
    ]


def unsaid(host: str, address: str, to: str, hosts: dict[str, str]) -> bool:
    """What the model does not speak of: a host's own loopback, and routes that the host outside has not."""
    beyond = [hosts[name] for name in PODS] + [GATEWAY, twin(GATEWAY)]
    return address == to or (host == "outside" and to in beyond)


def answers(scene: Scene, sender: str, packet: Packet) -> set[Answer]:
    """What may come back."""
    family = family_of(packet.address)
    found = trace(next(each for each in scene.rules if each.node.family is family), packet)
    if not found.arrivals:
        return {found.fate}
    return {_answer(sender, each) for each in found.arrivals}


def _answer(sender: str, arrival: Arrival) -> Answer:
    hosts = {**HOSTS, "gateway": GATEWAY}
    family = family_of(arrival.target.address)
    name = next((name for name, each in hosts.items() if in_family(family, each) == arrival.target.address), "")
    if not arrival.passes or not name:
        return "drop"
    if arrival.target.port not in PORTS or name in ("node", "gateway"):
        return "reject"
    # Who hides behind the node's address on the node's link is not hidden when it is the node.
    return name, arrival.hidden and (sender, name) != ("node", "outside")
