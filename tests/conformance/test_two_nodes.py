"""Services and policies across two nodes, by real connections: each node enforces what concerns its own pods, and what
`across` tells is what happens."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from navarch.kinds.endpointslice import EndpointSlice
from navarch.kinds.networkpolicy import NetworkPolicy
from navarch.kinds.service import Service
from navarch.proxy.addresses import FAMILIES, IPV4, Family
from navarch.proxy.compile import compile_rules
from navarch.proxy.nft import NftDataplane
from navarch.proxy.podfacts import PodFacts
from navarch.proxy.policy import Policies
from navarch.proxy.rules import Node, Rules
from navarch.proxy.trace import Arrival, Packet, across
from navarch.testing.lan import PORTS, Answer, Lan, twin
from navarch.testing.netns import NetworkNamespace
from navarch.testing.probing import Probe, probe

AT = {"n1": twin("192.0.2.10"), "n2": twin("192.0.2.20")}
PLACES = {"a": "n1", "b": "n1", "c": "n2"}
VIP = "10.96.0.1"


def in_family(family: Family, text: str) -> str:
    return text if family is IPV4 else twin(text)


NODES = {
    family: tuple(
        Node(
            name=name,
            addresses=(in_family(family, address),),
            pod_cidr=in_family(family, pods),
            cluster_cidr="10.244.0.0/16" if family is IPV4 else "fd00:10:244::/48",
            service_cidr="10.96.0.0/12" if family is IPV4 else "fd00:10:96::/112",
            bridge="br0",
        )
        for name, address, pods in (("n1", "192.0.2.10", "10.244.0.0/24"), ("n2", "192.0.2.20", "10.244.1.0/24"))
    )
    for family in FAMILIES
}


class TwoNodes(Lan):
    """The host outside is a second node, with a pod `c` of its own."""

    def __init__(self) -> None:
        super().__init__(ipv6=True)
        far, pod = self.hosts["outside"], NetworkNamespace("c")
        self.hosts["c"], self.addresses["c"] = pod, "10.244.1.5"
        far.ip("link add br0 type bridge", "addr add 10.244.1.1/24 dev br0", "link set br0 up")
        far.ip(f"link add veth-c type veth peer name eth0 netns {pod.path}", "link set veth-c master br0 up")
        far.ip("link set veth-c type bridge_slave hairpin on", "route add 10.244.0.0/24 via 192.0.2.10")
        far.sysctl([("net/ipv4/ip_forward", "1"), ("net/bridge/bridge-nf-call-iptables", "1")])
        pod.ip("addr add 10.244.1.5/24 dev eth0", "link set eth0 up", "route add default via 10.244.1.1")
        self.node.ip("route add 10.244.1.0/24 via 192.0.2.20")
        pod.sysctl([("net/ipv4/icmp_ratemask", "0"), ("net/ipv6/icmp/ratelimit", "0")])
        far.sysctl([("net/ipv6/conf/all/forwarding", "1"), ("net/bridge/bridge-nf-call-ip6tables", "1")])
        far.ip(f"addr add {twin('10.244.1.1')}/120 dev br0 nodad", f"route add {twin('10.244.0.0/24')} via {AT['n1']}")
        pod.ip(f"addr add {twin('10.244.1.5')}/120 dev eth0 nodad", f"route add default via {twin('10.244.1.1')}")
        self.node.ip(f"route add {twin('10.244.1.0/24')} via {AT['n2']}")
        self._serve("c", PORTS)
        self.places = {"n1": self.node, "n2": far}
        self._planes = {
            (name, family): at.call(NftDataplane, f"navarch-two-{os.getpid()}", family, alone=False)
            for name, at in self.places.items()
            for family in FAMILIES
        }

    def put(self, rules: list[Rules]) -> None:
        for each in rules:
            plane = self._planes[each.node.name, each.node.family]
            self.places[each.node.name].call(asyncio.run, plane.replace(plane.current(), each))

    def close(self) -> None:
        for plane in self._planes.values():
            plane.close()
        super().close()


@pytest.fixture(scope="module")
def lan() -> Iterator[TwoNodes]:
    if os.geteuid():
        pytest.skip("network namespaces need root")
    made = TwoNodes()
    yield made
    made.close()


def rules(lan: TwoNodes, family: Family, *policies: dict[str, Any]) -> list[Rules]:
    """A Service with a pod on each node behind it, seen from both."""
    spec = {"clusterIP": in_family(family, VIP), "selector": {"app": "web"}, "ports": [{"port": 80}]}
    service = msgspec.convert({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec}, Service)
    addresses = {pod: in_family(family, lan.addresses[pod]) for pod in PLACES}
    endpoints = [{"addresses": [addresses[pod]], "nodeName": PLACES[pod]} for pod in "bc"]
    ends = {"addressType": family.name, "endpoints": endpoints, "ports": [{"port": 8080}]}
    slices = [msgspec.convert(ends, EndpointSlice)]
    made = []
    for node in NODES[family]:
        known = Policies(node.name, family)
        known.put_namespace("shop", {})
        for pod, place in PLACES.items():
            known.put_pod("shop", pod, PodFacts({"pod": pod}, (addresses[pod],), place))
        for number, policy in enumerate(policies):
            known.put_policy("shop", f"p{number}", msgspec.convert({"spec": policy}, NetworkPolicy))
        made.append(compile_rules([(service, slices)], (), node, known.isolation()))
    return made


def selects(pod: str) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": {"pod": pod}}}


def possible(lan: TwoNodes, made: list[Rules], sender: str, packet: Packet) -> set[Answer]:
    found = across(made, PLACES[sender], packet)

    def answer(arrival: Arrival) -> Answer:
        name = next(name for name in lan.addresses if lan.address(name, packet.address) == arrival.target.address)
        return (name, arrival.hidden) if arrival.passes else "drop"

    return {answer(each) for each in found.arrivals} or {found.fate}


LET_ALL_IN: dict[str, Any] = {**selects("c"), "ingress": [{}]}
FIRST_NODE_BUT_B: dict[str, Any] = {"ipBlock": {"cidr": "10.244.0.0/24", "except": ["10.244.0.6/32"]}}
FIRST_NODE_BUT_B_IN_IPV6: dict[str, Any] = {
    "ipBlock": {"cidr": twin("10.244.0.0/24"), "except": [twin("10.244.0.6/32")]}
}


@pytest.mark.parametrize("family", FAMILIES, ids=["IPv4", "IPv6"])
@pytest.mark.parametrize(
    "policies",
    [
        (),
        ({**selects("c"), "policyTypes": ["Ingress"]},),
        ({**selects("a"), "policyTypes": ["Egress"]},),
        ({**selects("c"), "ingress": [{"from": [selects("a")], "ports": [{"port": 8080}]}]},),
        (
            {**selects("a"), "policyTypes": ["Egress"], "egress": [{"to": [selects("c")]}]},
            {**selects("c"), "ingress": [{}]},
        ),
        ({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},),
        ({**selects("c"), "ingress": [{"from": [FIRST_NODE_BUT_B, FIRST_NODE_BUT_B_IN_IPV6]}]},),
    ],
)
def test_each_node_enforces_its_part(lan: TwoNodes, policies: tuple[dict[str, Any], ...], family: Family) -> None:
    made = rules(lan, family, *policies)
    lan.put(made)
    vip = in_family(family, VIP)
    doors = [(vip, 80), *((lan.address(pod, vip), port) for pod in PLACES for port in PORTS)]
    asked = [
        (sender, Packet(lan.address(sender, vip), address, protocol, port))
        for sender in PLACES
        for address, port in doors
        for protocol in ("tcp", "udp")
        if address != lan.address(sender, vip)
    ]
    expected = [possible(lan, made, sender, packet) for sender, packet in asked]
    probes = [
        Probe(sender, packet.address, packet.port, packet.protocol, "drop" not in come)
        for (sender, packet), come in zip(asked, expected, strict=True)
    ]
    found = probe(lan, probes)
    wrong = [
        f"{each}: {answer}, and not one of {come}"
        for each, answer, come in zip(probes, found, expected, strict=True)
        if answer not in come
    ]
    assert wrong == []
