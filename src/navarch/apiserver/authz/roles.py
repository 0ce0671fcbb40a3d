"""The roles and bindings that every cluster begins with, as documents.

The tables are in `roles_users` and `roles_controllers`: a line that begins a role has its name (before it the
namespace, if it is a Role), `< label` when it is put together from the roles with that label, `> label` when it
carries one; each indented line is a rule, `verbs | groups | resources | names` or `verbs | url | paths`, continued on
lines that are indented further. `core` is the core group; the words of `VERBS` stand for several verbs, and `record`
for a whole rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from navarch.apiserver.authz.roles_controllers import CONTROLLER_ROLES
from navarch.apiserver.authz.roles_users import CLUSTER_ROLES, ROLES
from navarch.kinds.rbac import GROUP, PolicyRule
from navarch.objects.value import Document

VERBS = {
    "all": ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"),
    "read": ("get", "list", "watch"),
    "write": ("create", "delete", "deletecollection", "patch", "update"),
}
RECORD = "create,patch,update | core,events.k8s.io | events"
AGGREGATE = f"{GROUP}/"
LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
SYSTEM = "kube-system"

OWN_ROLES = """
system:navarch:dns
  list,watch | core | endpoints namespaces services
  list,watch | discovery.k8s.io | endpointslices
system:navarch:network-policies
  list,watch | core | namespaces
  list,watch | networking.k8s.io | networkpolicies
"""
OWN_NAMESPACED_ROLES = """
kube-system system:navarch:dns
  read | core | configmaps | kube-dns
"""
"""What upstream leaves to add-ons, which bring their own roles."""

USERS = "User system:kube-controller-manager", "User system:kube-scheduler"

CLUSTER_BINDINGS: dict[str, tuple[str, ...]] = {
    "cluster-admin": ("Group system:masters",),
    "system:basic-user": ("Group system:authenticated",),
    "system:discovery": ("Group system:authenticated",),
    "system:kube-controller-manager": ("User system:kube-controller-manager",),
    "system:kube-dns": ("ServiceAccount kube-dns",),
    "system:kube-scheduler": ("User system:kube-scheduler",),
    "system:monitoring": ("Group system:monitoring",),
    "system:node": (),
    "system:node-proxier": ("User system:kube-proxy",),
    "system:public-info-viewer": ("Group system:authenticated", "Group system:unauthenticated"),
    "system:service-account-issuer-discovery": ("Group system:serviceaccounts",),
    "system:volume-scheduler": ("User system:kube-scheduler",),
    "system:navarch:dns": ("User system:navarch:dns", "Group system:nodes"),
    "system:navarch:network-policies": ("Group system:nodes",),
}
"""Name of the binding and of its cluster role -> subjects; service accounts are those of kube-system."""

NODE_PROXIER = "system:navarch:node-proxier"
"""One more binding: a node's proxy and its DNS run inside its agent and speak as the node."""

ROLE_BINDINGS: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {
    ("kube-public", "system:controller:bootstrap-signer"): (
        "system:controller:bootstrap-signer",
        ("ServiceAccount bootstrap-signer",),
    ),
    ("kube-public", "system:navarch:issuer"): ("system:navarch:issuer", ("Group system:authenticated",)),
    (SYSTEM, "system::extension-apiserver-authentication-reader"): (
        "extension-apiserver-authentication-reader",
        USERS,
    ),
    (SYSTEM, "system::leader-locking-kube-controller-manager"): (
        "system::leader-locking-kube-controller-manager",
        (
            "User system:kube-controller-manager",
            "ServiceAccount kube-controller-manager",
            "ServiceAccount leader-election-controller",
        ),
    ),
    (SYSTEM, "system::leader-locking-kube-scheduler"): (
        "system::leader-locking-kube-scheduler",
        ("User system:kube-scheduler", "ServiceAccount kube-scheduler"),
    ),
    (SYSTEM, "system:controller:bootstrap-signer"): (
        "system:controller:bootstrap-signer",
        ("ServiceAccount bootstrap-signer",),
    ),
    (SYSTEM, "system:controller:cloud-provider"): (
        "system:controller:cloud-provider",
        ("ServiceAccount cloud-provider",),
    ),
    (SYSTEM, "system:controller:token-cleaner"): (
        "system:controller:token-cleaner",
        ("ServiceAccount token-cleaner",),
    ),
    (SYSTEM, "system:navarch:dns"): ("system:navarch:dns", ("Group system:nodes",)),
}
"""Namespace and name of the binding -> its role and subjects."""


@dataclass(slots=True)
class Entry:
    """One role of a table."""

    name: str
    namespace: str = ""
    aggregates: str = ""
    aggregated_to: str = ""
    rules: list[Document] = field(default_factory=list)


def entries(table: str) -> Iterator[Entry]:
    """The roles of a table, in order."""
    entry: Entry | None = None
    rule = ""
    for line in [*table.strip("\n").splitlines(), "end"]:
        depth = len(line) - len(line.lstrip())
        if depth > 2:
            rule += f" {line.strip()}"
            continue
        if rule and entry is not None:
            entry.rules.append(parsed(rule))
        rule = line.strip() if depth else ""
        if not depth:
            if entry is not None:
                yield entry
            entry = _headed(line)


