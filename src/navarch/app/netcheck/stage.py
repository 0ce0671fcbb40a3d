"""What a check sets up, as documents: a namespace of its own, two small pods on every node, services, a policy. Pure.

The pods run the image that holds every pod's network anyway, so that nothing is pulled; they do nothing, and may do
nothing. What answers and sends is a program of the node's, in their networks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from navarch.app.netcheck.plan import BARRED_PORT, OPEN_PORT
from navarch.app.pause import PAUSE_IMAGE

PREFIX = "navarch-net-check"
LABEL = "navarch.dev/net-check"
ROLE, NODE_LABEL = "navarch.dev/net-check-role", "navarch.dev/net-check-node"
HEADLESS, POLICY = "all", "second"

Documents = list[dict[str, Any]]


def namespace(name: str) -> dict[str, Any]:
    level = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {LABEL: "true", **level}}}


def pod_name(role: str, number: int) -> str:
    return f"{role}-{number}"


def pods(space: str, nodes: Sequence[str]) -> Documents:
    return [
        _pod(space, pod_name(role, number), role, number, node)
        for number, node in enumerate(nodes)
        for role in ("first", "second")
    ]


def _pod(space: str, name: str, role: str, number: int, node: str) -> dict[str, Any]:
    allowed = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": 65534,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": space, "labels": {ROLE: role, NODE_LABEL: str(number)}},
        "spec": {
            "nodeName": node,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 0,
            "tolerations": [{"operator": "Exists"}],
            "containers": [
                {"name": "probe", "image": PAUSE_IMAGE, "imagePullPolicy": "Never", "securityContext": allowed}
            ],
        },
    }


def services(space: str, nodes: Sequence[str]) -> Documents:
    """One for each node's first pod, and one without an address for all."""
    ports = [
        {"name": kind, "protocol": kind.upper(), "port": OPEN_PORT, "targetPort": OPEN_PORT} for kind in ("tcp", "udp")
    ]
    made = [
        _service(
            space, f"node-{number}", {"type": "NodePort", "ports": ports}, {ROLE: "first", NODE_LABEL: str(number)}
        )
        for number in range(len(nodes))
    ]
    return [*made, _service(space, HEADLESS, {"clusterIP": "None", "ports": ports}, {ROLE: "first"})]


def _service(space: str, name: str, spec: Mapping[str, Any], selector: Mapping[str, str]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": space}
    full = {"ipFamilyPolicy": "PreferDualStack", **spec, "selector": {**selector}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": full}


def policy(space: str) -> dict[str, Any]:
    """The first pods may reach the second ones at one port, and nobody at another."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": POLICY, "namespace": space},
        "spec": {
            "podSelector": {"matchLabels": {ROLE: "second"}},
            "policyTypes": ["Ingress"],
            "ingress": [
                {
                    "from": [{"podSelector": {"matchLabels": {ROLE: "first"}}}],
                    "ports": [{"protocol": "TCP", "port": OPEN_PORT}],
                },
                {
                    "from": [{"podSelector": {"matchLabels": {ROLE: "nobody"}}}],
                    "ports": [{"protocol": "TCP", "port": BARRED_PORT}],
                },
            ],
        },
    }
