"""What a trace tells beside where a packet ends: whose rule it was, which policy, and what the next node does."""

from __future__ import annotations

from typing import Any

import msgspec

from navarch.kinds.endpointslice import EndpointSlice
from navarch.kinds.networkpolicy import NetworkPolicy
from navarch.kinds.service import Service
from navarch.proxy import script
from navarch.proxy.compile import compile_rules
from navarch.proxy.podfacts import PodFacts
from navarch.proxy.policy import Policies
from navarch.proxy.rules import Node, Rules
from navarch.proxy.trace import Packet, Trace, across, trace

PODS = {"web": ("10.244.1.5", "n2"), "friend": ("10.244.0.6", "n1"), "stranger": ("10.244.0.7", "n1")}
OUTSIDE = "203.0.113.5"


def node(name: str, number: int) -> Node:
    return Node(
        name=name,
        addresses=(f"192.0.2.{10 + number}",),
        pod_cidr=f"10.244.{number}.0/24",
        cluster_cidr="10.244.0.0/16",
        service_cidr="10.96.0.0/12",
    )


def cluster(*policies: dict[str, Any], **spec: Any) -> list[Rules]:
    """Two nodes, `web` behind a Service on the second, its callers on the first."""
    spec = {"clusterIP": "10.96.0.1", "selector": {"app": "web"}, "ports": [{"port": 80, "nodePort": 30080}], **spec}
    status = {"loadBalancer": {"ingress": [{"ip": "198.51.100.7"}]}}
    metadata = {"name": "web", "namespace": "shop"}
    service = msgspec.convert({"metadata": metadata, "spec": spec, "status": status}, Service)
    endpoints = [{"addresses": [PODS["web"][0]], "nodeName": "n2"}] if spec.get("ready", True) else []
    slices = [msgspec.convert({"endpoints": endpoints, "ports": [{"port": 8080}]}, EndpointSlice)]
    made = []
    for number, name in enumerate(("n1", "n2")):
        known = Policies(name)
        known.put_namespace("shop", {})
        for pod, (address, place) in PODS.items():
            known.put_pod("shop", pod, PodFacts({"app": pod}, (address,), place))
        for index, policy in enumerate(policies):
            known.put_policy("shop", f"p{index}", msgspec.convert({"spec": policy}, NetworkPolicy))
        made.append(compile_rules([(service, slices)], (), node(name, number), known.isolation()))
    return made


def from_(name: str, address: str, port: int, **more: Any) -> Packet:
    return Packet(PODS[name][0] if name in PODS else name, address, "tcp", port, **more)


def told(found: Trace) -> tuple[str, str, str]:
    return found.fate, found.part, found.rule


def test_whose_rule_it_was() -> None:
    (first, _) = cluster(type="LoadBalancer", loadBalancerSourceRanges=["10.0.0.0/8"])
    assert told(trace(first, from_("friend", "10.96.0.1", 80))) == ("arrives", "shop/web", "front")
    assert told(trace(first, from_(OUTSIDE, "192.0.2.10", 30080))) == ("arrives", "shop/web", "node port")
    assert told(trace(first, from_(OUTSIDE, "198.51.100.7", 80))) == ("drop", "shop/web", "guard")
    assert told(trace(first, from_("friend", "10.96.0.1", 81))) == ("reject", "shop/web", "unknown port")
    assert told(trace(first, from_("friend", "10.96.9.9", 80))) == ("drop", "", "unassigned")
    assert told(trace(first, from_("friend", "10.244.1.5", 8080))) == ("arrives", "", "")
    beside = msgspec.structs.replace(first, balanced=frozenset(("198.51.100.7", "198.51.100.8")))
    assert told(trace(first, from_("friend", "198.51.100.7", 81))) == ("arrives", "", "")
    assert told(trace(beside, from_("friend", "198.51.100.7", 81))) == ("reject", "shop/web", "unknown port")
    assert told(trace(beside, from_("friend", "198.51.100.8", 81))) == ("reject", "", "unassigned")
    (empty, _) = cluster(type="NodePort", ready=False)
    assert told(trace(empty, from_("friend", "10.96.0.1", 80))) == ("reject", "shop/web", "refused")
    assert told(trace(empty, from_(OUTSIDE, "192.0.2.10", 30080))) == ("reject", "shop/web", "refused")


FRIENDS = {
    "podSelector": {"matchLabels": {"app": "web"}},
    "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "friend"}}}], "ports": [{"port": 8080}]}],
}


def test_the_other_nodes_policy_has_its_say() -> None:
    nodes = cluster(FRIENDS)
    for name, fate in (("friend", "arrives"), ("stranger", "drop")):
        packet = from_(name, "10.96.0.1", 80)
        assert trace(nodes[0], packet).fate == "arrives", "nothing on the first node stops it"
        found = across(nodes, "n1", packet)
        assert found.fate == fate
        (arrival,) = found.arrivals
        (verdict,) = arrival.verdicts
        assert (verdict.passes, verdict.direction, verdict.policies) == (fate == "arrives", "ingress", ("shop/p0",))
        assert (found.part, found.rule) == ("shop/web", "front")


def test_who_is_hidden_is_judged_as_the_node_that_hides_him() -> None:
    nodes = cluster({**FRIENDS, "ingress": [{"from": [{"ipBlock": {"cidr": f"{OUTSIDE}/32"}}]}]}, type="NodePort")
    packet = from_(OUTSIDE, "192.0.2.10", 30080)
    assert across(nodes, "n1", packet).fate == "drop"
    through = {**FRIENDS, "ingress": [{"from": [{"ipBlock": {"cidr": "192.0.2.10/32"}}]}]}
    assert across(cluster(through, type="NodePort"), "n1", packet).fate == "arrives"


def test_what_the_first_node_stops_is_not_sent_on() -> None:
    nodes = cluster({"podSelector": {"matchLabels": {"app": "friend"}}, "policyTypes": ["Egress"]}, FRIENDS)
    (arrival,) = across(nodes, "n1", from_("friend", "10.96.0.1", 80)).arrivals
    assert [(each.direction, each.passes) for each in arrival.verdicts] == [("egress", False)]
    assert across(nodes, "n1", from_("friend", "10.96.9.9", 80)).fate == "drop"


def test_the_node_itself_is_not_judged() -> None:
    nodes = cluster({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
    assert trace(nodes[1], from_("192.0.2.11", "10.244.1.5", 8080, local=True)).fate == "arrives"
    assert trace(nodes[0], from_("friend", "192.0.2.10", 22)).fate == "arrives"
    assert trace(nodes[0], from_("friend", "10.244.0.1", 53)).fate == "arrives"
    assert trace(nodes[0], from_("friend", "10.244.0.7", 80)).fate == "drop"


def test_pods_of_other_plugins_are_hidden_from_the_world_by_those_or_not_at_all() -> None:
    ours = node("n1", 0)
    theirs = msgspec.structs.replace(ours, hides_pods=False)
    for here, hidden in ((ours, True), (theirs, False)):
        (arrival,) = trace(Rules(here), from_("friend", OUTSIDE, 443)).arrivals
        assert arrival.hidden == hidden
        rule = f"ip saddr {here.pod_cidr} ip daddr != {here.cluster_cidr}"
        assert (rule in script.whole(Rules(here), "t")) == hidden
