"""Services, endpoints and policies as Hypothesis makes them, on a node with three pods and a host outside.

What they come to is asked of the model, every packet of them; the tests ask a kernel the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from hypothesis import strategies as st

from navarch.kinds.endpointslice import EndpointSlice
from navarch.kinds.networkpolicy import NetworkPolicy
from navarch.kinds.service import Service
from navarch.proxy.compile import compile_rules
from navarch.proxy.podfacts import PodFacts
from navarch.proxy.policy import Policies
from navarch.proxy.rules import Node, Rules
from navarch.proxy.trace import Arrival, Packet, trace
from navarch.testing.lan import GATEWAY, Answer

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
NODES = (
    NODE,
    msgspec.structs.replace(NODE, masquerade_all=True),
    msgspec.structs.replace(NODE, node_port_networks=("10.0.0.0/8",)),
    msgspec.structs.replace(NODE, node_port_networks=("0.0.0.0/0",)),
)
NAMED = (("web", "tcp", 8080), ("web", "udp", 9090))


@dataclass(frozen=True)
class Scene:
    rules: Rules
    packets: tuple[tuple[str, Packet], ...]
    """With the host that sends it."""


ENDPOINTS = st.lists(
    st.builds(
        lambda host, ready, serving, terminating: {
            "addresses": [HOSTS[host]],
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
def services(draw: st.DrawFn, number: int) -> tuple[Service, list[EndpointSlice]]:
    kind = draw(st.sampled_from(("ClusterIP", "NodePort", "LoadBalancer")))
    protocol = draw(PROTOCOL)
    port: dict[str, Any] = {"port": 80, "protocol": protocol}
    spec: dict[str, Any] = {
        "type": kind,
        "clusterIP": f"10.96.0.{number}",
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
        spec["loadBalancerSourceRanges"] = draw(RANGES)
        mode = draw(st.sampled_from(("VIP", "Proxy")))
        status = {"loadBalancer": {"ingress": [{"ip": f"198.51.100.{number}", "ipMode": mode}]}}
    if draw(st.booleans()):
        spec["externalIPs"] = [f"198.51.100.{100 + number}"]
    slices = {"endpoints": draw(ENDPOINTS), "ports": [{"port": draw(st.sampled_from(PORTS)), "protocol": protocol}]}
    metadata = {"name": f"s{number}", "namespace": "default"}
    made = msgspec.convert({"metadata": metadata, "spec": spec, "status": status}, Service)
    return made, [msgspec.convert(slices, EndpointSlice)]


SELECTOR = st.sampled_from([{}, *({"matchLabels": {"pod": each}} for each in ("a", "b", "outside"))])
SPACES = st.sampled_from([{}, {"matchLabels": {"ns": "x"}}, {"matchLabels": {"ns": "y"}}])
BLOCK = st.builds(
    lambda cidr, without: {"ipBlock": {"cidr": cidr, "except": without}},
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


def isolation_of(policies: dict[str, Any]) -> Policies:
    """Pods a and b are in x, c in y, and the host outside stands for a pod of y on another node."""
    known = Policies("n1")
    for name in "xy":
        known.put_namespace(name, {"ns": name})
    for name, namespace in (("a", "x"), ("b", "x"), ("c", "y")):
        known.put_pod(namespace, name, PodFacts({"pod": name}, (PODS[name],), "n1", NAMED))
    known.put_pod("y", "outside", PodFacts({"pod": "outside"}, (HOSTS["outside"],), "n2", NAMED))
    for name, spec in policies.items():
        known.put_policy(*name.split("/"), msgspec.convert({"spec": spec}, NetworkPolicy))
    return known


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    count = draw(st.integers(0, 2))
    made = [draw(services(number)) for number in range(1, count + 1)]
    rules = compile_rules(made, (), draw(st.sampled_from(NODES)), isolation_of(draw(POLICIES)).isolation())
    return Scene(rules, tuple(packets([service for service, _ in made])))


def packets(made: list[Service]) -> list[tuple[str, Packet]]:
    """From every host to every door that there is, and to every pod."""
    doors = [(PODS[name], port) for name in PODS for port in PORTS]
    doors += [(HOSTS["outside"], PORTS[0]), ("10.96.0.200", 80)]
    for service in made:
        (port,) = service.spec.ports
        addresses = [service.spec.cluster_ip, *service.spec.external_ips]
        addresses += [each.ip for each in service.status.load_balancer.ingress]
        doors += [(address, port.port) for address in addresses]
        doors.append((service.spec.cluster_ip, 81))
        if port.node_port:
            doors += [(HOSTS["node"], port.node_port), (GATEWAY, port.node_port)]
    return [
        (host, Packet(address, to, protocol, port, local=host == "node"))
        for host, address in HOSTS.items()
        for to, port in doors
        for protocol in ("tcp", "udp")
        if not unsaid(host, to)
    ]


def unsaid(host: str, to: str) -> bool:
    """What the model does not speak of: a host's own loopback, and routes that the host outside has not."""
    return HOSTS[host] == to or (host == "outside" and to in (GATEWAY, *PODS.values()))


def answers(scene: Scene, sender: str, packet: Packet) -> set[Answer]:
    """What may come back."""
    found = trace(scene.rules, packet)
    if not found.arrivals:
        return {found.fate}
    return {_answer(sender, each) for each in found.arrivals}


def _answer(sender: str, arrival: Arrival) -> Answer:
    hosts = {**HOSTS, "gateway": GATEWAY}
    name = next((name for name, address in hosts.items() if address == arrival.target.address), "")
    if not arrival.passes or not name:
        return "drop"
    if arrival.target.port not in PORTS or name in ("node", "gateway"):
        return "reject"
    # Who hides behind the node's address on the node's link is not hidden when it is the node.
    return name, arrival.hidden and (sender, name) != ("node", "outside")
