"""Claims find their volumes, and volumes outlive them as their policy says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from navarch.testing.cluster import Cluster


def is_now(phase: str) -> Callable[[Any], bool]:
    return lambda found: bool(found["status"].get("phase") == phase)


def volume(name: str, size: str, **spec: Any) -> dict[str, Any]:
    given = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": f"/tmp/{name}"}}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": {**given, **spec}}


def claim(name: str, size: str, **spec: Any) -> dict[str, Any]:
    given = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, "storageClassName": ""}
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": {**given, **spec}}


def test_a_claim_gets_the_smallest_volume_that_fits_and_leaves_it_released() -> None:
    with Cluster(nodes=0) as cluster:
        cluster.apply([volume("large", "9Gi"), volume("right", "2Gi"), volume("small", "1Gi")])
        cluster.apply([claim("data", "2Gi")])
        cluster.wait("pvc/data", is_now("Bound"))
        found = cluster.client.get("persistentvolumeclaims", "default", "data")
        assert (found.view.spec.volume_name, found.view.status.capacity) == ("right", {"storage": "2Gi"})
        bound = cluster.client.get("persistentvolumes", "", "right").view
        assert bound.status.phase == "Bound"
        assert bound.spec.claim_ref.name == "data"
        cluster.client.delete("persistentvolumeclaims", "default", "data")
        cluster.wait("pv/right", is_now("Released"))


def test_a_claim_that_waits_takes_the_volume_that_comes() -> None:
    with Cluster(nodes=0) as cluster:
        cluster.apply([claim("data", "2Gi")])
        cluster.wait("pvc/data", is_now("Pending"))
        cluster.apply([volume("late", "2Gi")])
        cluster.wait("pvc/data", is_now("Bound"))


STATEFULSET = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers: [{name: main, image: "db:v1", volumeMounts: [{name: data, mountPath: /data}]}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""


def test_a_statefulsets_claims_get_volumes_where_its_pods_run_and_keep_them_there() -> None:
    with Cluster(nodes=3) as cluster:
        cluster.apply(STATEFULSET)
        cluster.wait("statefulset/db", lambda found: found.get("status", {}).get("readyReplicas") == 2)
        claim_view = cluster.client.get("persistentvolumeclaims", "default", "data-db-0").view
        assert (claim_view.status.phase, claim_view.spec.storage_class_name) == ("Bound", "local-path")
        made = cluster.client.get("persistentvolumes", "", claim_view.spec.volume_name)
        pod = cluster.client.get("pods", "default", "db-0")
        required = made.document()["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
        assert required[0]["matchExpressions"][0]["values"] == [pod.view.spec.node_name]
        cluster.client.delete("pods", "default", "db-0")
        again = cluster.wait(
            "pod/db-0",
            lambda found: found["metadata"]["uid"] != pod.uid and found.get("status", {}).get("phase") == "Running",
        )
        assert again is not None
        assert again.view.spec.node_name == pod.view.spec.node_name
        size = {"spec": {"resources": {"requests": {"storage": "5Gi"}}}}
        cluster.client.patch("persistentvolumeclaims", "default", "data-db-0", size)
        cluster.wait("pvc/data-db-0", lambda found: found["status"]["capacity"]["storage"] == "5Gi")
        cluster.client.delete("statefulsets", "default", "db")
        cluster.client.delete("persistentvolumeclaims", "default", "data-db-0")
        cluster.wait(f"pv/{made.name}", "gone")


def test_a_pods_own_claim_comes_and_goes_with_it() -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {
            "containers": [{"name": "main", "image": "x"}],
            "volumes": [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": spec}}}],
        },
    }
    with Cluster() as cluster:
        cluster.apply([pod])
        cluster.wait("pod/p", is_now("Running"))
        cluster.wait("pvc/p-scratch", is_now("Bound"))
        cluster.client.delete("pods", "default", "p")
        cluster.wait("pvc/p-scratch", "gone")


def test_a_pod_whose_claim_cannot_be_bound_waits_and_says_so() -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {
            "containers": [{"name": "main", "image": "x"}],
            "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}],
        },
    }

    def says(text: str) -> Callable[[Any], bool]:
        return lambda found: text in str(found.get("status", {}).get("conditions"))

    with Cluster() as cluster:
        cluster.apply([pod])
        cluster.wait("pod/p", says('0/1 nodes are available: persistentvolumeclaim "data" not found.'))
        cluster.apply([claim("data", "2Gi")])
        cluster.wait("pod/p", says("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."))
        elsewhere = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["elsewhere"]}
        terms = {"required": {"nodeSelectorTerms": [{"matchExpressions": [elsewhere]}]}}
        cluster.apply([volume("far", "2Gi", nodeAffinity=terms)])
        cluster.wait("pod/p", says("1 node(s) didn't match PersistentVolume's node affinity"))
