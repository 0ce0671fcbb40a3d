"""The documents that the tests of specs create: as little as the API takes."""

from __future__ import annotations

from typing import Any

PAUSE = "registry.k8s.io/pause:3.10"
Document = dict[str, Any]


def configmap(name: str, labels: Document | None = None, **data: str) -> Document:
    return {"metadata": {"name": name, "labels": labels or {}}, "data": data}


def pod_spec(image: str = PAUSE, **more: Any) -> Document:
    return {"containers": [{"name": "main", "image": image}], **more}


def pod(name: str, labels: Document | None = None, *, image: str = PAUSE, **spec: Any) -> Document:
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": pod_spec(image, **spec)}


def template(labels: Document, image: str = PAUSE, **spec: Any) -> Document:
    return {"metadata": {"labels": labels}, "spec": pod_spec(image, **spec)}


def controller(name: str, replicas: int = 1, *, image: str = PAUSE, labels: Document | None = None) -> Document:
    """A ReplicationController."""
    chosen = labels or {"name": name}
    return {
        "metadata": {"name": name, "labels": chosen},
        "spec": {"replicas": replicas, "selector": chosen, "template": template(chosen, image)},
    }


def replicas(name: str, count: int = 1, *, image: str = PAUSE, labels: Document | None = None) -> Document:
    """A ReplicaSet or a Deployment."""
    chosen = labels or {"name": name}
    return {
        "metadata": {"name": name, "labels": chosen},
        "spec": {"replicas": count, "selector": {"matchLabels": chosen}, "template": template(chosen, image)},
    }


def service(name: str, selector: Document | None = None, **spec: Any) -> Document:
    found: Document = {"ports": [{"name": "http", "port": 80, "targetPort": 8080}], **spec}
    if selector is not None:
        found["selector"] = selector
    return {"metadata": {"name": name}, "spec": found}
