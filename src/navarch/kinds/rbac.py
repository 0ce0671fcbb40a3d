"""Role, ClusterRole and their bindings: who may do what.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from navarch.kinds.kind import AGE, Column, Kind
from navarch.kinds.reference import NamedReference
from navarch.kinds.view import LabelSelector, ObjectMeta, View
from navarch.objects import names
from navarch.objects.value import Document, Draft, dig

GROUP = "rbac.authorization.k8s.io"


class PolicyRule(View, frozen=True):
    verbs: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()
    non_resource_urls: tuple[str, ...] = msgspec.field(default=(), name="nonResourceURLs")


class Subject(View, frozen=True):
    """kind: User, Group or ServiceAccount."""

    kind: str
    name: str
    api_group: str = ""
    namespace: str = ""


class AggregationRule(View, frozen=True):
    cluster_role_selectors: tuple[LabelSelector, ...] = ()


class Role(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    rules: tuple[PolicyRule, ...] = ()


class ClusterRole(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    rules: tuple[PolicyRule, ...] = ()
    aggregation_rule: AggregationRule | None = None


class RoleBinding(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    subjects: tuple[Subject, ...] = ()
    role_ref: NamedReference = NamedReference()


class ClusterRoleBinding(RoleBinding, frozen=True):
    """The same, in force everywhere."""


def default_binding(draft: Draft) -> None:
    """Users and groups are of RBAC's own group, service accounts of the core."""
    if not draft.get("roleRef", "apiGroup"):
        draft.set(GROUP, "roleRef", "apiGroup")
    for index in draft.each("subjects"):
        if not draft.get("subjects", index, "apiGroup") and draft.get("subjects", index, "kind") in ("User", "Group"):
            draft.set(GROUP, "subjects", index, "apiGroup")


def _role(binding: Document, now: datetime) -> str:
    return f"{dig(binding, 'roleRef', 'kind', default='')}/{dig(binding, 'roleRef', 'name', default='')}"


def _subjects(binding: Document, kind: str) -> str:
    found = [subject for subject in binding.get("subjects") or () if subject.get("kind") == kind]
    if kind == "ServiceAccount":
        return ", ".join(f"{subject.get('namespace', '')}/{subject.get('name', '')}" for subject in found)
    return ", ".join(subject.get("name", "") for subject in found)


def _users(binding: Document, now: datetime) -> str:
    return _subjects(binding, "User")


def _groups(binding: Document, now: datetime) -> str:
    return _subjects(binding, "Group")


def _accounts(binding: Document, now: datetime) -> str:
    return _subjects(binding, "ServiceAccount")


ROLE_COLUMNS = (Column("Created At", ".metadata.creationTimestamp", description="When it was made."),)
BINDING_COLUMNS = (
    Column("Role", _role, description="The role that it grants."),
    AGE,
    Column("Users", _users, priority=1, description="To which users."),
    Column("Groups", _groups, priority=1, description="To which groups."),
    Column("ServiceAccounts", _accounts, priority=1, description="To which service accounts."),
)

ROLE = Kind(
    group=GROUP,
    version="v1",
    name="Role",
    plural="roles",
    view=Role,
    name_rule=names.path_segment,
    counts_generation=False,
    columns=ROLE_COLUMNS,
    age=False,
)

CLUSTERROLE = Kind(
    group=GROUP,
    version="v1",
    name="ClusterRole",
    plural="clusterroles",
    namespaced=False,
    view=ClusterRole,
    name_rule=names.path_segment,
    counts_generation=False,
    columns=ROLE_COLUMNS,
    age=False,
)

ROLEBINDING = Kind(
    group=GROUP,
    version="v1",
    name="RoleBinding",
    plural="rolebindings",
    view=RoleBinding,
    default=default_binding,
    name_rule=names.path_segment,
    counts_generation=False,
    columns=BINDING_COLUMNS,
    age=False,
)

CLUSTERROLEBINDING = Kind(
    group=GROUP,
    version="v1",
    name="ClusterRoleBinding",
    plural="clusterrolebindings",
    namespaced=False,
    view=ClusterRoleBinding,
    default=default_binding,
    name_rule=names.path_segment,
    counts_generation=False,
    columns=BINDING_COLUMNS,
    age=False,
)
