"""Role-based access control over the roles and bindings that are stored.

The index is made anew when a role or a binding changes; a decision is looked up by all that it depends on. Aggregated
cluster roles are put together here, so that a role added by somebody counts at once.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from navarch.apiserver.authz.rules import allows_path, allows_resource
from navarch.apiserver.call import Attributes, Decision, Reads, User
from navarch.kinds import CLUSTERROLE, CLUSTERROLEBINDING, ROLE, ROLEBINDING
from navarch.kinds.object import Object
from navarch.kinds.rbac import PolicyRule, Subject
from navarch.objects import selector

KINDS = (ROLE, ROLEBINDING, CLUSTERROLE, CLUSTERROLEBINDING)
MEMO = 16_384

Grant = tuple[str, str, str, str]
"""Namespace that it is limited to ("" for none), kind of the role, name of the role, what a review says of it."""


@dataclass(slots=True)
class Index:
    """grants: by subject. missing: roles that bindings name and that do not exist are simply not in `rules`."""

    grants: dict[tuple[str, str], list[Grant]] = field(default_factory=dict)
    rules: dict[tuple[str, str], tuple[PolicyRule, ...]] = field(default_factory=dict)

    def of(self, user: User) -> Iterator[Grant]:
        yield from self.grants.get(("User", user.name), ())
        for group in dict.fromkeys(user.groups):
            yield from self.grants.get(("Group", group), ())


@dataclass(frozen=True, slots=True)
class Verdict:
    """names: the objects that it is allowed for, when it is not allowed for all, and why."""

    allowed: bool
    names: dict[str, str]
    reason: str


class Rbac:
    """An authorizer; also says which rules a user holds."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._versions: tuple[int, ...] = ()
        self._policies = -1
        self._index = Index()
        self._verdicts: dict[tuple[Any, ...], Verdict] = {}

    def decide(self, attributes: Attributes) -> Decision:
        self._refresh()
        user = attributes.user
        key = (
            user.name,
            user.groups,
            attributes.verb,
            attributes.is_resource,
            attributes.group,
            attributes.resource,
            attributes.subresource,
            attributes.namespace,
            "" if attributes.is_resource else attributes.path,
        )
        verdict = self._verdicts.get(key)
        if verdict is None:
            verdict = self._judge(attributes)
            if len(self._verdicts) >= MEMO:
                self._verdicts.clear()
            self._verdicts[key] = verdict
        if not verdict.allowed and attributes.name and (reason := verdict.names.get(attributes.name)):
            return Decision(True, reason)
        return Decision(verdict.allowed, verdict.reason, always=verdict.allowed)

    def rules_of(self, user: User, namespace: str) -> list[PolicyRule]:
        """All rules that the user holds in the namespace ("": only those in force everywhere)."""
        self._refresh()
        return [
            rule
            for where, kind, name, _ in self._index.of(user)
            if not where or where == namespace
            for rule in self._rules(where, kind, name) or ()
        ]

    def role_rules(self, namespace: str, kind: str, name: str) -> tuple[PolicyRule, ...] | None:
        """The rules of a role; None when there is no such role."""
        self._refresh()
        return self._rules(namespace, kind, name)

    def _rules(self, namespace: str, kind: str, name: str) -> tuple[PolicyRule, ...] | None:
        return self._index.rules.get(("" if kind == "ClusterRole" else namespace, name))

    def _judge(self, asked: Attributes) -> Verdict:
        resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
        names: dict[str, str] = {}
        missing: list[str] = []
        for where, kind, role, told in self._index.of(asked.user):
            if where and (not asked.is_resource or where != asked.namespace):
                continue
            rules = self._rules(where, kind, role)
            if rules is None:
                missing.append(f'{kind.lower()}.rbac.authorization.k8s.io "{role}" not found')
                continue
            for rule in rules:
                if not asked.is_resource:
                    if allows_path(rule, asked.verb, asked.path):
                        return Verdict(True, {}, told)
                elif allows_resource(rule, asked.verb, asked.group, resource):
                    if not rule.resource_names:
                        return Verdict(True, {}, told)
                    names.update(dict.fromkeys(rule.resource_names, told))
        distinct = list(dict.fromkeys(missing))
        said = distinct[0] if len(distinct) == 1 else f"[{', '.join(distinct)}]"
        return Verdict(False, names, f"RBAC: {said}" if distinct else "")

    def _refresh(self) -> None:
        if self._reads.policies == self._policies:
            return
        self._policies = self._reads.policies
        version = self._reads.version
        versions = (version(ROLE), version(ROLEBINDING), version(CLUSTERROLE), version(CLUSTERROLEBINDING))
        if versions != self._versions:
            self._index = index(self._reads)
            self._verdicts = {}
            self._versions = versions


def index(reads: Reads) -> Index:
    """Put roles and bindings together."""
    made = Index()
    for found in reads.list(ROLE):
        made.rules[(found.namespace, found.name)] = found.view.rules
    cluster_roles = reads.list(CLUSTERROLE)
    for found in cluster_roles:
        made.rules[("", found.name)] = aggregated(found, cluster_roles)
    for kind in (CLUSTERROLEBINDING, ROLEBINDING):
        for found in reads.list(kind):
            role = found.view.role_ref
            for subject in found.view.subjects:
                grant = (found.namespace, role.kind, role.name, _told(found, subject))
                made.grants.setdefault(subject_key(subject, found.namespace), []).append(grant)
    return made


def _told(binding: Object, subject: Subject) -> str:
    """Why one that is bound may."""
    role = binding.view.role_ref
    name = f"{binding.name}/{binding.namespace}" if binding.namespace else binding.name
    who = subject.name
    if subject.kind == "ServiceAccount":
        who += f"/{subject.namespace or binding.namespace}"
    return f'RBAC: allowed by {binding.kind.name} "{name}" of {role.kind} "{role.name}" to {subject.kind} "{who}"'


def subject_key(subject: Subject, namespace: str) -> tuple[str, str]:
    if subject.kind == "ServiceAccount":
        return ("User", f"system:serviceaccount:{subject.namespace or namespace}:{subject.name}")
    return (subject.kind, subject.name)


def aggregated(role: Object, cluster_roles: Sequence[Object]) -> tuple[PolicyRule, ...]:
    """The role's own rules, or those of all that its aggregation rule selects (which may aggregate in turn)."""
    if role.view.aggregation_rule is None:
        return tuple(role.view.rules)
    found: dict[PolicyRule, None] = {}
    seen = {role.name}
    waiting = [role]
    while waiting:
        rule = waiting.pop(0).view.aggregation_rule
        wanted = [selector.from_view(one) for one in rule.cluster_role_selectors]
        for other in cluster_roles:
            if other.name not in seen and any(one.matches(other.labels) for one in wanted):
                seen.add(other.name)
                if other.view.aggregation_rule is not None:
                    waiting.append(other)
                else:
                    found.update(dict.fromkeys(other.view.rules))
    return tuple(found)
