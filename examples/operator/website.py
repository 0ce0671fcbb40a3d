"""An operator on kopf: each Website has a Deployment, which goes with it."""

import os
from typing import Any

import kopf
import kubernetes

WEBSITES = ("example.com", "v1", "websites")


@kopf.on.login()
def login(**told: Any) -> Any:
    """In a cluster as its service account; elsewhere by KUBECONFIG, as it is now (the client read it on import)."""
    if "KUBECONFIG" not in os.environ:
        kubernetes.config.load_incluster_config()
        return kopf.login_with_service_account(**told)
    kubernetes.config.load_kube_config(os.environ["KUBECONFIG"])
    return kopf.login_with_kubeconfig(**told)


@kopf.on.create(*WEBSITES)
def create(spec: Any, name: str, namespace: str, **_: Any) -> None:
    labels = {"site": name}
    container = {"name": "web", "image": spec["image"]}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": spec["replicas"],
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    kopf.adopt(deployment)
    kubernetes.client.AppsV1Api().create_namespaced_deployment(namespace, deployment)


@kopf.on.update(*WEBSITES, field="spec.replicas")
def scale(new: int, name: str, namespace: str, **_: Any) -> None:
    patch = {"spec": {"replicas": new}}
    kubernetes.client.AppsV1Api().patch_namespaced_deployment(name, namespace, patch)
