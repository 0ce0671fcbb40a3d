"""An address of the load balancer on three nodes' link: a stranger is served, refused, and served by another node when
the one that has the address is lost."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from real_cluster import Kubectl, pod, until
from shared_cluster import Node

from navarch.app import lan
from navarch.proxy.announce.plan import speaker
from navarch.testing.netns import NetworkNamespace

pytestmark = pytest.mark.node

OWN, CABLE = "10.250.0.250", "navarch-strange"
POOL = [f"10.250.0.{last}" for last in range(200, 240)]
SERVE = "echo here >/www/index.html; exec httpd -f -p 8080 -h /www"
REFUSED = 7
"""What curl says of a connection that is refused."""


@pytest.fixture
def stranger() -> Iterator[NetworkNamespace]:
    """A machine on the nodes' link that is none of the cluster's."""
    with NetworkNamespace("stranger") as made:
        add = ["ip", "link", "add", CABLE, "type", "veth", "peer", "name", "eth0", "netns", made.path]
        subprocess.run(add, check=True, timeout=30)
        try:
            subprocess.run(["ip", "link", "set", CABLE, "master", lan.BRIDGE, "up"], check=True, timeout=30)
            made.ip(f"address add {OWN}/24 dev eth0", "link set eth0 up")
            yield made
        finally:
            subprocess.run(["ip", "link", "delete", CABLE], check=False, timeout=30)


def asked(stranger: NetworkNamespace, url: str) -> tuple[int, str]:
    within = ["nsenter", f"--net={stranger.path}"]
    done = subprocess.run([*within, "curl", "-s", "--max-time", "2", url], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout.strip()


def test_a_lost_nodes_address_is_answered_for_by_another(
    kubectl: Kubectl, nodes: Sequence[Node], stranger: NetworkNamespace
) -> None:
    names = {node.name: node for node in nodes}
    address = next(each for each in POOL if names[speaker(each, names)].cable)
    holder = names[speaker(address, names)]
    system = replace(kubectl, namespace="kube-system")
    system("create", "configmap", "load-balancer", f"--from-literal=addresses={address}")
    try:
        spec = {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}
        probe = {"httpGet": {"port": 8080}, "periodSeconds": 1}
        kubectl.apply(
            pod("web", SERVE, readinessProbe=probe, nodeName=nodes[0].name),
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec},
        )
        kubectl.ready("web")
        until("an answer at the address", lambda: asked(stranger, f"http://{address}/") == (0, "here"))
        until("a refusal beside it", lambda: asked(stranger, f"http://{address}:81/")[0] == REFUSED)
        holder.cut()
        try:
            until("an answer of another node", lambda: asked(stranger, f"http://{address}/") == (0, "here"))
        finally:
            holder.heal()
    finally:
        system("delete", "configmap", "load-balancer")
        kubectl("delete", "service", "web")
