"""Pods of three nodes reach each other, themselves, and a Service, by address and by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from real_cluster import Kubectl, pod, until
from shared_cluster import Node

from navarch.app import lan

pytestmark = pytest.mark.node

SERVE = "hostname >/www/index.html; exec httpd -f -p 8080 -h /www"


@pytest.fixture(scope="module", autouse=True)
def pods(kubectl: Kubectl, nodes: Sequence[Node]) -> list[dict[str, Any]]:
    probe = {"httpGet": {"port": 8080}, "periodSeconds": 1}
    names = [f"on-{node.number}" for node in nodes]
    labels = {"app": "web"}
    for node in nodes:
        kubectl.apply(pod(f"on-{node.number}", SERVE, readinessProbe=probe, labels=labels, nodeName=node.name))
    spec = {"selector": labels, "type": "NodePort", "ports": [{"port": 80, "targetPort": 8080}]}
    kubectl.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec})
    kubectl.ready(*names)
    return [kubectl.get("pod", name) for name in names]


def test_each_pod_reaches_each_other_by_its_address(kubectl: Kubectl, pods: Sequence[dict[str, Any]]) -> None:
    addresses = [one["status"]["podIP"] for one in pods]
    assert len({address.rpartition(".")[0] for address in addresses}) == 3
    script = "; ".join(f"timeout 5 wget -qO- http://{address}:8080/" for address in addresses)
    for one in pods:
        answer = kubectl("exec", one["metadata"]["name"], "--", "sh", "-c", script)
        assert answer.split() == ["on-1", "on-2", "on-3"]


def test_each_pod_reaches_the_service_by_its_name_wherever_its_endpoints_are(
    kubectl: Kubectl, pods: Sequence[dict[str, Any]]
) -> None:
    script = "for i in $(seq 40); do timeout 5 wget -qO- http://web/; done"
    for one in pods:
        answers: set[str] = set()

        def all_three(name: str = one["metadata"]["name"], answers: set[str] = answers) -> bool:
            answers.update(kubectl("exec", name, "--", "sh", "-c", script).split())
            return answers == {"on-1", "on-2", "on-3"}

        until(f"answers of all pods to {one['metadata']['name']}", all_three)


def test_the_node_port_leads_in_from_each_node_to_each(kubectl: Kubectl, nodes: Sequence[Node]) -> None:
    port = kubectl.get("service", "web")["spec"]["ports"][0]["nodePort"]
    for source in nodes:
        for target in nodes:
            url = f"http://{target.address}:{port}/"
            assert source.run("curl", "-sf", "--max-time", "10", url).strip() in {"on-1", "on-2", "on-3"}


def test_the_link_keeps_its_address_whoever_leaves_it(nodes: Sequence[Node]) -> None:
    """A bridge without one of its own takes the least of its ports', which everybody else on the link knows it by."""
    kept = Path("/sys/class/net", lan.BRIDGE, "address")
    before = kept.read_text()
    for node in nodes[1:]:
        node.cut(silently=True)
        try:
            assert kept.read_text() == before
        finally:
            node.heal()
    assert Path("/sys/class/net", lan.BRIDGE, "addr_assign_type").read_text().strip() == "3", "set, and not taken over"
