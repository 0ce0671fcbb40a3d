"""Policies, names and traces in a cluster of both families: what holds for IPv4 holds for IPv6."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from real_cluster import Kubectl, navarch, pod, until
from shared_cluster import Node

pytestmark = pytest.mark.node

SERVE = "mkdir -p /www; hostname >/www/index.html; exec httpd -f -p [::]:8080 -h /www"


@pytest.fixture(scope="module", autouse=True)
def pods(kubectl: Kubectl, nodes: Sequence[Node]) -> dict[str, list[str]]:
    """Addresses of a server on the first node, a friend and a stranger beside it, and a stranger on the other."""
    places = {"server": nodes[0], "friend": nodes[0], "stranger": nodes[0], "far": nodes[1]}
    for name, node in places.items():
        probe = {"httpGet": {"port": 8080}, "periodSeconds": 1}
        kubectl.apply(pod(name, SERVE, readinessProbe=probe, labels={"app": name}, nodeName=node.name))
    spec = {"selector": {"app": "server"}, "ipFamilyPolicy": "RequireDualStack"}
    header = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "server"}}
    kubectl.apply({**header, "spec": {**spec, "ports": [{"port": 80, "targetPort": 8080}]}})
    kubectl.ready(*places)
    return {name: [one["ip"] for one in kubectl.get("pod", name)["status"]["podIPs"]] for name in places}


def reaches(kubectl: Kubectl, name: str, address: str, port: int = 8080) -> bool:
    place = f"[{address}]" if ":" in address else address
    script = f"timeout 2 wget -qO- http://{place}:{port}/ || echo no"
    return kubectl("exec", name, "--", "sh", "-c", script).strip() != "no"


def link_local(kubectl: Kubectl, name: str) -> str:
    words = kubectl("exec", name, "--", "ip", "-o", "-6", "addr", "show", "dev", "eth0", "scope", "link").split()
    return words[words.index("inet6") + 1].partition("/")[0]


def test_policies_hold_for_every_address_of_a_pod(kubectl: Kubectl, pods: dict[str, list[str]]) -> None:
    own = link_local(kubectl, "server")
    assert reaches(kubectl, "stranger", f"{own}%eth0")
    assert all(reaches(kubectl, name, address) for name in ("stranger", "far") for address in pods["server"])
    peers: list[dict[str, Any]] = [
        {"podSelector": {"matchLabels": {"app": "friend"}}},
        {"ipBlock": {"cidr": f"{pods['far'][1]}/128"}},
    ]
    spec = {"podSelector": {"matchLabels": {"app": "server"}}, "ingress": [{"from": peers}]}
    header = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "server"}}
    kubectl.apply({**header, "spec": spec})
    try:
        six = pods["server"][1]
        until("the policy is in force", lambda: not reaches(kubectl, "stranger", six))
        assert not reaches(kubectl, "stranger", pods["server"][0])
        assert all(reaches(kubectl, "friend", address) for address in pods["server"])
        assert reaches(kubectl, "far", six), "its network is let in, of that family"
        assert not reaches(kubectl, "far", pods["server"][0])
        assert not reaches(kubectl, "stranger", f"{own}%eth0"), "no way around"
        assert kubectl.get("pod", "server")["status"]["containerStatuses"][0]["ready"], "its node it hears"
        words = ("net", "trace", f"{kubectl.namespace}/stranger", f"service/{kubectl.namespace}/server")
        done = navarch(*words, "--family", "ipv6", "-o", "json", "--kubeconfig", str(kubectl.kubeconfig))
        told = json.loads(done.stdout)
        assert (told["fate"], "is isolated by" in told["verdict"], six in str(told)) == ("stopped", True, True)
    finally:
        kubectl("delete", "networkpolicy", "server")
    until("the policy is gone", lambda: reaches(kubectl, "stranger", pods["server"][1]))


def test_names_have_addresses_of_both(kubectl: Kubectl) -> None:
    found = kubectl.get("service", "server")["spec"]["clusterIPs"]
    for kind, address in zip(("A", "AAAA"), found, strict=True):
        name = f"server.{kubectl.namespace}.svc.cluster.local"
        assert address in kubectl("exec", "friend", "--", "nslookup", f"-type={kind}", name)
    script = "timeout 10 wget -qO- http://server/"
    assert kubectl("exec", "friend", "--", "sh", "-c", script).strip() == "server"
