"""Custom resources in the library: collected with their owners, emptied with their namespace, and read by clients."""

from __future__ import annotations

from typing import Any

import navarch

CRD: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "boats.sea.example.com"},
    "spec": {
        "group": "sea.example.com",
        "scope": "Namespaced",
        "names": {"plural": "boats", "kind": "Boat"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "properties": {"sails": {"type": "integer"}}}},
                    }
                },
            }
        ],
    },
}


def boat(name: str, namespace: str = "default", **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "sea.example.com/v1",
        "kind": "Boat",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": {"sails": 2},
    }


def test_custom_resources_are_collected_and_emptied() -> None:
    with navarch.Cluster(nodes=0) as cluster:
        cluster.apply(CRD)
        cluster.wait("crd/boats.sea.example.com", "Established")
        (owner,) = cluster.apply(boat("owner"))
        reference = {"apiVersion": "sea.example.com/v1", "kind": "Boat", "name": "owner", "uid": owner.uid}
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "default"}}
        config["metadata"]["ownerReferences"] = [reference]  # type: ignore[index]
        cluster.apply(config)
        cluster.apply(boat("owned", ownerReferences=[reference]))
        cluster.client.delete("boats", "default", "owner")
        cluster.wait("configmap/c", "gone")
        cluster.wait("boat/owned", "gone")
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bay"}})
        cluster.apply(boat("moored", "bay"))
        cluster.client.delete("namespaces", "", "bay")
        cluster.wait("ns/bay", "gone")
        assert not cluster.client.list("boats").items
