"""Rules of what a pod's spec says about where it may run.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
"""

from __future__ import annotations

from navarch.kinds.rules import Faults
from navarch.objects import names
from navarch.objects.selector import check_document
from navarch.objects.value import Document

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
UNSATISFIABLE = ("DoNotSchedule", "ScheduleAnyway")
INCLUSION_POLICIES = ("Honor", "Ignore")
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
WEIGHT_RANGE = "must be in the range 1-100"


def tolerations(faults: Faults, found: list[Document], path: str) -> None:
    for index, toleration in enumerate(found):
        _toleration(faults, toleration, f"{path}[{index}]")


def _toleration(faults: Faults, toleration: Document, path: str) -> None:
    key, operator = toleration.get("key", ""), toleration.get("operator", "")
    effect, value = toleration.get("effect", ""), toleration.get("value", "")
    if key:
        faults.checked(f"{path}.key", key, names.label_key(key))
    elif operator != "Exists":
        detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        faults.invalid(f"{path}.operator", operator, detail)
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        faults.invalid(f"{path}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
    if operator in ("Equal", ""):
        if messages := names.label_value(value):
            faults.invalid(f"{path}.operator", value, ";".join(messages))
    elif operator == "Exists":
        if value:
            faults.invalid(f"{path}.operator", toleration, "value must be empty when `operator` is 'Exists'")
    else:
        faults.unsupported(f"{path}.operator", operator, ("Equal", "Exists"))
    if effect and effect not in EFFECTS:
        faults.unsupported(f"{path}.effect", effect, EFFECTS)


def spread_constraints(faults: Faults, found: list[Document], path: str) -> None:
    seen: set[tuple[str, str]] = set()
    for index, constraint in enumerate(found):
        where = f"{path}[{index}]"
        key, otherwise = constraint.get("topologyKey", ""), constraint.get("whenUnsatisfiable", "")
        if constraint.get("maxSkew", 0) <= 0:
            faults.invalid(f"{where}.maxSkew", constraint.get("maxSkew", 0), "must be greater than 0")
        if not key:
            faults.required(f"{where}.topologyKey", "can not be empty")
        else:
            faults.checked(f"{where}.topologyKey", key, names.label_key(key))
        if otherwise not in UNSATISFIABLE:
            faults.unsupported(f"{where}.whenUnsatisfiable", otherwise, UNSATISFIABLE)
        elif (key, otherwise) in seen:
            faults.duplicate(f"{where}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {otherwise}}}")
        seen.add((key, otherwise))
        _spread_details(faults, constraint, where)


def _spread_details(faults: Faults, constraint: Document, path: str) -> None:
    least = constraint.get("minDomains")
    if least is not None:
        if least <= 0:
            faults.invalid(f"{path}.minDomains", least, "must be greater than 0")
        if constraint.get("whenUnsatisfiable") == "ScheduleAnyway":
            detail = "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway"
            faults.invalid(f"{path}.minDomains", least, detail)
    for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        value = constraint.get(field)
        if value is not None and value not in INCLUSION_POLICIES:
            faults.unsupported(f"{path}.{field}", value, INCLUSION_POLICIES)
    selector = constraint.get("labelSelector")
    if selector is not None:
        faults.causes.extend(check_document(selector, f"{path}.labelSelector"))
    elif constraint.get("matchLabelKeys"):
        detail = "must not be specified when labelSelector is not set"
        faults.forbidden(f"{path}.matchLabelKeys", detail)


def affinity(faults: Faults, found: Document, path: str) -> None:
    nodes = found.get("nodeAffinity")
    if nodes:
        if required := nodes.get(REQUIRED):
            node_selector(faults, required, f"{path}.nodeAffinity.{REQUIRED}")
        for index, preferred in enumerate(nodes.get(PREFERRED) or ()):
            where = f"{path}.nodeAffinity.{PREFERRED}[{index}]"
            _weight(faults, preferred, where)
            _term(faults, preferred.get("preference") or {}, f"{where}.preference")
    for field in ("podAffinity", "podAntiAffinity"):
        pods = found.get(field) or {}
        for index, term in enumerate(pods.get(REQUIRED) or ()):
            _pod_term(faults, term, f"{path}.{field}.{REQUIRED}[{index}]")
        for index, preferred in enumerate(pods.get(PREFERRED) or ()):
            where = f"{path}.{field}.{PREFERRED}[{index}]"
            _weight(faults, preferred, where)
            _pod_term(faults, preferred.get("podAffinityTerm") or {}, f"{where}.podAffinityTerm")


def _weight(faults: Faults, preferred: Document, path: str) -> None:
    if not 1 <= preferred.get("weight", 0) <= 100:
        faults.invalid(f"{path}.weight", preferred.get("weight", 0), WEIGHT_RANGE)


def node_selector(faults: Faults, selector: Document, path: str) -> None:
    terms = selector.get("nodeSelectorTerms") or ()
    if not terms:
        faults.required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")
    for index, term in enumerate(terms):
        _term(faults, term, f"{path}.nodeSelectorTerms[{index}]")


def _term(faults: Faults, term: Document, path: str) -> None:
    for index, requirement in enumerate(term.get("matchExpressions") or ()):
        _requirement(faults, requirement, f"{path}.matchExpressions[{index}]")
    for index, requirement in enumerate(term.get("matchFields") or ()):
        where = f"{path}.matchFields[{index}]"
        if requirement.get("operator") not in ("In", "NotIn"):
            faults.invalid(f"{where}.operator", requirement.get("operator", ""), "not a valid selector operator")
        elif len(requirement.get("values") or ()) != 1:
            detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            faults.required(f"{where}.values", detail)
        if requirement.get("key") != "metadata.name":
            faults.invalid(f"{where}.key", requirement.get("key", ""), "not a valid field selector key")


def _requirement(faults: Faults, requirement: Document, path: str) -> None:
    key, values = requirement.get("key", ""), requirement.get("values") or ()
    match requirement.get("operator", ""):
        case "In" | "NotIn":
            if not values:
                faults.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        case "Exists" | "DoesNotExist":
            if values:
                detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                faults.forbidden(f"{path}.values", detail)
        case "Gt" | "Lt":
            if len(values) != 1:
                detail = "must be specified single value when `operator` is 'Lt' or 'Gt'"
                faults.required(f"{path}.values", detail)
        case operator:
            faults.invalid(f"{path}.operator", operator, "not a valid selector operator")
    faults.checked(f"{path}.key", key, names.label_key(key))


def _pod_term(faults: Faults, term: Document, path: str) -> None:
    for field in ("labelSelector", "namespaceSelector"):
        if field in term:
            faults.causes.extend(check_document(term[field], f"{path}.{field}"))
    for namespace in term.get("namespaces") or ():
        faults.checked(f"{path}.namespace", namespace, names.dns_label(namespace))
    for field in ("matchLabelKeys", "mismatchLabelKeys"):
        if term.get(field) and "labelSelector" not in term:
            faults.forbidden(f"{path}.{field}", "must not be specified when labelSelector is not set")
    key = term.get("topologyKey", "")
    if not key:
        faults.required(f"{path}.topologyKey", "can not be empty")
    else:
        faults.checked(f"{path}.topologyKey", key, names.label_key(key))
