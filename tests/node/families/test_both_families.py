"""Pods with addresses of both families: on one node and on another, by address, through a Service, and from outside."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address, ip_network
from socketserver import ThreadingTCPServer
from typing import Any

import pytest
from real_cluster import Kubectl, navarch, pod, until
from shared_cluster import Node

pytestmark = pytest.mark.node

SERVE = "hostname >/www/index.html; exec httpd -f -p [::]:8080 -h /www"
VERSIONS = (4, 6)


@pytest.fixture(scope="module", autouse=True)
def pods(kubectl: Kubectl, nodes: Sequence[Node]) -> list[dict[str, Any]]:
    """One on each node, and a second one on the first."""
    labels, names = {"app": "web"}, []
    shown = [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": f"status.{name}"}}} for name in ("podIPs", "hostIPs")
    ]
    for number, node in enumerate((*nodes, nodes[0])):
        names.append(f"web-{number}")
        probe = {"httpGet": {"port": 8080}, "periodSeconds": 1}
        kubectl.apply(pod(names[-1], SERVE, env=shown, readinessProbe=probe, labels=labels, nodeName=node.name))
    spec = {"selector": labels, "type": "NodePort", "ipFamilyPolicy": "RequireDualStack"}
    ports = [{"port": 80, "targetPort": 8080}]
    kubectl.apply(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {**spec, "ports": ports}}
    )
    kubectl.ready(*names)
    return [kubectl.get("pod", name) for name in names]


def addresses(pod: dict[str, Any]) -> list[str]:
    return [one["ip"] for one in pod["status"]["podIPs"]]


def url(address: str, port: int) -> str:
    return f"http://[{address}]:{port}/" if ":" in address else f"http://{address}:{port}/"


def test_pods_and_nodes_say_their_addresses_of_both(kubectl: Kubectl, pods: Sequence[dict[str, Any]]) -> None:
    nodes = {node["metadata"]["name"]: node for node in json.loads(kubectl("get", "nodes", "-o", "json"))["items"]}
    for found in pods:
        node = nodes[found["spec"]["nodeName"]]
        own = [ip_address(address) for address in addresses(found)]
        ranges = [ip_network(text) for text in node["spec"]["podCIDRs"]]
        assert tuple(one.version for one in own) == VERSIONS
        assert all(one in range_ for one, range_ in zip(own, ranges, strict=True))
        internal = [one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP"]
        assert tuple(ip_address(address).version for address in internal) == VERSIONS
        told = kubectl("exec", found["metadata"]["name"], "--", "sh", "-c", "echo $podIPs $hostIPs").split()
        assert told == [",".join(addresses(found)), ",".join(internal)]
    assert json.loads(navarch("status", "-o", "json").stdout)["addresses"]["pods"].endswith(",fd00:10:244::/56")


def test_each_pod_reaches_each_other_by_either_address(kubectl: Kubectl, pods: Sequence[dict[str, Any]]) -> None:
    everyone = [url(address, 8080) for found in pods for address in addresses(found)]
    script = "; ".join(f"timeout 10 wget -qO- {one}" for one in everyone)
    expected = [found["metadata"]["name"] for found in pods for _ in VERSIONS]
    for found in pods:
        assert kubectl("exec", found["metadata"]["name"], "--", "sh", "-c", script).split() == expected


def test_the_service_is_reached_by_each_of_its_addresses_from_each_pod_and_node(
    kubectl: Kubectl, pods: Sequence[dict[str, Any]], nodes: Sequence[Node]
) -> None:
    service = kubectl.get("service", "web")["spec"]
    assert tuple(ip_address(one).version for one in service["clusterIPs"]) == VERSIONS
    everybody = {found["metadata"]["name"] for found in pods}
    for address in service["clusterIPs"]:
        script = f"for i in $(seq 30); do timeout 10 wget -qO- {url(address, 80)}; done"
        for found in pods[:2]:
            answers: set[str] = set()

            def all_of_them(
                name: str = found["metadata"]["name"], script: str = script, answers: set[str] = answers
            ) -> bool:
                answers.update(kubectl("exec", name, "--", "sh", "-c", script).split())
                return answers == everybody

            until(f"answers of all pods at {address} to {found['metadata']['name']}", all_of_them)
        assert nodes[0].run("curl", "-gsf", "--max-time", "10", url(address, 80)).strip() in everybody


def test_the_node_port_leads_in_by_each_address_of_a_node(kubectl: Kubectl, nodes: Sequence[Node]) -> None:
    port = kubectl.get("service", "web")["spec"]["ports"][0]["nodePort"]
    for node in nodes:
        status = kubectl.get("node", node.name)["status"]
        for address in (one["address"] for one in status["addresses"] if one["type"] == "InternalIP"):
            for source in nodes:
                answer = source.run("curl", "-gsf", "--max-time", "10", url(address, port)).strip()
                assert answer.startswith("web-"), (source.name, address)


class Echo(BaseHTTPRequestHandler):
    """Says who asks."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.client_address[0].encode())

    def log_message(self, *args: Any) -> None:
        """Nobody reads it."""


class Server(ThreadingTCPServer):
    """Without looking up its own name, as servers of HTTP do."""

    daemon_threads = True

    def __init__(self, address: str) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, 0), Echo)


def test_what_leaves_the_cluster_has_the_address_of_its_node(
    kubectl: Kubectl, pods: Sequence[dict[str, Any]], nodes: Sequence[Node]
) -> None:
    first, second = (
        [one["address"] for one in kubectl.get("node", node.name)["status"]["addresses"] if one["type"] == "InternalIP"]
        for node in nodes
    )
    for there, own in zip(first, second, strict=True):
        with Server(there) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            try:
                words = ("timeout", "20", "wget", "-qO-", url(there, server.server_address[1]))
                assert kubectl("exec", pods[1]["metadata"]["name"], "--", *words) == own
            finally:
                server.shutdown()
                thread.join()
