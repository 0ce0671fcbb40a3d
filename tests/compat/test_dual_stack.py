"""A library cluster of both families, through kubectl: what Services, pods, nodes and slices say of their addresses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from compat_driver import Kubectl, kubectl_in, newest, until

import navarch
from navarch.testing.cluster import RunningCluster

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: web}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  ipFamilyPolicy: PreferDualStack
  selector: {app: web}
  ports: [{port: 80}]
"""
FAMILIES = ["IPv4", "IPv6"]


@pytest.fixture(scope="module")
def both() -> Iterator[RunningCluster]:
    with navarch.Cluster(nodes=2, families=FAMILIES) as found:
        yield found


@pytest.fixture
def kubectl(both: RunningCluster, home: Path, tmp_path: Path) -> Kubectl:
    return kubectl_in(both, newest(), home, tmp_path)


def shown(kubectl: Kubectl, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kubectl("get", *words, "-o", "json"))
    return found


def families_of(addresses: list[str]) -> list[str]:
    return [f"IPv{ip_address(one).version}" for one in addresses]


def test_pods_nodes_and_slices_have_addresses_of_both_families(kubectl: Kubectl) -> None:
    kubectl.apply(WEB)
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    pods = shown(kubectl, "pods", "-l", "app=web")["items"]
    own = [[one["ip"] for one in pod["status"]["podIPs"]] for pod in pods]
    assert [families_of(addresses) for addresses in own] == [FAMILIES] * 2
    assert [pod["status"]["podIP"] for pod in pods] == [addresses[0] for addresses in own]
    assert families_of([one["ip"] for one in pods[0]["status"]["hostIPs"]]) == FAMILIES
    nodes = {node["metadata"]["name"]: node for node in shown(kubectl, "nodes")["items"]}
    for pod, addresses in zip(pods, own, strict=True):
        node = nodes[pod["spec"]["nodeName"]]
        ranges = [ip_network(text) for text in node["spec"]["podCIDRs"]]
        assert all(ip_address(address) in range_ for address, range_ in zip(addresses, ranges, strict=True))
        internal = [one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP"]
        assert internal == [one["ip"] for one in pod["status"]["hostIPs"]]

    def of_slices() -> dict[str, list[str]]:
        found = shown(kubectl, "endpointslices", "-l", "kubernetes.io/service-name=web")["items"]
        return {
            one["addressType"]: sorted(address for end in one["endpoints"] or () for address in end["addresses"])
            for one in found
        }

    wanted = {family: sorted(addresses[index] for addresses in own) for index, family in enumerate(FAMILIES)}
    until(lambda: of_slices() == wanted)
    assert families_of(shown(kubectl, "service", "web")["spec"]["clusterIPs"]) == FAMILIES


def test_a_service_is_given_a_second_family_and_loses_it(kubectl: Kubectl) -> None:
    kubectl("create", "service", "clusterip", "one", "--tcp=80:80")
    first = shown(kubectl, "service", "one")["spec"]
    assert (first["ipFamilies"], first["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
    kubectl("patch", "service", "one", "-p", '{"spec": {"ipFamilyPolicy": "RequireDualStack"}}')
    both = shown(kubectl, "service", "one")["spec"]
    assert families_of(both["clusterIPs"]) == both["ipFamilies"] == FAMILIES

    def held() -> set[str]:
        found = shown(kubectl, "ipaddresses.networking.k8s.io")["items"]
        return {one["metadata"]["name"] for one in found if one["spec"]["parentRef"]["name"] == "one"}

    until(lambda: held() == set(both["clusterIPs"]))
    refused = kubectl.refused("patch", "service", "one", "-p", f'{{"spec": {{"clusterIPs": ["{both["clusterIP"]}"]}}}}')
    assert "must be set to 'SingleStack' when releasing the secondary clusterIP" in refused
    kubectl("patch", "service", "one", "-p", '{"spec": {"ipFamilyPolicy": "SingleStack"}}')
    assert shown(kubectl, "service", "one")["spec"]["clusterIPs"] == first["clusterIPs"]
    until(lambda: held() == set(first["clusterIPs"]))
    assert shown(kubectl, "servicecidr", "kubernetes")["spec"]["cidrs"] == ["10.96.0.0/16", "fd00:10:96::/112"]


def test_a_cluster_of_ipv6_alone() -> None:
    with navarch.Cluster(families=["IPv6"]) as found:
        found.apply(WEB)
        found.wait("deployment/web", "Available")
        service = found.client.get("services", "default", "web").document()["spec"]
        assert (service["ipFamilies"], service["ipFamilyPolicy"]) == (["IPv6"], "PreferDualStack")
        own = found.client.get("services", "default", "kubernetes").document()["spec"]
        assert own["clusterIPs"] == ["fd00:10:96::1"]
        pods = found.client.list("pods", "default").items
        assert {ip_address(pod.view.status.pod_ip).version for pod in pods} == {6}


@pytest.mark.parametrize("families", [[], ["IPv4", "IPv4"], ["IPv5"]])
def test_families_that_are_none(families: list[str]) -> None:
    with pytest.raises(ValueError, match="families are some of IPv4, IPv6, each once"):
        navarch.Cluster(families=families)
