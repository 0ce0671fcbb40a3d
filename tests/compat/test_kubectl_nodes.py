"""`cordon`, `uncordon`, `drain`, `taint`: looking after nodes. The three nodes are this module's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from compat_driver import WEB, Kubectl, until

BUDGET = """
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {minAvailable: 2, selector: {matchLabels: {app: web}}}
"""


@contextmanager
def rolled_out(kubectl: Kubectl) -> Iterator[Kubectl]:
    """With the application, and everything as before afterwards."""
    kubectl.apply(WEB)
    kubectl("rollout", "status", "deploy/web", "--timeout=100s")
    yield kubectl
    kubectl("uncordon", "node-0", "node-1", "node-2")
    kubectl("delete", "deploy,pdb,pods", "--all", "--wait=false")
    until(lambda: kubectl("get", "pods", "-o", "name") == "")


@pytest.fixture
def web(kubectl: Kubectl) -> Iterator[Kubectl]:
    with rolled_out(kubectl) as made:
        yield made


@pytest.fixture
def one_web(one_kubectl: Kubectl) -> Iterator[Kubectl]:
    with rolled_out(one_kubectl) as made:
        yield made


def nodes_of(kubectl: Kubectl) -> list[str]:
    return kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].spec.nodeName}").split()


def status(kubectl: Kubectl, node: str) -> str:
    return kubectl.rows("get", "node", node, "--no-headers")[0][1]


def test_cordon(web: Kubectl) -> None:
    for node in ("node-0", "node-1"):
        assert web("cordon", node) == f"node/{node} cordoned\n"
    assert web("cordon", "node-0") == "node/node-0 already cordoned\n"
    assert status(web, "node-0") == "Ready,SchedulingDisabled"
    until(lambda: "node.kubernetes.io/unschedulable:NoSchedule" in web("describe", "node", "node-0"))
    web("run", "there", "--image=x")
    web("wait", "--for=condition=Ready", "pod/there", "--timeout=100s")
    assert web("get", "pod", "there", "-o", "jsonpath={.spec.nodeName}") == "node-2"
    web("cordon", "node-2")
    web("run", "nowhere", "--image=x")
    told = until(lambda: web("get", "events", "--field-selector=reason=FailedScheduling", "--no-headers"))
    assert "0/3 nodes are available: 3 node(s) were unschedulable." in told
    assert web.rows("get", "pod", "nowhere", "--no-headers")[0][:3] == ["nowhere", "0/1", "Pending"]
    assert web("uncordon", "node-0") == "node/node-0 uncordoned\n"
    web("wait", "--for=condition=Ready", "pod/nowhere", "--timeout=100s")
    assert 'nodes "nope" not found' in web.refused("cordon", "nope")


def test_drain(web: Kubectl) -> None:
    node = nodes_of(web)[0]
    text = web("drain", node, "--ignore-daemonsets", "--delete-emptydir-data")
    assert f"node/{node} cordoned" in text
    assert "evicted" in text
    assert text.splitlines()[-1] == f"node/{node} drained"
    web("rollout", "status", "deploy/web", "--timeout=100s")
    assert node not in nodes_of(web)
    assert status(web, node) == "Ready,SchedulingDisabled"


def test_drain_refuses_what_nobody_would_replace(web: Kubectl) -> None:
    web("run", "naked", "--image=x", '--overrides={"spec": {"nodeName": "node-1"}}')
    until(lambda: web.rows("get", "pod", "naked", "--no-headers")[0][2] == "Running")
    refused = web.refused("drain", "node-1")
    assert "cannot delete Pods that declare no controller (use --force to override)" in refused
    assert f"{web.namespace}/naked" in refused
    assert "naked" in web("get", "pods", "-o", "name")
    web("drain", "node-1", "--force")
    assert "naked" not in web("get", "pods", "-o", "name")


def test_drain_waits_for_budgets(one_web: Kubectl) -> None:
    one_web.apply(BUDGET)
    until(lambda: one_web.rows("get", "pdb", "--no-headers")[0][:4] == ["web", "2", "N/A", "0"])
    [node, *_] = nodes_of(one_web)
    refused = one_web.refused("drain", node, "--timeout=4s")
    assert "Cannot evict pod as it would violate the pod's disruption budget." in refused
    assert node in nodes_of(one_web)
    one_web("scale", "deploy", "web", "--replicas=6")
    until(lambda: one_web.rows("get", "pdb", "--no-headers")[0][3] == "4")
    one_web("drain", node, "--timeout=100s")
    assert node not in nodes_of(one_web)


def test_taint(web: Kubectl) -> None:
    web("taint", "node", "node-2", "kind=special:NoSchedule")
    assert "with same effect(s) and --overwrite is false" in web.refused(
        "taint", "node", "node-2", "kind=special:NoSchedule"
    )
    assert "Taints:             kind=special:NoSchedule" in web("describe", "node", "node-2")
    web("taint", "node", "node-2", "kind:NoSchedule-")
    web("taint", "node", "node-2", "away:NoExecute")
    until(lambda: "node-2" not in nodes_of(web))
    assert web("taint", "node", "node-2", "away-") == "node/node-2 untainted\n"
    assert "Taints:             <none>" in web("describe", "node", "node-2")


def test_labels_say_what_a_node_is_for(web: Kubectl) -> None:
    web("label", "node", "node-1", "node-role.kubernetes.io/worker=", "disk=ssd")
    assert web.rows("get", "nodes", "node-1", "--no-headers")[0][2] == "worker"
    web("run", "picky", "--image=x", '--overrides={"spec": {"nodeSelector": {"disk": "ssd"}}}')
    web("wait", "--for=condition=Ready", "pod/picky", "--timeout=100s")
    assert web("get", "pod", "picky", "-o", "jsonpath={.spec.nodeName}") == "node-1"
    web("run", "pickier", "--image=x", '--overrides={"spec": {"nodeSelector": {"disk": "tape"}}}')
    told = until(lambda: web("get", "events", "--field-selector=involvedObject.name=pickier", "--no-headers"))
    assert "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector." in told
    web("label", "node", "node-1", "node-role.kubernetes.io/worker-", "disk-")
