"""What a policy rule allows, and whether one set of rules covers another: pure.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#role-and-clusterrole
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

from navarch.kinds.rbac import PolicyRule

ALL = "*"


def allows_resource(rule: PolicyRule, verb: str, group: str, resource: str) -> bool:
    """Whether the rule speaks of the resource at all; the names that it is limited to are not looked at.

    resource: with its subresource, as `pods/log`.
    """
    if verb not in rule.verbs and ALL not in rule.verbs:
        return False
    if group not in rule.api_groups and ALL not in rule.api_groups:
        return False
    if resource in rule.resources or ALL in rule.resources:
        return True
    _, slash, subresource = resource.partition("/")
    return bool(slash) and f"*/{subresource}" in rule.resources


def allows_path(rule: PolicyRule, verb: str, path: str) -> bool:
    if verb not in rule.verbs and ALL not in rule.verbs:
        return False
    return any(covers_path(url, path) for url in rule.non_resource_urls)


def covers_path(url: str, path: str) -> bool:
    return url in (ALL, path) or (url.endswith(ALL) and path.startswith(url[:-1]))


def atoms(rules: Iterable[PolicyRule]) -> Iterable[PolicyRule]:
    """The same permissions as rules of one verb, one group, one resource and at most one name each."""
    for rule in rules:
        for url, verb in product(rule.non_resource_urls, rule.verbs):
            yield PolicyRule(verbs=(verb,), non_resource_urls=(url,))
        names: Sequence[tuple[str, ...]] = [(name,) for name in rule.resource_names] or [()]
        for group, resource, verb, name in product(rule.api_groups, rule.resources, rule.verbs, names):
            yield PolicyRule(verbs=(verb,), api_groups=(group,), resources=(resource,), resource_names=name)


def _covers(held: PolicyRule, atom: PolicyRule) -> bool:
    (verb,) = atom.verbs
    if atom.non_resource_urls:
        (url,) = atom.non_resource_urls
        return (verb in held.verbs or ALL in held.verbs) and any(
            covers_path(known, url) for known in held.non_resource_urls
        )
    (group,), (resource,) = atom.api_groups, atom.resources
    if not allows_resource(held, verb, group, resource):
        return False
    return not held.resource_names or bool(atom.resource_names and atom.resource_names[0] in held.resource_names)


def uncovered(held: Sequence[PolicyRule], wanted: Iterable[PolicyRule]) -> list[PolicyRule]:
    """The permissions among `wanted` that `held` does not give, as atoms."""
    return [atom for atom in atoms(wanted) if not any(_covers(rule, atom) for rule in held)]


def told(rule: PolicyRule) -> str:
    """`{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`"""
    parts = []
    for name, values in (
        ("APIGroups", rule.api_groups),
        ("Resources", rule.resources),
        ("ResourceNames", rule.resource_names),
        ("NonResourceURLs", rule.non_resource_urls),
        ("Verbs", rule.verbs),
    ):
        if values:
            parts.append(f"{name}:[{', '.join(quoted(value) for value in values)}]")
    return "{" + ", ".join(parts) + "}"


def quoted(text: str) -> str:
    return f'"{text}"'