def _headed(line: str) -> Entry:
    rest, _, aggregated_to = line.partition(" > ")
    rest, _, aggregates = rest.partition(" < ")
    *namespace, name = rest.split()
    return Entry(name, "".join(namespace), aggregates.strip(), aggregated_to.strip())


def parsed(text: str) -> Document:
    """One rule as it is stored."""
    verbs, groups, resources, *names = (part.strip() for part in (RECORD if text == "record" else text).split(" | "))
    expanded = [verb for word in verbs.split(",") for verb in VERBS.get(word, (word,))]
    if groups == "url":
        return {"verbs": expanded, "nonResourceURLs": resources.split()}
    rule: Document = {
        "verbs": expanded,
        "apiGroups": ["" if group == "core" else group for group in groups.split(",")],
        "resources": resources.split(),
    }
    if names:
        rule["resourceNames"] = names[0].split()
    return rule


def _headed_document(kind: str, name: str, namespace: str = "", labels: dict[str, str] | None = None) -> Document:
    metadata: Document = {"name": name, "labels": {**LABELS, **(labels or {})}, "annotations": {AUTOUPDATE: "true"}}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata}


def cluster_roles() -> list[Document]:
    found = {entry.name: entry for entry in (*entries(CLUSTER_ROLES), *entries(OWN_ROLES))}
    made = []
    for entry in found.values():
        labels = {AGGREGATE + entry.aggregated_to: "true"} if entry.aggregated_to else None
        document = _headed_document("ClusterRole", entry.name, labels=labels)
        if entry.aggregates:
            selected = {"matchLabels": {AGGREGATE + entry.aggregates: "true"}}
            document["aggregationRule"] = {"clusterRoleSelectors": [selected]}
        document["rules"] = _resolved(entry, list(found.values()))
        made.append(document)
    for entry in entries(CONTROLLER_ROLES):
        document = _headed_document("ClusterRole", f"system:controller:{entry.name}")
        document["rules"] = entry.rules
        made.append(document)
    return made


def _resolved(entry: Entry, all_entries: list[Entry]) -> list[Document]:
    """The rules of an aggregated role are those of the roles that it selects."""
    if not entry.aggregates:
        return entry.rules
    rules: list[Document] = []
    for other in all_entries:
        if other.aggregated_to == entry.aggregates:
            rules += [rule for rule in _resolved(other, all_entries) if rule not in rules]
    return rules


def roles() -> list[Document]:
    made = []
    for entry in (*entries(ROLES), *entries(OWN_NAMESPACED_ROLES)):
        document = _headed_document("Role", entry.name, entry.namespace)
        document["rules"] = entry.rules
        made.append(document)
    return made


def _binding(kind: str, name: str, namespace: str, role_kind: str, role: str, subjects: tuple[str, ...]) -> Document:
    document = _headed_document(kind, name, namespace)
    document["roleRef"] = {"apiGroup": GROUP, "kind": role_kind, "name": role}
    if subjects:
        document["subjects"] = [_subject(text) for text in subjects]
    return document


def _subject(text: str) -> dict[str, Any]:
    kind, name = text.split()
    if kind == "ServiceAccount":
        return {"kind": kind, "name": name, "namespace": SYSTEM}
    return {"kind": kind, "apiGroup": GROUP, "name": name}


def cluster_role_bindings() -> list[Document]:
    made = [
        _binding("ClusterRoleBinding", name, "", "ClusterRole", name, subjects)
        for name, subjects in CLUSTER_BINDINGS.items()
    ]
    for entry in entries(CONTROLLER_ROLES):
        name = f"system:controller:{entry.name}"
        made.append(_binding("ClusterRoleBinding", name, "", "ClusterRole", name, (f"ServiceAccount {entry.name}",)))
    proxier = _binding(
        "ClusterRoleBinding", NODE_PROXIER, "", "ClusterRole", "system:node-proxier", ("Group system:nodes",)
    )
    return [*made, proxier]


def role_bindings() -> list[Document]:
    return [
        _binding("RoleBinding", name, namespace, "Role", role, subjects)
        for (namespace, name), (role, subjects) in ROLE_BINDINGS.items()
    ]


def _rule(document: Document) -> PolicyRule:
    return PolicyRule(
        verbs=tuple(document["verbs"]),
        api_groups=tuple(document.get("apiGroups", ())),
        resources=tuple(document.get("resources", ())),
        resource_names=tuple(document.get("resourceNames", ())),
        non_resource_urls=tuple(document.get("nonResourceURLs", ())),
    )


NODE_RULES = (
    *(_rule(rule) for entry in entries(CLUSTER_ROLES) if entry.name == "system:node" for rule in entry.rules),
    PolicyRule(verbs=("get", "list", "watch"), api_groups=("certificates.k8s.io",), resources=("clustertrustbundles",)),
)
"""What a node may do at most; `node` narrows it. Trust bundles, which are for everybody, stand in no role: Kubernetes
grants them to nodes by a feature gate."""
