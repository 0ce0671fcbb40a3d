"""Ways that lead to pods themselves, from every node to every node: between pods, from nodes, by ports of the host, and
through the API server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conformance_api import Api
from crew import PROGRAM, Crew, http, udp
from real_cluster import PYTHON, Kubectl, pod, until

from tests.compat.conformance.conformance_specs import spec

pytestmark = pytest.mark.node

CHECKS = "[sig-network] Networking Granular Checks: Pods should function for "
PROXY = "[sig-network] Proxy version v1 "
GATE = 28087


@spec(CHECKS + "intra-pod communication: http [NodeConformance]")
@spec(CHECKS + "intra-pod communication: udp [NodeConformance]")
def test_pods_of_all_nodes_reach_each_other_under_their_own_addresses(crew: Crew) -> None:
    everyone = [each.name for each in crew.pods]
    probes = [kind(crew.address(name)) for kind in (http, udp) for name in everyone]
    found = crew.each(everyone, *probes)
    assert {who: [said.name for said in answers] for who, answers in found.items()} == dict.fromkeys(
        everyone, everyone * 2
    )
    seen = {who: {said.peer for said in answers} for who, answers in found.items()}
    assert seen == {who: {crew.address(who)} for who in everyone}


@spec(CHECKS + "node-pod communication: http [LinuxOnly] [NodeConformance]")
@spec(CHECKS + "node-pod communication: udp [LinuxOnly] [NodeConformance]")
def test_each_node_reaches_the_pods_of_all_nodes_and_they_reach_it(crew: Crew) -> None:
    everyone = [each.name for each in crew.pods]
    found = crew.each(crew.hosts, *[kind(crew.address(name)) for kind in (http, udp) for name in everyone])
    assert {who: [said.name for said in answers] for who, answers in found.items()} == dict.fromkeys(
        crew.hosts, everyone * 2
    )
    back = crew.each(everyone, *[kind(node.address, 28083) for kind in (http, udp) for node in crew.nodes])
    assert {who: [said.name for said in answers] for who, answers in back.items()} == dict.fromkeys(
        everyone, crew.hosts * 2
    )


@spec(
    "[sig-network] HostPort validates that there is no conflict between pods with same hostPort but different "
    "hostIP and protocol [LinuxOnly]"
)
def test_pods_share_a_port_of_their_node_by_address_and_protocol(crew: Crew) -> None:
    node, kubectl = crew.nodes[1], crew.kubectl()
    pods = {
        "loop": ("127.0.0.1", "TCP"),
        "outer": (node.address, "TCP"),
        "datagram": (node.address, "UDP"),
    }
    for name, (address, protocol) in pods.items():
        environment = [
            {"name": key, "value": value} for key, value in (("NAME", name), ("TCP", "8080"), ("UDP", "8080"))
        ]
        port = {"containerPort": 8080, "hostPort": GATE, "hostIP": address, "protocol": protocol}
        words = ["python3.11", "-c", PROGRAM, "serve"]
        # Through the scheduler, which is to see that they are not in each other's way.
        selector = {"kubernetes.io/hostname": node.name}
        kubectl.apply(pod(name, words, image=PYTHON, env=environment, ports=[port], nodeSelector=selector))
    kubectl.ready(*pods)
    elsewhere = ["x/a", "x/c", "y/a", "node/1", "node/3"]  # y/a is a pod of that node
    for said in crew.each(elsewhere, http(node.address, GATE), udp(node.address, GATE)).values():
        assert [each.name for each in said] == ["outer", "datagram"]
    [said] = crew.each(["node/2"], http("127.0.0.1", GATE)).values()
    assert said[0].name == "loop"
    kubectl("delete", "pod", *pods, "--timeout=100s")
    gone = http(node.address, GATE).once
    until("nobody there", lambda: "refused" in crew.ask({"node/1": [gone]})["node/1"][0].why)


@pytest.fixture(scope="module")
def paths(crew: Crew) -> dict[str, str]:
    """Whose answer comes on each path through the API server: pods by name and port, a service of each pod's own."""
    kubectl: Kubectl = crew.kubectl()
    found = {}
    for name in crew.three:
        letter = name[-1]
        ports = [{"name": "web", "port": 80, "targetPort": 8080}, {"name": "other", "port": 81, "targetPort": 8081}]
        given = {"selector": {"crew": "member", "pod": letter}, "ports": ports}
        kubectl.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"of-{letter}"}, "spec": given})
        base = f"/api/v1/namespaces/{kubectl.namespace}"
        for which in (f"pods/{letter}:8080", f"pods/http:{letter}:8081", f"pods/{letter}"):
            found[f"{base}/{which}/proxy"] = name
        for which in (f"services/of-{letter}:web", f"services/http:of-{letter}:81", f"services/of-{letter}:80"):
            found[f"{base}/{which}/proxy"] = name
    return found


@spec(PROXY + "A set of valid responses are returned for both pod and service Proxy")
@spec(PROXY + "A set of valid responses are returned for both pod and service ProxyWithPath")
@spec(PROXY + "should proxy through a service and a pod")
def test_the_api_server_leads_to_pods_and_services_of_each_node(crew: Crew, paths: dict[str, str]) -> None:
    api = Api(crew.kubeconfig)
    for path, name in paths.items():
        found = api.until(lambda path=path: _answered(api, "GET", f"{path}/a/b%20c?q=1"), path)
        assert (found["name"], found["path"]) == (name, "/a/b%20c?q=1")
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            found = _answered(api, method, f"{path}/x")
            assert (found["name"], found["method"], found["path"]) == (name, method, "/x")
        assert api.send("HEAD", f"{path}/").status == 200


def _answered(api: Api, method: str, path: str) -> dict[str, Any]:
    answer = api.send(method, path, b"{}" if method in ("POST", "PUT", "PATCH") else None)
    found: dict[str, Any] = json.loads(answer.body) if answer.status == 200 else {}
    return found
