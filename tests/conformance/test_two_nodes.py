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
from navarch.proxy.compile import compile_rules
from navarch.proxy.nft import NftDataplane
from navarch.proxy.podfacts import PodFacts
from navarch.proxy.policy import Policies
from navarch.proxy.rules import Node, Rules
from navarch.proxy.trace import Arrival, Packet, across
from navarch.testing.lan import PORTS, Answer, Lan
from navarch.testing.netns import NetworkNamespace
from navarch.testing.probing import Probe, probe

PLACES = {"a": "n1", "b": "n1", "c": "n2"}
VIP = "10.96.0.1"
NODES = tuple(
    Node(
        name=name,
        addresses=(address,),
        pod_cidr=pods,
        cluster_cidr="10.244.0.0/16",
        service_cidr="10.96.0.0/12",
        bridge="br0",
    )
    for name, address, pods in (("n1", "192.0.2.10", "10.244.0.0/24"), ("n2", "192.0.2.20", "10.244.1.0/24"))
)


class TwoNodes(Lan):
    """The host outside is a second node, with a pod `c` of its own."""

    def __init__(self) -> None:
        super().__init__()
        far, pod = self.hosts["outside"], NetworkNamespace("c")
        self.hosts["c"], self.addresses["c"] = pod, "10.244.1.5"
        far.ip("link add br0 type bridge", "addr add 10.244.1.1/24 dev br0", "link set br0 up")
        far.ip(f"link add veth-c type veth peer name eth0 netns {pod.path}", "link set veth-c master br0 up")
        far.ip("link set veth-c type bridge_slave hairpin on", "route add 10.244.0.0/24 via 192.0.2.10")
        far.sysctl([("net/ipv4/ip_forward", "1"), ("net/bridge/bridge-nf-call-iptables", "1")])
        pod.ip("addr add 10.244.1.5/24 dev eth0", "link set eth0 up", "route add default via 10.244.1.1")
        self.node.ip("route add 10.244.1.0/24 via 192.0.2.20")
        pod.sysctl([("net/ipv4/icmp_ratemask", "0")])
        self._serve("c", PORTS)
        self.places = {"n1": self.node, "n2": far}
        self._planes = {name: at.call(NftDataplane, f"navarch-two-{os.getpid()}") for name, at in self.places.items()}

    def put(self, rules: list[Rules]) -> None:
        for each in rules:
            plane = self._planes[each.node.name]
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


def rules(lan: TwoNodes, *policies: dict[str, Any]) -> list[Rules]:
    """A Service with a pod on each node behind it, seen from both."""
    spec = {"clusterIP": VIP, "selector": {"app": "web"}, "ports": [{"port": 80}]}
    service = msgspec.convert({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec}, Service)
    endpoints = [{"addresses": [lan.addresses[pod]], "nodeName": PLACES[pod]} for pod in "bc"]
    slices = [msgspec.convert({"endpoints": endpoints, "ports": [{"port": 8080}]}, EndpointSlice)]
    made = []
    for node in NODES:
        known = Policies(node.name)
        known.put_namespace("shop", {})
        for pod, place in PLACES.items():
            known.put_pod("shop", pod, PodFacts({"pod": pod}, (lan.addresses[pod],), place))
        for number, policy in enumerate(policies):
            known.put_policy("shop", f"p{number}", msgspec.convert({"spec": policy}, NetworkPolicy))
        made.append(compile_rules([(service, slices)], (), node, known.isolation()))
    return made


def selects(pod: str) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": {"pod": pod}}}


def possible(lan: TwoNodes, made: list[Rules], sender: str, packet: Packet) -> set[Answer]:
    found = across(made, PLACES[sender], packet)

    def answer(arrival: Arrival) -> Answer:
        name = next(name for name, address in lan.addresses.items() if address == arrival.target.address)
        return (name, arrival.hidden) if arrival.passes else "drop"

    return {answer(each) for each in found.arrivals} or {found.fate}


LET_ALL_IN: dict[str, Any] = {**selects("c"), "ingress": [{}]}
FIRST_NODE_BUT_B: dict[str, Any] = {"ipBlock": {"cidr": "10.244.0.0/24", "except": ["10.244.0.6/32"]}}


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
        (
            {
                **selects("c"),
                "ingress": [{"from": [{"ipBlock": {"cidr": "10.244.0.0/24", "except": ["10.244.0.6/32"]}}]}],
            },
        ),
    ],
)
def test_each_node_enforces_its_part(lan: TwoNodes, policies: tuple[dict[str, Any], ...]) -> None:
    made = rules(lan, *policies)
    lan.put(made)
    doors = [(VIP, 80), *((lan.addresses[pod], port) for pod in PLACES for port in PORTS)]
    asked = [
        (sender, Packet(lan.addresses[sender], address, protocol, port))
        for sender in PLACES
        for address, port in doors
        for protocol in ("tcp", "udp")
        if address != lan.addresses[sender]
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
