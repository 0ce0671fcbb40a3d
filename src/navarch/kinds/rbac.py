"""Role, ClusterRole and their bindings: who may do what.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from navarch.base.errors import Cause
from navarch.kinds.kind import AGE, CREATED_AT, Column, Kind
from navarch.kinds.reference import NamedReference
from navarch.kinds.rules import Faults
from navarch.kinds.view import LabelSelector, ObjectMeta, View
from navarch.objects import names
from navarch.objects.selector import check_document
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


def role_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """Of a Role: inside a namespace there are no paths to allow."""
    faults = Faults()
    for index, rule in enumerate(new.get("rules") or ()):
        _rule(faults, rule, f"rules[{index}]", namespaced=True)
    return faults.causes


def cluster_role_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    for index, rule in enumerate(new.get("rules") or ()):
        _rule(faults, rule, f"rules[{index}]", namespaced=False)
    aggregation = new.get("aggregationRule")
    if aggregation is not None:
        selectors = aggregation.get("clusterRoleSelectors") or ()
        if not selectors:
            detail = "at least one clusterRoleSelector required if aggregationRule is non-nil"
            faults.required("aggregationRule.clusterRoleSelectors", detail)
        for index, found in enumerate(selectors):
            field = f"aggregationRule.clusterRoleSelectors[{index}]"
            if broken := list(check_document(found, field)):
                faults.causes.extend(broken)
                faults.invalid(field, found, "invalid label selector.")
    return faults.causes


def _rule(faults: Faults, rule: Document, path: str, *, namespaced: bool) -> None:
    if not rule.get("verbs"):
        faults.required(f"{path}.verbs", "verbs must contain at least one value")
    paths = rule.get("nonResourceURLs") or []
    if paths:
        if namespaced:
            faults.invalid(f"{path}.nonResourceURLs", paths, "namespaced rules cannot apply to non-resource URLs")
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            detail = "rules cannot apply to both regular resources and non-resource URLs"
            faults.invalid(f"{path}.nonResourceURLs", paths, detail)
        return
    if not rule.get("apiGroups"):
        faults.required(f"{path}.apiGroups", "resource rules must supply at least one api group")
    if not rule.get("resources"):
        faults.required(f"{path}.resources", "resource rules must supply at least one resource")


def binding_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    reference: Document = new.get("roleRef") or {}
    if reference.get("apiGroup") != GROUP:
        faults.unsupported("roleRef.apiGroup", reference.get("apiGroup", ""), (GROUP,))
    kinds = ("Role", "ClusterRole") if new.get("kind") == "RoleBinding" else ("ClusterRole",)
    if reference.get("kind") not in kinds:
        faults.unsupported("roleRef.kind", reference.get("kind", ""), kinds)
    if not reference.get("name"):
        faults.required("roleRef.name")
    else:
        faults.checked("roleRef.name", reference["name"], names.path_segment(reference["name"]))
    for index, subject in enumerate(new.get("subjects") or ()):
        _subject(faults, subject, f"subjects[{index}]", new.get("kind", ""))
    if old is not None and reference != old.get("roleRef"):
        faults.invalid("roleRef", reference, "cannot change roleRef")
    return faults.causes


def _subject(faults: Faults, subject: Document, path: str, kind: str) -> None:
    if not subject.get("name"):
        faults.required(f"{path}.name")
    group = subject.get("apiGroup", "")
    match subject.get("kind", ""):
        case "ServiceAccount":
            if name := subject.get("name"):
                faults.checked(f"{path}.name", name, names.dns_subdomain(name))
            if group:
                faults.unsupported(f"{path}.apiGroup", group, ("",))
            if not subject.get("namespace") and kind == "ClusterRoleBinding":
                faults.required(f"{path}.namespace")
        case "User" | "Group":
            if group != GROUP:
                faults.unsupported(f"{path}.apiGroup", group, (GROUP,))
        case other:
            faults.unsupported(f"{path}.kind", other, ("ServiceAccount", "User", "Group"))


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


ROLE_COLUMNS = (CREATED_AT,)
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
    rules=role_rules,
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
    rules=cluster_role_rules,
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
    rules=binding_rules,
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
    rules=binding_rules,
    name_rule=names.path_segment,
    counts_generation=False,
    columns=BINDING_COLUMNS,
    age=False,
)
