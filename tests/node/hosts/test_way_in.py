"""The way in on three nodes: its program runs where it may, its image is on each, and requests come in at any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from real_cluster import Kubectl, navarch, pod, until
from shared_cluster import Node

pytestmark = pytest.mark.node

GROUP = "gateway.networking.k8s.io/v1"
SERVE = "echo here >/www/index.html; exec httpd -f -p 8080 -h /www"


@pytest.fixture(scope="module")
def away_from_the_server(kubectl: Kubectl, nodes: Sequence[Node]) -> Iterator[Kubectl]:
    """The add-on enabled while its pod may not be placed on the node where the server is."""
    kubectl("cordon", nodes[0].name)
    try:
        enabled = navarch("addon", "enable", "gateway")
        assert enabled.returncode == 0, enabled.stderr
        yield replace(kubectl, namespace="navarch-ingress")
    finally:
        kubectl("uncordon", nodes[0].name)
        kubectl("delete", "gateway,httproute", "--all")
        disabled = navarch("addon", "disable", "gateway")
    assert disabled.returncode == 0, disabled.stderr


def test_requests_come_in_at_every_node(kubectl: Kubectl, away_from_the_server: Kubectl, nodes: Sequence[Node]) -> None:
    own = away_from_the_server
    listener = {"name": "web", "port": 80, "protocol": "HTTP"}
    rule = {"backendRefs": [{"name": "web", "port": 80}]}
    kubectl.apply(
        pod("web", SERVE, readinessProbe={"httpGet": {"port": 8080}, "periodSeconds": 1}, nodeName=nodes[2].name),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
        },
        {
            "apiVersion": GROUP,
            "kind": "Gateway",
            "metadata": {"name": "front"},
            "spec": {"gatewayClassName": "traefik", "listeners": [listener]},
        },
        {
            "apiVersion": GROUP,
            "kind": "HTTPRoute",
            "metadata": {"name": "web"},
            "spec": {"parentRefs": [{"name": "front"}], "hostnames": ["web.test"], "rules": [rule]},
        },
    )
    kubectl.ready("web")
    placed = own("get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}").split()
    assert placed
    assert nodes[0].name not in placed
    port = own("get", "service", "traefik", "-o", "jsonpath={.spec.ports[0].nodePort}")

    def ask(source: Node, target: Node) -> str:
        words = ("--max-time", "15", "-H", "Host: web.test", f"http://{target.address}:{port}/")
        return source.run("sh", "-c", 'curl -s "$@" || true', "sh", *words).strip()

    until("the route to be served", lambda: ask(nodes[0], nodes[0]) == "here")
    for source in nodes:
        assert [ask(source, target) for target in nodes] == ["here"] * len(nodes)


def test_every_node_has_the_image(away_from_the_server: Kubectl, nodes: Sequence[Node]) -> None:
    where = "jsonpath={.spec.template.spec.containers[0].image}"
    image = away_from_the_server("get", "deployment", "traefik", "-o", where)
    for node in nodes:
        folders = ("--data-dir", str(node.layout.data), "--run-dir", str(node.layout.run))
        assert image in navarch("image", "list", "-o", "json", *folders).stdout, node.name
