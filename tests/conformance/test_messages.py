"""A change said to the kernel in messages of our own, and by the tool: the kernel must end up with the same table."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from navarch.base.errors import Retryable
from navarch.kinds.endpointslice import EndpointSlice
from navarch.kinds.networkpolicy import NetworkPolicy
from navarch.kinds.service import Service
from navarch.proxy import quick, script
from navarch.proxy.compile import compile_rules
from navarch.proxy.isolation import FREE
from navarch.proxy.nft import run_nft
from navarch.proxy.podfacts import PodFacts
from navarch.proxy.policy import Policies
from navarch.proxy.rules import Node, Rules
from navarch.testing.netns import NetworkNamespace

NODE = Node(name="n1", addresses=("192.0.2.10",), pod_cidr="10.244.0.0/24", cluster_cidr="10.244.0.0/16")
TABLE = "navarch-said"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


def rules(*addresses: str, port: int = 8080, peers: str = "ab", **more: Any) -> Rules:
    """A service, and a policy."""
    status = more.pop("status", {})
    spec = {"clusterIP": "10.96.0.1", "ports": [{"port": 80, "nodePort": 30080}], "selector": {"a": "b"}, **more}
    metadata = {"name": "web", "namespace": "default"}
    service = msgspec.convert({"metadata": metadata, "spec": spec, "status": status}, Service)
    endpoints = [{"addresses": [each], "nodeName": "n1"} for each in addresses]
    slices = [msgspec.convert({"endpoints": endpoints, "ports": [{"port": port}]}, EndpointSlice)]
    known = Policies("n1")
    for number, name in enumerate("abc" if len(peers) > 2 else peers):
        known.put_pod("default", name, PodFacts({}, (f"10.244.0.{number + 5}",), "n1", (("http", "tcp", 80),)))
    ports = [{"port": 80, "endPort": 90}, {"port": "http"}]
    blocks = [{"ipBlock": {"cidr": "10.0.0.0/9", "except": ["10.1.0.0/16", "10.2.3.4/32"]}}]
    rule = {"from": [{"podSelector": {}}, *blocks[: len(peers) - 1]], "ports": ports}
    policy = {"podSelector": {}, "ingress": [rule], "egress": [{}], "policyTypes": ["Ingress", "Egress"]}
    known.put_policy("default", "p", msgspec.convert({"spec": policy}, NetworkPolicy))
    return compile_rules([(service, slices)], (), NODE, known.isolation())


RANGES = ["203.0.113.0/24", "10.244.0.5/32", "10.0.0.0/9"]
BALANCED = {"loadBalancer": {"ingress": [{"ip": "198.51.100.7"}]}}
STEPS = (
    rules("10.244.0.5", "10.244.0.6", "10.244.1.7", type="NodePort"),
    rules("10.244.0.5", peers="a", type="NodePort", externalTrafficPolicy="Local"),
    rules(peers="abc", type="LoadBalancer", loadBalancerSourceRanges=RANGES, status=BALANCED),
    rules("10.244.0.6", port=9090, externalIPs=["198.51.100.8"]),
    rules("10.244.1.6", type="NodePort", externalTrafficPolicy="Local"),
    rules("10.244.1.6", "10.244.0.5", sessionAffinity="ClientIP"),
    msgspec.structs.replace(rules("10.244.1.6"), isolation=FREE),
    rules("10.244.1.7", peers="a", sessionAffinity="ClientIP"),
)


def shown_after(tell: Callable[[str], None]) -> list[list[str]]:
    """What the tool reads back after each step. The kernel keeps elements in an order of its own."""
    found = []
    with NetworkNamespace("said") as namespace:
        namespace.call(run_nft, script.whole(rules(), TABLE))
        held = rules()
        for step in (*STEPS, *STEPS[-2::-1]):
            namespace.call(tell, script.change(held, step, TABLE))
            held = step
            read = namespace.run("nft", "list", "ruleset").stdout
            found.append(sorted(re.findall(r"[^\s,{}]+", read)))
    return found


def in_messages(text: str) -> None:
    messages = quick.batch(text)
    assert messages is not None, text
    quick.send(messages)


def test_the_same_table() -> None:
    assert shown_after(in_messages) == shown_after(run_nft)


def test_what_the_kernel_refuses_changes_nothing() -> None:
    with NetworkNamespace("said") as namespace:
        namespace.call(run_nft, script.whole(rules("10.244.0.5"), TABLE))
        before = namespace.run("nft", "list", "ruleset").stdout
        text = script.change(rules("10.244.0.5"), rules("10.244.0.6"), TABLE)
        for wrong in (f"add element ip {TABLE} no-such-set {{ 10.0.0.1 }}", f"delete chain ip {TABLE} no-such-chain"):
            messages = quick.batch(f"{text}{wrong}\n")
            assert messages is not None
            with pytest.raises(Retryable, match="refused message"):
                namespace.call(quick.send, messages)
            assert namespace.run("nft", "list", "ruleset").stdout == before
