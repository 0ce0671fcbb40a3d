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
