"""What lets other machines join: the rights of who has a token, where the cluster is, and what its nodes must know.

Written at the server's start. What a person changed in the nodes' settings stays.

Source: https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

import yaml

from navarch.apiserver.bootstrap import ensure
from navarch.app.layout import Settings
from navarch.base.errors import AlreadyExists
from navarch.client.client import Client
from navarch.controllers.certificates.serving import ACCOUNT
from navarch.kinds import CLUSTERROLE, CLUSTERROLEBINDING, CONFIGMAP, ROLE, ROLEBINDING
from navarch.kinds.bootstraptoken import INFO, INFO_KEY, INFO_NAMESPACE, NODE_GROUP
from navarch.kinds.rbac import GROUP
from navarch.net.paths import MODES
from navarch.net.run import CONFIG, CONFIG_NAMESPACE, MODE
from navarch.objects.value import Document

NODES = "system:nodes"
ANONYMOUS = "system:anonymous"
CERTIFICATES = "certificates.k8s.io"
PREFIX = "system:navarch:"
SETTINGS = {
    "clusterCIDR": "cluster_cidr",
    "serviceCIDR": "service_cidr",
    "clusterDNS": "dns_ip",
    "clusterDomain": "cluster_domain",
}
"""What every node of a cluster has in common: how it is called for others, and among the settings."""

Rule = Mapping[str, Sequence[str]]


async def ensure_welcome(client: Client, settings: Settings, ca: bytes) -> None:
    await ensure(client, CLUSTERROLE, list(_cluster_roles()))
    await ensure(client, CLUSTERROLEBINDING, list(_cluster_role_bindings()))
    await ensure(client, ROLE, list(_roles()))
    await ensure(client, ROLEBINDING, list(_role_bindings()))
    await _ensure_data(client, INFO_NAMESPACE, INFO, {INFO_KEY: cluster_info(settings, ca)})
    await _ensure_data(client, CONFIG_NAMESPACE, CONFIG, cluster_config(settings), {MODE: MODES[0]})


def cluster_info(settings: Settings, ca: bytes) -> str:
    """A kubeconfig that names the server and its authority, and nobody."""
    server = {"server": settings.public_url, "certificate-authority-data": base64.b64encode(ca).decode()}
    document = {"apiVersion": "v1", "kind": "Config", "clusters": [{"name": "", "cluster": server}]}
    return yaml.safe_dump(document, sort_keys=False)


def cluster_config(settings: Settings) -> dict[str, str]:
    return {key: getattr(settings, name) for key, name in SETTINGS.items()}


async def _ensure_data(
    client: Client, namespace: str, name: str, data: Mapping[str, str], first: Mapping[str, str] = {}
) -> None:
    """These keys; others are left alone. first: what it has besides in the beginning, for people to change."""
    metadata = {"name": name, "namespace": namespace}
    document: Document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {**data, **first}}
    try:
        await client.create(CONFIGMAP, document)
    except AlreadyExists:
        await client.patch(CONFIGMAP, namespace, name, {"data": dict(data)})


def _cluster_roles() -> Sequence[Document]:
    approver = (
        _rule(CERTIFICATES, "certificatesigningrequests", "get", "list", "watch"),
        _rule(CERTIFICATES, "certificatesigningrequests/approval", "update"),
        {**_rule(CERTIFICATES, "signers", "approve"), "resourceNames": ["kubernetes.io/kubelet-serving"]},
        _rule("", "endpoints", "get"),
        _rule("", "services", "get"),
    )
    return (
        _role("ClusterRole", "", f"{PREFIX}serving-approver", *approver),
        _role("ClusterRole", "", f"{PREFIX}node-looker", _rule("", "nodes", "get")),
    )


def _cluster_role_bindings() -> Sequence[Document]:
    requests = "system:certificates.k8s.io:certificatesigningrequests:{}client"
    newcomers, account = {"kind": "Group", "name": NODE_GROUP}, {"kind": "ServiceAccount", "name": ACCOUNT}
    nodes = {"kind": "Group", "name": NODES}
    return tuple(
        _binding("ClusterRoleBinding", "", f"{PREFIX}{name}", "ClusterRole", role, subject)
        for name, role, subject in (
            ("node-bootstrapper", "system:node-bootstrapper", newcomers),
            ("node-approval", requests.format("node"), newcomers),
            ("node-renewal", requests.format("selfnode"), nodes),
            ("node-looker", f"{PREFIX}node-looker", newcomers),
            ("serving-approver", f"{PREFIX}serving-approver", account),
        )
    )


def _roles() -> Sequence[Document]:
    return tuple(
        _role("Role", space, f"{PREFIX}{name}", {**_rule("", "configmaps", *verbs), "resourceNames": [name]})
        for space, name, verbs in (
            (INFO_NAMESPACE, INFO, ("get",)),
            (CONFIG_NAMESPACE, CONFIG, ("get", "list", "watch")),
        )
    )


def _role_bindings() -> Sequence[Document]:
    nobody = {"kind": "User", "name": ANONYMOUS}
    groups = ({"kind": "Group", "name": NODE_GROUP}, {"kind": "Group", "name": NODES})
    info, config = f"{PREFIX}{INFO}", f"{PREFIX}{CONFIG}"
    return (
        _binding("RoleBinding", INFO_NAMESPACE, info, "Role", info, nobody),
        _binding("RoleBinding", CONFIG_NAMESPACE, config, "Role", config, *groups),
    )


def _rule(group: str, resource: str, *verbs: str) -> Document:
    return {"verbs": list(verbs), "apiGroups": [group], "resources": [resource]}


def _head(kind: str, namespace: str, name: str) -> Document:
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata}


def _role(kind: str, namespace: str, name: str, *rules: Document) -> Document:
    return {**_head(kind, namespace, name), "rules": list(rules)}


def _binding(kind: str, namespace: str, name: str, role_kind: str, role: str, *subjects: Document) -> Document:
    reference = {"apiGroup": GROUP, "kind": role_kind, "name": role}
    named = [
        {**one, "namespace": "kube-system"} if one["kind"] == "ServiceAccount" else {**one, "apiGroup": GROUP}
        for one in subjects
    ]
    return {**_head(kind, namespace, name), "roleRef": reference, "subjects": named}
