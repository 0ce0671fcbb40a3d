"""What envtest cannot show, since it runs an API server and etcd and nothing else, and what happens here.

Source: https://book.kubebuilder.io/reference/envtest.html, "Testing considerations" and "Namespace usage limitation".
"""

from typing import Any

import pytest

from navarch.testing.cluster import RunningCluster

NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}}


def deployment(replicas: int) -> dict[str, Any]:
    labels = {"app": "web"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "web"}]}},
        },
    }


def test_a_namespace_finishes_deleting(navarch_cluster: RunningCluster) -> None:
    """In envtest it stays Terminating for ever, and a test needs a namespace that no other has used."""
    for _ in range(2):
        navarch_cluster.apply([NAMESPACE, deployment(1)])
        navarch_cluster.wait("deployment/web", "Available", namespace="shop")
        navarch_cluster.client.delete("namespaces", "", "shop")
        navarch_cluster.wait("namespace/shop", "gone")
        assert list(navarch_cluster.client.list("pods", "shop").items) == []


def test_what_is_owned_goes_with_its_owner(navarch_cluster: RunningCluster) -> None:
    """In envtest nothing is collected: tests can only look at the owner reference."""
    (owner,) = navarch_cluster.apply(OWNER)
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.uid}
    owned = {"name": "owned", "ownerReferences": [reference]}
    navarch_cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": owned})
    navarch_cluster.client.delete("configmaps", "default", "owner")
    navarch_cluster.wait("secret/owned", "gone")


@pytest.mark.navarch(nodes=3)
def test_a_deployment_makes_pods_that_get_ready(navarch_cluster: RunningCluster) -> None:
    """In envtest there are no ReplicaSets, pods and nodes: tests write the status themselves."""
    navarch_cluster.apply([NAMESPACE, deployment(3)])
    navarch_cluster.wait("deployment/web", "rolled out", namespace="shop")
    pods = navarch_cluster.client.list("pods", "shop").items
    assert {pod.view.spec.node_name for pod in pods} == {"node-0", "node-1", "node-2"}
    found = navarch_cluster.client.get("deployment", "shop", "web").document()["status"]
    assert (found["readyReplicas"], found["observedGeneration"]) == (3, 1)


@pytest.mark.navarch(frozen=True)
def test_a_finished_job_is_removed_in_time(navarch_cluster: RunningCluster) -> None:
    """In envtest a Job never runs; here it runs, ends, and is removed an hour later, at once."""
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "batch"}]}}
    spec = {"ttlSecondsAfterFinished": 3600, "template": template}
    navarch_cluster.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": spec})
    navarch_cluster.wait("job/once", "Complete", leap_s=60)
    navarch_cluster.clock.advance(minutes=59)
    navarch_cluster.wait("job/once", "exists")
    navarch_cluster.clock.advance(minutes=2)
    navarch_cluster.wait("job/once", "gone")
