"""What of a request is to be recorded: rules from a file, the first of which that matches decides. Pure.

Source: https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/#audit-policy
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from navarch.apiserver.call import Call, User
from navarch.base.errors import BadRequest
from navarch.objects import names
from navarch.wire import yaml_text

API_VERSION = "audit.k8s.io/v1"


class Level(IntEnum):
    """How much. Named as Kubernetes names them."""

    NONE = 0
    METADATA = 1
    REQUEST = 2
    REQUEST_RESPONSE = 3

    @property
    def text(self) -> str:
        return TEXTS[self]


TEXTS: Mapping[Level, str] = {
    Level.NONE: "None",
    Level.METADATA: "Metadata",
    Level.REQUEST: "Request",
    Level.REQUEST_RESPONSE: "RequestResponse",
}
LEVELS = {text: level for level, text in TEXTS.items()}
RECEIVED, STARTED, COMPLETE, PANIC = "RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"
STAGES = (RECEIVED, STARTED, COMPLETE, PANIC)


class BadPolicy(ValueError):
    """The file is no audit policy; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do about one request. omitted: stages that are not told of."""

    level: Level
    omitted: frozenset[str] = frozenset()
    omits_managed_fields: bool = False


@dataclass(frozen=True, slots=True)
class GroupResources:
    group: str
    resources: tuple[str, ...]
    names: tuple[str, ...]

    def match(self, call: Call) -> bool:
        if call.group != self.group:
            return False
        if not self.resources:
            return True
        if self.names and call.name not in self.names:
            return False
        whole = f"{call.resource}/{call.subresource}" if call.subresource else call.resource
        wanted = {"*", whole, f"{call.resource}/*"}
        if call.subresource:
            wanted.add(f"*/{call.subresource}")
        return any(one in wanted for one in self.resources)


@dataclass(frozen=True, slots=True)
class Rule:
    """What is empty asks for nothing."""

    plan: Plan
    users: frozenset[str]
    groups: frozenset[str]
    verbs: frozenset[str]
    resources: tuple[GroupResources, ...]
    namespaces: frozenset[str]
    urls: tuple[str, ...]

    def match(self, call: Call, user: User | None) -> bool:
        """user: None for who could not be told."""
        if user is not None:
            if self.users and user.name not in self.users:
                return False
            if self.groups and self.groups.isdisjoint(user.groups):
                return False
        if self.verbs and call.verb not in self.verbs:
            return False
        if self.namespaces or self.resources:
            if not call.is_resource or (self.namespaces and call.namespace not in self.namespaces):
                return False
            return not self.resources or any(one.match(call) for one in self.resources)
        if self.urls:
            return not call.is_resource and any(_covers(url, call.path) for url in self.urls)
        return True


def _covers(url: str, path: str) -> bool:
    return url in ("*", path) or (url.endswith("*") and path.startswith(url.rstrip("*")))


@dataclass(frozen=True, slots=True)
class Policy:
    """fallback: for what no rule matches."""

    rules: tuple[Rule, ...]
    fallback: Plan

    def plan(self, call: Call, user: User | None) -> Plan:
        for rule in self.rules:
            if rule.match(call, user):
                return rule.plan
        return self.fallback


def parse(text: bytes) -> Policy:
    """Raises: BadPolicy, with every fault."""
    try:
        found = yaml_text.parse(text, [])
    except BadRequest as error:
        raise BadPolicy(error.message) from None
    if not isinstance(found, dict) or found.get("apiVersion") != API_VERSION or found.get("kind") != "Policy":
        raise BadPolicy(f"it must be one object with `apiVersion: {API_VERSION}` and `kind: Policy`")
    faults = list(_faults(found))
    if faults:
        raise BadPolicy("; ".join(faults))
    omitted, without = _set(found, "omitStages"), found.get("omitManagedFields") is True
    rules = tuple(_rule(one, omitted, without) for one in found["rules"])
    return Policy(rules, Plan(Level.NONE, omitted, without))


def _rule(rule: Mapping[str, Any], omitted: frozenset[str], without: bool) -> Rule:
    own = rule.get("omitManagedFields")
    plan = Plan(
        LEVELS[rule["level"]],
        omitted | _set(rule, "omitStages"),
        without if own is None else own is True,
    )
    resources = tuple(
        GroupResources(one.get("group") or "", _tuple(one, "resources"), _tuple(one, "resourceNames"))
        for one in rule.get("resources") or ()
    )
    return Rule(
        plan,
        _set(rule, "users"),
        _set(rule, "userGroups"),
        _set(rule, "verbs"),
        resources,
        _set(rule, "namespaces"),
        _tuple(rule, "nonResourceURLs"),
    )


def _tuple(holder: Mapping[str, Any], field: str) -> tuple[str, ...]:
    return tuple(holder.get(field) or ())


def _set(holder: Mapping[str, Any], field: str) -> frozenset[str]:
    return frozenset(_tuple(holder, field))


LISTS = ("users", "userGroups", "verbs", "namespaces", "nonResourceURLs", "omitStages")
RULE_FIELDS = frozenset((*LISTS, "level", "resources", "omitManagedFields"))
POLICY_FIELDS = frozenset(("apiVersion", "kind", "metadata", "rules", "omitStages", "omitManagedFields"))


def _faults(policy: Mapping[str, Any]) -> Iterator[str]:
    yield from _known(policy, POLICY_FIELDS, "")
    yield from _stages(policy, "omitStages")
    rules = policy.get("rules")
    if not isinstance(rules, list) or not rules:
        yield "rules: Required value: there must be one at least"
        return
    for index, rule in enumerate(rules):
        at = f"rules[{index}]"
        if not isinstance(rule, dict):
            yield f"{at}: Invalid value: it must be an object"
            continue
        yield from _rule_faults(rule, at)


def _rule_faults(rule: Mapping[str, Any], at: str) -> Iterator[str]:
    yield from _known(rule, RULE_FIELDS, f"{at}.")
    level = rule.get("level")
    if not level:
        yield f"{at}.level: Required value"
    elif level not in LEVELS:
        yield f'{at}.level: Unsupported value: "{level}": supported values: {_listed(LEVELS)}'
    bad = [field for field in LISTS if not _texts(rule.get(field))]
    for field in bad:
        yield f"{at}.{field}: Invalid value: it must be a list of strings"
    if "omitStages" not in bad:
        yield from _stages(rule, f"{at}.omitStages")
    urls = rule.get("nonResourceURLs") or ()
    if urls and "nonResourceURLs" not in bad:
        if rule.get("resources") or rule.get("namespaces"):
            why = "rules cannot apply to both regular resources and non-resource URLs"
            yield f"{at}.nonResourceURLs: Invalid value: {why}"
        for number, url in enumerate(urls):
            yield from _url(url, f"{at}.nonResourceURLs[{number}]")
    resources = rule.get("resources") or ()
    if not isinstance(resources, list | tuple):
        yield f"{at}.resources: Invalid value: it must be a list"
        return
    for number, one in enumerate(resources):
        yield from _resource(one, f"{at}.resources[{number}]")


def _resource(one: Any, at: str) -> Iterator[str]:
    if not isinstance(one, dict) or not _texts(one.get("resources")) or not _texts(one.get("resourceNames")):
        yield f"{at}: Invalid value: it must be an object of a group and lists of strings"
        return
    yield from _known(one, frozenset(("group", "resources", "resourceNames")), f"{at}.")
    group = one.get("group") or ""
    if not isinstance(group, str) or (group and names.dns_subdomain(group)):
        yield f'{at}.group: Invalid value: "{group}": it must be a DNS subdomain'
    if one.get("resourceNames") and not one.get("resources"):
        yield f"{at}.resourceNames: Invalid value: using resourceNames requires at least one resource"


def _url(url: str, at: str) -> Iterator[str]:
    if url == "*":
        return
    if not url.startswith("/"):
        yield f"{at}: Invalid value: \"{url}\": non-resource URL rules must begin with a '/' character"
    if "*" in url[:-1]:
        yield f"{at}: Invalid value: \"{url}\": non-resource URL wildcards '*' must be the final character of the rule"


def _stages(holder: Mapping[str, Any], at: str) -> Iterator[str]:
    stages = holder.get("omitStages") or ()
    if not _texts(stages):
        yield f"{at}: Invalid value: it must be a list of strings"
        return
    for index, stage in enumerate(stages):
        if stage not in STAGES:
            yield f'{at}[{index}]: Unsupported value: "{stage}": supported values: {_listed(STAGES)}'


def _known(holder: Mapping[str, Any], fields: frozenset[str], at: str) -> Iterator[str]:
    for field in holder:
        if field not in fields:
            yield f"{at}{field}: Unsupported value: there is no such field"


def _texts(value: Any) -> bool:
    return value is None or (isinstance(value, list | tuple) and all(isinstance(one, str) for one in value))


def _listed(values: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(f'"{value}"' for value in values)
