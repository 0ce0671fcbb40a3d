"""FlowSchema and PriorityLevelConfiguration: which requests wait for which others when the server is busy.

Source: https://kubernetes.io/docs/concepts/cluster-administration/flow-control/
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from navarch.base.errors import Cause
from navarch.kinds.kind import AGE, Column, Kind
from navarch.kinds.printing import NONE
from navarch.kinds.rules import Faults
from navarch.objects import names
from navarch.objects.value import Document, Draft, dig

GROUP = "flowcontrol.apiserver.k8s.io"
PRECEDENCE = 1000
PRECEDENCE_MAX = 10_000
SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}
DISTINGUISHERS = ("ByNamespace", "ByUser")
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
TYPES = ("Exempt", "Limited")
RESPONSES = ("Queue", "Reject")
QUEUING = {"queues": 64, "handSize": 8, "queueLengthLimit": 50}
QUEUES_MAX = 10_000_000
SHUFFLE_BITS_MAX = 60


def default_schema(draft: Draft) -> None:
    draft.default(PRECEDENCE, "spec", "matchingPrecedence")


def default_level(draft: Draft) -> None:
    match draft.get("spec", "type"):
        case "Exempt":
            draft.default(0, "spec", "exempt", "nominalConcurrencyShares")
            draft.default(0, "spec", "exempt", "lendablePercent")
        case "Limited" if draft.has("spec", "limited"):
            draft.default(30, "spec", "limited", "nominalConcurrencyShares")
            draft.default(0, "spec", "limited", "lendablePercent")
            if draft.get("spec", "limited", "limitResponse", "type") == "Queue":
                for field, value in QUEUING.items():
                    if draft.has("spec", "limited", "limitResponse", "queuing"):
                        draft.default(value, "spec", "limited", "limitResponse", "queuing", field)


def prepare(draft: Draft, old: Document | None) -> None:
    if old is None:
        draft.set({}, "status")


def schema_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    precedence = spec.get("matchingPrecedence", 0)
    if not 1 <= precedence <= PRECEDENCE_MAX:
        faults.invalid("spec.matchingPrecedence", precedence, f"must be between 1 and {PRECEDENCE_MAX}")
    elif precedence == 1 and dig(new, "metadata", "name") != "exempt":
        faults.invalid("spec.matchingPrecedence", 1, "only the schema named 'exempt' may have matchingPrecedence 1")
    if (method := spec.get("distinguisherMethod")) and method.get("type") not in DISTINGUISHERS:
        faults.unsupported("spec.distinguisherMethod", method.get("type", ""), DISTINGUISHERS)
    level = dig(spec, "priorityLevelConfiguration", "name", default="")
    if not level:
        faults.required("spec.priorityLevelConfiguration.name", "must reference a priority level")
    else:
        faults.checked("spec.priorityLevelConfiguration.name", level, names.dns_subdomain(level))
    for index, rule in enumerate(spec.get("rules") or ()):
        _rule(faults, rule, f"spec.rules[{index}]")
    return faults.causes


def _rule(faults: Faults, rule: Document, path: str) -> None:
    if not rule.get("subjects"):
        faults.required(f"{path}.subjects", "subjects must contain at least one value")
    for index, subject in enumerate(rule.get("subjects") or ()):
        _subject(faults, subject, f"{path}.subjects[{index}]")
    if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
        faults.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty")
    for index, found in enumerate(rule.get("resourceRules") or ()):
        where = f"{path}.resourceRules[{index}]"
        _verbs(faults, found, where)
        for field, what in (("apiGroups", "api group"), ("resources", "resource")):
            if not found.get(field):
                faults.required(f"{where}.{field}", f"resource rules must supply at least one {what}")
            elif "*" in found[field] and len(found[field]) > 1:
                detail = f"if '*' is present, must not specify other {what}s"
                faults.invalid(f"{where}.{field}", found[field], detail)
        if not found.get("namespaces") and not found.get("clusterScope"):
            detail = "resource rules that are not cluster scoped must supply at least one namespace"
            faults.required(f"{where}.namespaces", detail)
    for index, found in enumerate(rule.get("nonResourceRules") or ()):
        where = f"{path}.nonResourceRules[{index}]"
        _verbs(faults, found, where)
        if not found.get("nonResourceURLs"):
            faults.required(f"{where}.nonResourceURLs", "nonResourceURLs must contain at least one value")


def _verbs(faults: Faults, found: Document, path: str) -> None:
    verbs = found.get("verbs") or []
    if not verbs:
        faults.required(f"{path}.verbs", "verbs must contain at least one value")
    elif "*" in verbs and len(verbs) > 1:
        faults.invalid(f"{path}.verbs", verbs, "if '*' is present, must not specify other verbs")


def _subject(faults: Faults, subject: Document, path: str) -> None:
    kind = subject.get("kind", "")
    if kind not in SUBJECTS:
        faults.unsupported(f"{path}.kind", kind, tuple(SUBJECTS))
        return
    for other, field in SUBJECTS.items():
        if other != kind and field in subject:
            faults.forbidden(f"{path}.{field}", f"{field} is forbidden when subject kind is not '{other}'")
    own = SUBJECTS[kind]
    if own not in subject:
        faults.required(f"{path}.{own}", f"{own} is required when subject kind is '{kind}'")
        return
    for field in ("name", "namespace") if kind == "ServiceAccount" else ("name",):
        if not subject[own].get(field):
            faults.required(f"{path}.{own}.{field}")


def level_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    type_, name = spec.get("type", ""), dig(new, "metadata", "name", default="")
    if type_ not in TYPES:
        faults.unsupported("spec.type", type_, TYPES)
        return faults.causes
    if (name == "exempt") != (type_ == "Exempt"):
        detail = "must be 'Exempt' for the level named 'exempt', and for no other"
        faults.invalid("spec.type", type_, detail)
    own, other = ("limited", "exempt") if type_ == "Limited" else ("exempt", "limited")
    if other in spec:
        faults.forbidden(f"spec.{other}", f"must be nil if the type is {type_}")
    if own not in spec:
        if type_ == "Limited":
            faults.required("spec.limited", "must not be empty when type is Limited")
        return faults.causes
    found: Document = spec[own]
    faults.not_negative(f"spec.{own}.nominalConcurrencyShares", found.get("nominalConcurrencyShares"))
    faults.between(f"spec.{own}.lendablePercent", found.get("lendablePercent", 0), 0, 100)
    faults.not_negative(f"spec.{own}.borrowingLimitPercent", found.get("borrowingLimitPercent"))
    if type_ == "Limited":
        _response(faults, found.get("limitResponse") or {}, "spec.limited.limitResponse")
    return faults.causes


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
    for field in QUEUING:
        if queuing.get(field, 0) <= 0:
            faults.invalid(f"{path}.{field}", queuing.get(field, 0), "must be positive")
    queues, hand = queuing.get("queues", 0), queuing.get("handSize", 0)
    if queues > QUEUES_MAX:
        faults.invalid(f"{path}.queues", queues, f"must not be greater than {QUEUES_MAX}")
    elif hand > queues:
        detail = f"should not be greater than queues ({queues})"
        faults.invalid(f"{path}.handSize", hand, detail)
    elif queues > 0 and (queues - 1).bit_length() * max(hand, 0) > SHUFFLE_BITS_MAX:
        detail = f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than "
        faults.invalid(f"{path}.handSize", hand, f"{detail}{SHUFFLE_BITS_MAX}")


def _method(found: Document, now: datetime) -> str:
    return str(dig(found, "spec", "distinguisherMethod", "type", default=NONE))


def _missing(found: Document, now: datetime) -> str:
    conditions = dig(found, "status", "conditions", default=())
    return next((one.get("status", "?") for one in conditions if one.get("type") == "Dangling"), "?")


def _shares(found: Document, now: datetime) -> str:
    own = "limited" if dig(found, "spec", "type") == "Limited" else "exempt"
    return str(dig(found, "spec", own, "nominalConcurrencyShares", default=NONE))


def _queues(found: Document, now: datetime) -> str:
    return _of_queuing(found, "queues")


def _hand(found: Document, now: datetime) -> str:
    return _of_queuing(found, "handSize")


def _length(found: Document, now: datetime) -> str:
    return _of_queuing(found, "queueLengthLimit")


def _of_queuing(found: Document, field: str) -> str:
    return str(dig(found, "spec", "limited", "limitResponse", "queuing", field, default=NONE))


FLOWSCHEMA = Kind(
    group=GROUP,
    version="v1",
    name="FlowSchema",
    plural="flowschemas",
    namespaced=False,
    default=default_schema,
    rules=schema_rules,
    prepare=prepare,
    subresources=("status",),
    columns=(
        Column("PriorityLevel", ".spec.priorityLevelConfiguration.name", description="The level of what it matches."),
        Column("MatchingPrecedence", ".spec.matchingPrecedence", type="integer", description="Lower ones match first."),
        Column("DistinguisherMethod", _method, description="How its requests are told apart."),
        AGE,
        Column("MissingPL", _missing, description="Whether its level does not exist."),
    ),
    age=False,
)

PRIORITYLEVELCONFIGURATION = Kind(
    group=GROUP,
    version="v1",
    name="PriorityLevelConfiguration",
    plural="prioritylevelconfigurations",
    namespaced=False,
    default=default_level,
    rules=level_rules,
    prepare=prepare,
    subresources=("status",),
    columns=(
        Column("Type", ".spec.type", description="Whether it is limited."),
        Column("NominalConcurrencyShares", _shares, description="Its share of the seats."),
        Column("Queues", _queues, description="How many queues it has."),
        Column("HandSize", _hand, description="Among how many of them a flow may choose."),
        Column("QueueLengthLimit", _length, description="How many requests wait in one."),
    ),
)
