"""From a call to the FlowSchema that it belongs to, and to the flow within it. Pure.

The two mandatory schemas and levels are always there, stored or not.

Source: https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#flowschema
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from navarch.apiserver.call import Attributes, User
from navarch.objects.value import Document, dig

ANY = "*"
EXEMPT, CATCH_ALL = "exempt", "catch-all"


@dataclass(frozen=True, slots=True)
class LevelSpec:
    """A PriorityLevelConfiguration. lendable, borrowing: hundredths of its nominal seats, None for no limit.

    queues: 0 where calls that find no seat are rejected and not queued. hand: among how many queues a flow may choose.
    """

    name: str
    uid: str = ""
    exempt: bool = False
    shares: int = 30
    lendable: int = 0
    borrowing: int | None = None
    queues: int = 0
    hand: int = 1
    length: int = 50


@dataclass(frozen=True, slots=True)
class Rule:
    """Whom it is about, and what they ask. resources, paths: the rules as they are in the object."""

    users: frozenset[str]
    groups: frozenset[str]
    resources: tuple[Document, ...]
    paths: tuple[Document, ...]


@dataclass(frozen=True, slots=True)
class SchemaSpec:
    """A FlowSchema. by: ByUser, ByNamespace, or "" for one flow."""

    name: str
    level: str
    precedence: int
    rules: tuple[Rule, ...]
    uid: str = ""
    by: str = ""

    @property
    def namespaces(self) -> Iterable[str]:
        """Those that its rules name."""
        for rule in self.rules:
            for found in rule.resources:
                yield from found.get("namespaces") or ()


EVERYTHING: tuple[tuple[Document, ...], tuple[Document, ...]] = (
    ({"verbs": [ANY], "apiGroups": [ANY], "resources": [ANY], "namespaces": [ANY], "clusterScope": True},),
    ({"verbs": [ANY], "nonResourceURLs": [ANY]},),
)
MANDATORY_LEVELS = (LevelSpec(EXEMPT, exempt=True, shares=0), LevelSpec(CATCH_ALL, shares=5))
MANDATORY_SCHEMAS = (
    SchemaSpec(EXEMPT, EXEMPT, 1, (Rule(frozenset(), frozenset(("system:masters",)), *EVERYTHING),)),
    SchemaSpec(
        CATCH_ALL,
        CATCH_ALL,
        10_000,
        (Rule(frozenset(), frozenset(("system:unauthenticated", "system:authenticated")), *EVERYTHING),),
        by="ByUser",
    ),
)


def level_of(found: Document) -> LevelSpec:
    """Never raises: what is stored was checked."""
    spec, name, uid = found["spec"], found["metadata"]["name"], found["metadata"].get("uid", "")
    if spec.get("type") == "Exempt":
        own = spec.get("exempt") or {}
        return LevelSpec(
            name, uid, True, own.get("nominalConcurrencyShares", 0), own.get("lendablePercent", 0), queues=0
        )
    own = spec.get("limited") or {}
    queuing = dig(own, "limitResponse", "queuing", default=None) or {}
    return LevelSpec(
        name,
        uid,
        False,
        own.get("nominalConcurrencyShares", 30),
        own.get("lendablePercent", 0),
        own.get("borrowingLimitPercent"),
        queuing.get("queues", 0),
        queuing.get("handSize", 1),
        queuing.get("queueLengthLimit", 50),
    )


def schema_of(found: Document) -> SchemaSpec:
    """Never raises: what is stored was checked."""
    spec = found["spec"]
    return SchemaSpec(
        found["metadata"]["name"],
        dig(spec, "priorityLevelConfiguration", "name", default=""),
        spec.get("matchingPrecedence", 1000),
        tuple(_rule(rule) for rule in spec.get("rules") or ()),
        found["metadata"].get("uid", ""),
        dig(spec, "distinguisherMethod", "type", default=""),
    )


def _rule(found: Document) -> Rule:
    users: set[str] = set()
    groups: set[str] = set()
    for subject in found.get("subjects") or ():
        match subject.get("kind"):
            case "User":
                users.add(dig(subject, "user", "name", default=""))
            case "Group":
                groups.add(dig(subject, "group", "name", default=""))
            case "ServiceAccount":
                space = dig(subject, "serviceAccount", "namespace", default="")
                name = dig(subject, "serviceAccount", "name", default="")
                if name == ANY:
                    groups.add(f"system:serviceaccounts:{space}")
                else:
                    users.add(f"system:serviceaccount:{space}:{name}")
    return Rule(
        frozenset(users),
        frozenset(groups),
        tuple(found.get("resourceRules") or ()),
        tuple(found.get("nonResourceRules") or ()),
    )


def ordered(
    schemas: Iterable[SchemaSpec], levels: Iterable[LevelSpec]
) -> tuple[tuple[SchemaSpec, ...], Mapping[str, LevelSpec]]:
    """The schemas in the order in which they are tried, without those whose level is missing; the levels by name."""
    known = {level.name: level for level in (*MANDATORY_LEVELS, *levels)}
    named = {schema.name: schema for schema in (*MANDATORY_SCHEMAS, *schemas)}
    there = [schema for schema in named.values() if schema.level in known]
    return tuple(sorted(there, key=lambda schema: (schema.precedence, schema.name))), known


def dangling(schema: SchemaSpec, levels: Callable[[str], bool]) -> bool:
    """Whether the level that it names is missing. levels: whether one of that name is stored."""
    return not levels(schema.level)


def matches(schema: SchemaSpec, asked: Attributes) -> bool:
    return any(_concerns(rule, asked.user) and _covers(rule, asked) for rule in schema.rules)


def _concerns(rule: Rule, user: User) -> bool:
    if user.name in rule.users or ANY in rule.users or ANY in rule.groups:
        return True
    return not rule.groups.isdisjoint(user.groups)


def _covers(rule: Rule, asked: Attributes) -> bool:
    if not asked.is_resource:
        return any(_has(found, "verbs", asked.verb) and _has_path(found, asked.path) for found in rule.paths)
    resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    return any(
        _has(found, "verbs", asked.verb)
        and _has(found, "apiGroups", asked.group)
        and _has(found, "resources", resource)
        and (_has(found, "namespaces", asked.namespace) if asked.namespace else found.get("clusterScope", False))
        for found in rule.resources
    )


def _has(rule: Document, field: str, wanted: str) -> bool:
    found = rule.get(field) or ()
    return wanted in found or ANY in found


def _has_path(rule: Document, path: str) -> bool:
    return any(
        found in (ANY, path) or (found.endswith("/*") and path.startswith(found[:-1]))
        for found in rule.get("nonResourceURLs") or ()
    )
