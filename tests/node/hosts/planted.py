"""Faults of a network that are really planted on a cluster of three nodes, and what `navarch net check` must say.

Each is of a kind that the agents do not mend by themselves: what others did to the machine, or somebody wrote.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from real_cluster import Kubectl, navarch, pod, until
from shared_cluster import Node

TABLE = "planted"
GONE = "10.250.0.99"
"""An address of the nodes' network that nobody has."""


@dataclass(frozen=True)
class Ground:
    """victim: a pod on the second node; other: one on the third, which sends to it."""

    kubectl: Kubectl
    nodes: Sequence[Node]

    def cidr(self, node: Node) -> str:
        return str(self.kubectl.get("node", node.name)["spec"]["podCIDR"])

    def address(self, name: str) -> str:
        return str(self.kubectl.get("pod", name)["status"]["podIP"])

    def cable(self, name: str, node: Node) -> dict[str, Any]:
        """The end on the node of a pod's link."""
        index = int(self.kubectl("exec", name, "--", "cat", "/sys/class/net/eth0/iflink"))
        links: list[dict[str, Any]] = json.loads(node.run("ip", "-j", "link", "show"))
        return next(one for one in links if one["ifindex"] == index)


@dataclass(frozen=True)
class Fault:
    """hop, node, cause: of the one finding; node by its number, 0 for none. words: more, to the check. mode: how the
    nodes are joined meanwhile."""

    plant: Callable[[Ground], AbstractContextManager[None]]
    hop: str
    node: int
    cause: str
    words: tuple[str, ...] = field(default=())
    mode: str = "auto"


def victims(kubectl: Kubectl, nodes: Sequence[Node]) -> Ground:
    kubectl.apply(
        pod("victim", "exec sleep 3600", nodeName=nodes[1].name),
        pod("other", "exec sleep 3600", nodeName=nodes[2].name),
    )
    kubectl.ready("victim", "other")
    return Ground(kubectl, nodes)


def words(ground: Ground, fault: Fault) -> list[str]:
    return [each.format(space=ground.kubectl.namespace) for each in fault.words]


def check(kubeconfig: Path, *words: str) -> tuple[int, dict[str, Any]]:
    """What it exits with, and what it says."""
    done = navarch("net", "check", "-o", "json", *words, environment={"KUBECONFIG": str(kubeconfig)})
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout)


def healthy(kubeconfig: Path, *words: str) -> dict[str, Any]:
    code, report = check(kubeconfig, *words)
    amiss = [path for path in report["paths"] if not path["ok"]]
    assert (code, report["findings"], amiss) == (0, [], [])
    return report


def named(report: dict[str, Any], fault: Fault, nodes: Sequence[Node]) -> bool:
    """Whether there is a finding that names the fault: its hop, its node and its cause."""
    where = nodes[fault.node - 1].name if fault.node else ""
    return any(
        each["hop"] == fault.hop and each["node"] == where and re.search(fault.cause, each["cause"])
        for each in report["findings"]
    )


@contextmanager
def rules(node: Node, chain: str, rule: str) -> Iterator[None]:
    """chain: its type, hook and priority."""
    name = f"{TABLE}-{chain.split()[3]}"  # several may be planted at once
    node.run("nft", f"table ip {name} {{\nchain planted {{\n{chain}; policy accept\n{rule}\n}}\n}}")
    try:
        yield
    finally:
        node.run("nft", f"delete table ip {name}")


@contextmanager
def undone(node: Node, wrong: str, right: str) -> Iterator[None]:
    """Two commands."""
    node.run(*wrong.split())
    try:
        yield
    finally:
        node.run(*right.split())


@contextmanager
def objects(kubectl: Kubectl, *documents: dict[str, Any]) -> Iterator[None]:
    kubectl.apply(*documents)
    try:
        yield
    finally:
        kubectl("delete", "-f", "-", "--wait=true", stdin="\n---\n".join(json.dumps(one) for one in documents))


def wrong_route(ground: Ground) -> AbstractContextManager[None]:
    """Of somebody's, better than ours: the pods of the second node by way of one that is gone."""
    route = f"{ground.cidr(ground.nodes[1])} via {GONE}"
    return undone(ground.nodes[2], f"ip route add {route}", f"ip route del {route}")


def no_masquerade(ground: Ground) -> AbstractContextManager[None]:
    node = ground.nodes[1]
    own = f"ip saddr {ground.cidr(node)} ip daddr 10.250.0.0/24"
    return rules(node, "type nat hook postrouting priority srcnat - 5", f"{own} snat to ip saddr")


def dead_endpoint(ground: Ground) -> AbstractContextManager[None]:
    """It counts as ready, and nothing listens."""
    metadata = {"name": "dead", "labels": {"kubernetes.io/service-name": "dead"}}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "dead"}, "spec": {"ports": [{"port": 80}]}}
    endpoint = {"addresses": [ground.address("victim")], "conditions": {"ready": True}}
    part = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata, "addressType": "IPv4"}
    return objects(ground.kubectl, service, {**part, "endpoints": [endpoint], "ports": [{"port": 9999}]})


def policy_drop(ground: Ground) -> AbstractContextManager[None]:
    spec = {"podSelector": {}, "policyTypes": ["Ingress"]}
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "shut"}, "spec": spec}
    return objects(ground.kubectl, policy)


