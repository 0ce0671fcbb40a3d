"""Rules of FlowSchemas and of priority levels.

Source: https://kubernetes.io/docs/concepts/cluster-administration/flow-control/
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from navarch.base.errors import Cause
from navarch.kinds.rules import Faults
from navarch.objects import names
from navarch.objects.value import Document, dig

PRECEDENCE_MAX = 10_000
SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}
DISTINGUISHERS = ("ByNamespace", "ByUser")
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
TYPES = ("Exempt", "Limited")
RESPONSES = ("Queue", "Reject")
QUEUES_MAX = 10_000_000
SHUFFLE_BITS_MAX = 60
NOT_POSITIVE = "must be positive"
NOT_NEGATIVE = "must be a non-negative integer"
PERCENT = "must be between 0 and 100, inclusive"

_ALL_RESOURCES: Document = {
    "verbs": ["*"],
    "apiGroups": ["*"],
    "resources": ["*"],
    "namespaces": ["*"],
    "clusterScope": True,
}
_EVERYTHING: Document = {
    "resourceRules": [_ALL_RESOURCES],
    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
}


def _group(name: str) -> Document:
    return {"kind": "Group", "group": {"name": name}}


MANDATORY_SCHEMAS: dict[str, Document] = {
    "exempt": {
        "matchingPrecedence": 1,
        "priorityLevelConfiguration": {"name": "exempt"},
        "rules": [{"subjects": [_group("system:masters")], **_EVERYTHING}],
    },
    "catch-all": {
        "matchingPrecedence": 10_000,
        "priorityLevelConfiguration": {"name": "catch-all"},
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [
            {"subjects": [_group("system:unauthenticated"), _group("system:authenticated")], **_EVERYTHING},
        ],
    },
}
"""The specs that cannot be others."""

CATCH_ALL_LEVEL: Document = {
    "type": "Limited",
    "limited": {"nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"}},
}


def schema_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    name = dig(new, "metadata", "name", default="")
    _schema(faults, spec, name)
    if name in MANDATORY_SCHEMAS and spec != MANDATORY_SCHEMAS[name]:
        faults.invalid("spec", spec, f"spec of '{name}' must equal the fixed value")
    return faults.causes


def _schema(faults: Faults, spec: Document, name: str) -> None:
    precedence = spec.get("matchingPrecedence", 0)
    if precedence <= 0:
        faults.invalid("spec.matchingPrecedence", precedence, "must be a positive value")
    if precedence > PRECEDENCE_MAX:
        faults.invalid("spec.matchingPrecedence", precedence, f"must not be greater than {PRECEDENCE_MAX}")
    if precedence == 1 and name != "exempt":
        faults.invalid("spec.matchingPrecedence", 1, "only the schema named 'exempt' may have matchingPrecedence 1")
    if (method := spec.get("distinguisherMethod")) is not None and method.get("type") not in DISTINGUISHERS:
        faults.unsupported("spec.distinguisherMethod.type", method, DISTINGUISHERS)
    level = dig(spec, "priorityLevelConfiguration", "name", default="")
    if not level:
        faults.required("spec.priorityLevelConfiguration.name", "must reference a priority level")
    else:
        faults.checked("spec.priorityLevelConfiguration.name", level, names.dns_subdomain(level))
    for index, rule in enumerate(spec.get("rules") or ()):
        _rule(faults, rule, f"spec.rules[{index}]")


def _rule(faults: Faults, rule: Document, path: str) -> None:
    if not rule.get("subjects"):
        faults.required(f"{path}.subjects", "subjects must contain at least one value")
    for index, subject in enumerate(rule.get("subjects") or ()):
        _subject(faults, subject, f"{path}.subjects[{index}]")
    if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
        faults.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty")
    for index, found in enumerate(rule.get("resourceRules") or ()):
        _resources(faults, found, f"{path}.resourceRules[{index}]")
    for index, found in enumerate(rule.get("nonResourceRules") or ()):
        _paths(faults, found, f"{path}.nonResourceRules[{index}]")


def _resources(faults: Faults, found: Document, path: str) -> None:
    _verbs(faults, found, path)
    for field, what in (("apiGroups", "api group"), ("resources", "resource")):
        if not found.get(field):
            faults.required(f"{path}.{field}", f"resource rules must supply at least one {what}")
        else:
            _alone(faults, found[field], f"{path}.{field}", f"{what}s")
    namespaces = found.get("namespaces") or []
    if not namespaces and not found.get("clusterScope"):
        detail = "resource rules that are not cluster scoped must supply at least one namespace"
        faults.required(f"{path}.namespaces", detail)
    elif not _alone(faults, namespaces, f"{path}.namespaces", "namespaces"):
        for index, name in enumerate(namespaces):
            for message in names.dns_label(name):
                detail = f"each member of this list must be '*' or a DNS-1123 label; {message}"
                faults.invalid(f"{path}.namespaces[{index}]", name, detail)


def _alone(faults: Faults, values: list[str], field: str, what: str) -> bool:
    """Whether they are all there is: `*`, which is to stand alone."""
    if "*" in values and len(values) > 1:
        faults.invalid(field, values, f"if '*' is present, must not specify other {what}")
    return "*" in values


def _paths(faults: Faults, found: Document, path: str) -> None:
    _verbs(faults, found, path)
    urls = found.get("nonResourceURLs") or []
    if not urls:
        faults.required(f"{path}.nonResourceURLs", "nonResourceURLs must contain at least one value")
    elif not _alone(faults, urls, f"{path}.nonResourceURLs", "non-resource URLs"):
        for index, url in enumerate(urls):
            if problem := _wrong_path(url):
                faults.invalid(f"{path}.nonResourceURLs[{index}]", url, problem)


def _wrong_path(url: str) -> str:
    if not url:
        return "must not be empty"
    if not url.startswith("/"):
        return "must start with slash"
    if " " in url:
        return "must not contain white-space"
    if "//" in url:
        return "must not contain double slash"
    stars = url.count("*")
    return "wildcard can only do suffix matching" if stars > 1 or (stars and not url.endswith("/*")) else ""


def _verbs(faults: Faults, found: Document, path: str) -> None:
    verbs = found.get("verbs") or []
    if not verbs:
        faults.required(f"{path}.verbs", "verbs must contain at least one value")
    elif not _alone(faults, verbs, f"{path}.verbs", "verbs") and not set(verbs) <= set(VERBS):
        faults.unsupported(f"{path}.verbs", verbs, VERBS)


def _subject(faults: Faults, subject: Document, path: str) -> None:
    kind = subject.get("kind", "")
    if kind not in SUBJECTS:
        faults.unsupported(f"{path}.kind", kind, tuple(SUBJECTS))
        return
    own = SUBJECTS[kind]
    if own not in subject:
        faults.required(f"{path}.{own}", f"{own} is required when subject kind is '{kind}'")
    else:
        _named(faults, subject[own], f"{path}.{own}", kind == "ServiceAccount")
    for other in ("ServiceAccount", "User", "Group"):
        if other != kind and SUBJECTS[other] in subject:
            field = SUBJECTS[other]
            faults.forbidden(f"{path}.{field}", f"{field} is forbidden when subject kind is not '{other}'")


def _named(faults: Faults, found: Document, path: str, account: bool) -> None:
    name, namespace = found.get("name", ""), found.get("namespace", "")
    if not name:
        faults.required(f"{path}.name")
    elif account and name != "*":
        faults.checked(f"{path}.name", name, names.dns_subdomain(name))
    if account and not namespace:
        faults.required(f"{path}.namespace", "must specify namespace for service account")
    elif account:
        faults.checked(f"{path}.namespace", namespace, names.dns_label(namespace))


def level_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    name = dig(new, "metadata", "name", default="")
    _level(faults, spec, name)
    if name == "exempt":
        if {key: value for key, value in spec.items() if key != "exempt"} != {"type": "Exempt"}:
            detail = "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value"
            faults.invalid("spec", spec, detail)
    elif name == "catch-all" and spec != CATCH_ALL_LEVEL:
        faults.invalid("spec", spec, "spec of 'catch-all' must equal the fixed value")
    return faults.causes


def _level(faults: Faults, spec: Document, name: str) -> None:
    type_ = spec.get("type", "")
    if (name == "exempt") != (type_ == "Exempt"):
        faults.invalid("spec.type", type_, "type must be 'Exempt' if and only if name is 'exempt'")
    if type_ == "Exempt":
        if "limited" in spec:
            faults.forbidden("spec.limited", "must be nil if the type is not Limited")
        _shares(faults, spec.get("exempt") or {}, "spec.exempt")
    elif type_ == "Limited":
        if "exempt" in spec:
            faults.forbidden("spec.exempt", "must be nil if the type is Limited")
        if "limited" not in spec:
            faults.required("spec.limited", "must not be empty when type is Limited")
        else:
            _limited(faults, spec["limited"], "spec.limited")
    else:
        faults.unsupported("spec.type", type_, TYPES)


def _limited(faults: Faults, found: Document, path: str) -> None:
    shares, lendable, borrowed = (
        found.get(field) for field in ("nominalConcurrencyShares", "lendablePercent", "borrowingLimitPercent")
    )
    if shares is not None and shares < 0:
        faults.invalid(f"{path}.nominalConcurrencyShares", shares, NOT_NEGATIVE)
    _response(faults, found.get("limitResponse") or {}, f"{path}.limitResponse")
    if lendable is not None and not 0 <= lendable <= 100:
        faults.invalid(f"{path}.lendablePercent", lendable, PERCENT)
    if borrowed is not None and borrowed < 0:
        faults.invalid(f"{path}.borrowingLimitPercent", borrowed, f"if specified, {NOT_NEGATIVE}")


def _shares(faults: Faults, found: Document, path: str) -> None:
    shares, lendable = found.get("nominalConcurrencyShares"), found.get("lendablePercent")
    if shares is not None and shares < 0:
        faults.invalid(f"{path}.nominalConcurrencyShares", shares, NOT_NEGATIVE)
    if lendable is not None and not 0 <= lendable <= 100:
        faults.invalid(f"{path}.lendablePercent", lendable, PERCENT)


def _response(faults: Faults, response: Document, path: str) -> None:
    type_, queuing = response.get("type", ""), response.get("queuing")
    if type_ not in RESPONSES:
        faults.unsupported(f"{path}.type", type_, RESPONSES)
    elif type_ == "Reject":
        if queuing is not None:
            faults.forbidden(f"{path}.queuing", "must be nil if limited.limitResponse.type is not Limited")
    elif queuing is None:
        faults.required(f"{path}.queuing", "must not be empty if limited.limitResponse.type is Limited")
    else:
        _queuing(faults, queuing, f"{path}.queuing")


def _queuing(faults: Faults, queuing: Document, path: str) -> None:
    length, queues, hand = (queuing.get(field, 0) for field in ("queueLengthLimit", "queues", "handSize"))
    if length <= 0:
        faults.invalid(f"{path}.queueLengthLimit", length, NOT_POSITIVE)
    if queues <= 0:
        faults.invalid(f"{path}.queues", queues, NOT_POSITIVE)
    elif queues > QUEUES_MAX:
        faults.invalid(f"{path}.queues", queues, f"must not be greater than {QUEUES_MAX}")
    if hand <= 0:
        faults.invalid(f"{path}.handSize", hand, NOT_POSITIVE)
    elif hand > queues:
        faults.invalid(f"{path}.handSize", hand, f"should not be greater than queues ({queues})")
    elif math.ceil(math.log2(queues) * hand) > SHUFFLE_BITS_MAX:
        detail = f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than "
        faults.invalid(f"{path}.handSize", hand, f"{detail}{SHUFFLE_BITS_MAX}")


def status_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """Of either kind."""
    faults = Faults()
    seen: set[str] = set()
    for index, condition in enumerate(dig(new, "status", "conditions", default=())):
        where, type_ = f"status.conditions[{index}].type", condition.get("type", "")
        if type_ in seen:
            faults.duplicate(where, type_)
        seen.add(type_)
        if not type_:
            faults.required(where, "must not be empty")
    return faults.causes
