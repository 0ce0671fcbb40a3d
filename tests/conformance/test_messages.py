"""A change said to the kernel in messages of our own, and by the tool: the kernel must end up with the same table."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest

from navarch.base.errors import Retryable
from navarch.kinds.endpointslice import EndpointSlice
from navarch.kinds.networkpolicy import NetworkPolicy
from navarch.kinds.service import Service
from navarch.proxy import quick, script
from navarch.proxy.addresses import FAMILIES, IPV4, IPV6, Family
from navarch.proxy.compile import compile_rules
from navarch.proxy.isolation import FREE
from navarch.proxy.nft import run_nft
from navarch.proxy.podfacts import PodFacts
from navarch.proxy.policy import Policies
from navarch.proxy.rules import Node, Rules
from navarch.testing.netns import NetworkNamespace

NODE = Node(name="n1", addresses=("192.0.2.10",), pod_cidr="10.244.0.0/24", cluster_cidr="10.244.0.0/16")
NODES = {
    IPV4: NODE,
    IPV6: Node(name="n1", addresses=("2001:db8::10",), pod_cidr="fd00::af4:0/120", cluster_cidr="fd00::/64"),
}
TABLE = "navarch-said"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


def said(family: Family, text: str) -> str:
    """An address or network of IPv4, or one of IPv6 that ends with it."""
    if family is IPV4:
        return text
    address, _, prefix = text.partition("/")
    return f"fd00::{address}" + (f"/{int(prefix) + 96}" if prefix else "")


def rules(family: Family, *addresses: str, port: int = 8080, peers: str = "ab", **more: Any) -> Rules:
    """A service, and a policy."""
    status = more.pop("status", {})
    for ranges in ("loadBalancerSourceRanges", "externalIPs"):
        more |= {ranges: [said(family, each) for each in more.get(ranges, ())]}
    spec = {
        "clusterIP": said(family, "10.96.0.1"),
        "ports": [{"port": 80, "nodePort": 30080}],
        "selector": {"a": "b"},
        **more,
    }
    metadata = {"name": "web", "namespace": "default"}
    service = msgspec.convert({"metadata": metadata, "spec": spec, "status": status}, Service)
    endpoints = [{"addresses": [said(family, each)], "nodeName": "n1"} for each in addresses]
    ends = {"addressType": family.name, "endpoints": endpoints, "ports": [{"port": port}]}
    slices = [msgspec.convert(ends, EndpointSlice)]
    known = Policies("n1", family)
    for number, name in enumerate("abc" if len(peers) > 2 else peers):
        known.put_pod("default", name, PodFacts({}, (said(family, f"10.244.0.{number + 5}"),), "n1", HTTP))
    ports = [{"port": 80, "endPort": 90}, {"port": "http"}]
    without = [said(family, each) for each in ("10.1.0.0/16", "10.2.3.4/32")]
    blocks = [{"ipBlock": {"cidr": said(family, "10.0.0.0/9"), "except": without}}]
    rule = {"from": [{"podSelector": {}}, *blocks[: len(peers) - 1]], "ports": ports}
    policy = {"podSelector": {}, "ingress": [rule], "egress": [{}], "policyTypes": ["Ingress", "Egress"]}
    known.put_policy("default", "p", msgspec.convert({"spec": policy}, NetworkPolicy))
    return compile_rules([(service, slices)], (), NODES[family], known.isolation())


RANGES = ["203.0.113.0/24", "10.244.0.5/32", "10.0.0.0/9"]
HTTP = (("http", "tcp", 80),)


def steps(family: Family) -> tuple[Rules, ...]:
    balanced = {"loadBalancer": {"ingress": [{"ip": said(family, "198.51.100.7")}]}}
    make = partial(rules, family)
    return (
        make("10.244.0.5", "10.244.0.6", "10.244.1.7", type="NodePort"),
        make("10.244.0.5", peers="a", type="NodePort", externalTrafficPolicy="Local"),
        make(peers="abc", type="LoadBalancer", loadBalancerSourceRanges=RANGES, status=balanced),
        make("10.244.0.6", port=9090, externalIPs=["198.51.100.8"]),
        make("10.244.1.6", type="NodePort", externalTrafficPolicy="Local"),
        make("10.244.1.6", "10.244.0.5", sessionAffinity="ClientIP"),
        msgspec.structs.replace(make("10.244.1.6"), isolation=FREE),
        make("10.244.1.7", peers="a", sessionAffinity="ClientIP"),
    )


def shown_after(family: Family, tell: Callable[[str], None]) -> list[list[str]]:
    """What the tool reads back after each step. The kernel keeps elements in an order of its own."""
    found = []
    with NetworkNamespace("said") as namespace:
        namespace.call(run_nft, script.whole(rules(family), TABLE))
        held = rules(family)
        ways = steps(family)
        for step in (*ways, *ways[-2::-1]):
            namespace.call(tell, script.change(held, step, TABLE))
            held = step
            read = namespace.run("nft", "list", "ruleset").stdout
            found.append(sorted(re.findall(r"[^\s,{}]+", read)))
    return found


def in_messages(text: str) -> None:
    messages = quick.batch(text)
    assert messages is not None, text
    quick.send(messages)


@pytest.mark.parametrize("family", FAMILIES, ids=["IPv4", "IPv6"])
def test_the_same_table(family: Family) -> None:
    assert shown_after(family, in_messages) == shown_after(family, run_nft)


def test_what_the_kernel_refuses_changes_nothing() -> None:
    with NetworkNamespace("said") as namespace:
        namespace.call(run_nft, script.whole(rules(IPV4, "10.244.0.5"), TABLE))
        before = namespace.run("nft", "list", "ruleset").stdout
        text = script.change(rules(IPV4, "10.244.0.5"), rules(IPV4, "10.244.0.6"), TABLE)
        for wrong in (f"add element ip {TABLE} no-such-set {{ 10.0.0.1 }}", f"delete chain ip {TABLE} no-such-chain"):
            messages = quick.batch(f"{text}{wrong}\n")
            assert messages is not None
            with pytest.raises(Retryable, match="refused message"):
                namespace.call(quick.send, messages)
            assert namespace.run("nft", "list", "ruleset").stdout == before
