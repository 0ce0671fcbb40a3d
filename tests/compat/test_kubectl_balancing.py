"""Services of type LoadBalancer through kubectl: who has an address, who waits, and why."""

from __future__ import annotations

from compat_driver import Kubectl, until

POOL = """
apiVersion: v1
kind: ConfigMap
metadata: {name: load-balancer, namespace: kube-system}
data: {addresses: "192.0.2.240 nonsense"}
"""


def address(kubectl: Kubectl, name: str) -> str:
    return kubectl.rows("get", "service", name, "--no-headers")[0][3]


def test_a_pool_gives_takes_back_and_says_why_it_does_not(kubectl: Kubectl) -> None:
    kubectl("create", "service", "loadbalancer", "first", "--tcp=80:80")
    assert address(kubectl, "first") == "<pending>"
    kubectl.apply(POOL)
    until(lambda: address(kubectl, "first") == "192.0.2.240")
    kubectl("wait", "service/first", "--for=jsonpath={.status.loadBalancer.ingress[0].ip}=192.0.2.240", "--timeout=60s")
    kubectl("create", "service", "loadbalancer", "second", "--tcp=80:80")
    until(
        lambda: (
            "Failed to allocate an address: the pool has no IPv4 address left"
            in kubectl("describe", "service", "second")
        )
    )
    assert address(kubectl, "second") == "<pending>"
    kubectl("patch", "service", "first", "-p", '{"spec": {"type": "ClusterIP"}}')
    until(lambda: address(kubectl, "second") == "192.0.2.240")
    assert "IPAllocated" in kubectl("describe", "service", "second")
    assert address(kubectl, "first") == "<none>"
    assert kubectl("get", "service", "second", "-o", "jsonpath={.status.conditions}") == ""
    kubectl("delete", "service", "first", "second")
    kubectl("delete", "configmap", "load-balancer", "-n", "kube-system")