def dns_down(ground: Ground) -> AbstractContextManager[None]:
    return rules(
        ground.nodes[1], "type filter hook input priority -50", "meta l4proto { tcp, udp } th dport 10053 drop"
    )


def small_mtu(ground: Ground) -> AbstractContextManager[None]:
    """Less passes between the nodes than their interfaces say."""
    machine, cable = ground.nodes[0], ground.nodes[1].cable
    return undone(machine, f"ip link set {cable} mtu 1300", f"ip link set {cable} mtu 1500")


def no_forwarding(ground: Ground) -> AbstractContextManager[None]:
    """For one interface: whoever adds a pod to the network switches it on for all."""
    node = ground.nodes[2]
    key = f"net.ipv4.conf.{ground.cable('other', node)['master']}.forwarding"
    return undone(node, f"sysctl -qw {key}=0", f"sysctl -qw {key}=1")


def out_of_the_bridge(ground: Ground) -> AbstractContextManager[None]:
    node = ground.nodes[1]
    cable = ground.cable("victim", node)
    name = cable["ifname"]
    return undone(node, f"ip link set {name} nomaster", f"ip link set {name} master {cable['master']}")


def pod_link_down(ground: Ground) -> AbstractContextManager[None]:
    node = ground.nodes[1]
    name = ground.cable("victim", node)["ifname"]
    return undone(node, f"ip link set {name} down", f"ip link set {name} up")


def service_taken(ground: Ground) -> AbstractContextManager[None]:
    """The addresses of services, before our rules see them."""
    found = json.loads(ground.kubectl("get", "servicecidr", "kubernetes", "-o", "json"))["spec"]["cidrs"][0]
    rule = f"ip daddr {found} tcp dport 8080 drop"
    return rules(ground.nodes[2], "type filter hook prerouting priority -150", rule)


def node_ports_barred(ground: Ground) -> AbstractContextManager[None]:
    return rules(ground.nodes[1], "type filter hook prerouting priority -150", "tcp dport 30000-32767 drop")


def tunnel_barred(ground: Ground) -> AbstractContextManager[None]:
    return rules(ground.nodes[1], "type filter hook input priority -50", "udp dport 8472 drop")


def stale_neighbour(ground: Ground) -> AbstractContextManager[None]:
    node, address = ground.nodes[1], ground.address("victim")
    device = ground.cable("victim", node)["master"]
    entry = f"{address} dev {device}"
    wrong = f"ip neigh replace {entry} lladdr 02:00:00:00:00:01 nud permanent"
    return undone(node, wrong, f"ip neigh del {entry}")


def upstream_down(ground: Ground) -> AbstractContextManager[None]:
    data = {"stubDomains": json.dumps({"corp.example": [GONE]})}
    metadata = {"name": "kube-dns", "namespace": "kube-system"}
    there = Kubectl(ground.kubectl.kubeconfig, "kube-system")
    return objects(there, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


FAULTS = {
    "a route of somebody's in the way": Fault(wrong_route, "route", 3, r"over .* and not to"),
    "no masquerading": Fault(no_masquerade, "masquerade", 2, r"under their node's address: table ip planted"),
    "a dead endpoint": Fault(dead_endpoint, "endpoint", 2, r"/dead sends to .*:9999.* nothing listens there"),
    "a policy that drops": Fault(
        policy_drop,
        "asked",
        2,
        r"stops at its ingress: .*/shut",
        ("--path", "{space}/other,pod/{space}/victim:9999"),
    ),
    "a DNS server that does not answer": Fault(dns_down, "DNS", 2, r"table ip planted.*10053"),
    "a network of a smaller MTU": Fault(small_mtu, "MTU", 2, r"of more than about 1(2\d\d|300) bytes"),
    "forwarding that is off": Fault(
        no_forwarding, "forwarding", 3, r"forwards nothing that comes in by .*forwarding is 0"
    ),
    "a pod's link out of the bridge": Fault(out_of_the_bridge, "pod link", 2, r"/victim.* is in no bridge"),
    "a pod's link that is down": Fault(pod_link_down, "pod link", 2, r"link of pod .*/victim is down"),
    "service addresses that others take": Fault(service_taken, "service", 3, r"table ip planted.*8080"),
    "node ports that a firewall bars": Fault(node_ports_barred, "node port", 2, r"table ip planted.*30000-32767"),
    "a tunnel that a firewall bars": Fault(
        tunnel_barred, "route", 2, r"bars the tunnel between the nodes: table ip planted", mode="vxlan"
    ),
    "a stale neighbour": Fault(stale_neighbour, "pod link", 2, r"02:00:00:00:00:01.* somebody fixed"),
    "an upstream of DNS that is down": Fault(upstream_down, "upstream DNS", 0, r"corp.example by " + GONE),
}


@contextmanager
def joined_by(ground: Ground, mode: str) -> Iterator[None]:
    """Until the kernels have the routes for it."""

    def settle(wanted: str) -> None:
        patch = json.dumps({"data": {"podNetwork": wanted}})
        ground.kubectl("patch", "configmap", "navarch-config", "-n", "kube-system", "--type=merge", "-p", patch)
        second, third = ground.nodes[1:]
        for node, target in ((second, "other"), (third, "victim")):
            ways = ("ip", "route", "get", ground.address(target))
            until("the routes", lambda node=node, ways=ways: ("navarch-vx" in node.run(*ways)) == (wanted == "vxlan"))

    if mode == "auto":
        yield
        return
    settle(mode)
    try:
        yield
    finally:
        settle("auto")
