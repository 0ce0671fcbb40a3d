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
NOT_POSITIVE = "must be greater than zero"
NO_SELECTOR = "must not be specified when labelSelector is not set"
IN_BOTH = "exists in both matchLabelKeys and labelSelector"
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
            faults.invalid(f"{path}.operator", value, "value must be empty when `operator` is 'Exists'")
    else:
        faults.unsupported(f"{path}.operator", operator, ("Equal", "Exists"))
    if effect and effect not in EFFECTS:
        faults.unsupported(f"{path}.effect", effect, EFFECTS)


def spread_constraints(faults: Faults, found: list[Document], path: str) -> None:
    pairs = [(one.get("topologyKey", ""), one.get("whenUnsatisfiable", "")) for one in found]
    for index, constraint in enumerate(found):
        where = f"{path}[{index}]"
        key, otherwise = pairs[index]
        if constraint.get("maxSkew", 0) <= 0:
            faults.invalid(f"{where}.maxSkew", constraint.get("maxSkew", 0), NOT_POSITIVE)
        if not key:
            faults.required(f"{where}.topologyKey", "can not be empty")
        if otherwise not in UNSATISFIABLE:
            faults.unsupported(f"{where}.whenUnsatisfiable", otherwise, UNSATISFIABLE)
        if pairs[index] in pairs[index + 1 :]:
            faults.duplicate(f"{where}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {otherwise}}}")
        _spread_details(faults, constraint, where)


def _spread_details(faults: Faults, constraint: Document, path: str) -> None:
    least, otherwise = constraint.get("minDomains"), constraint.get("whenUnsatisfiable", "")
    if least is not None:
        if least <= 0:
            faults.invalid(f"{path}.minDomains", least, NOT_POSITIVE)
        if otherwise != "DoNotSchedule":
            detail = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {otherwise}"
            faults.invalid(f"{path}.minDomains", least, detail)
    for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        value = constraint.get(field)
        if value is not None and value not in INCLUSION_POLICIES:
            faults.unsupported(f"{path}.{field}", value, INCLUSION_POLICIES)
    selector = constraint.get("labelSelector")
    if keys := constraint.get("matchLabelKeys"):
        if selector is None:
            faults.forbidden(f"{path}.matchLabelKeys", NO_SELECTOR)
        taken = {*((selector or {}).get("matchLabels") or ())}
        taken |= {one.get("key") for one in (selector or {}).get("matchExpressions") or ()}
        for index, key in enumerate(keys):
            faults.checked(f"{path}.matchLabelKeys[{index}]", key, names.label_key(key))
            if key in taken:
                faults.invalid(f"{path}.matchLabelKeys[{index}]", key, IN_BOTH)
    if selector is not None:
        faults.causes.extend(check_document(selector, f"{path}.labelSelector"))


def affinity(faults: Faults, found: Document, path: str) -> None:
    nodes = found.get("nodeAffinity")
    if nodes:
        if required := nodes.get(REQUIRED):
            node_selector(faults, required, f"{path}.nodeAffinity.{REQUIRED}")
        for index, preferred in enumerate(nodes.get(PREFERRED) or ()):
            where = f"{path}.nodeAffinity.{PREFERRED}[{index}]"
            _weight(faults, preferred, where)
            _term(faults, preferred.get("preference") or {}, f"{where}.preference", False)
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


def _term(faults: Faults, term: Document, path: str, check_values: bool = True) -> None:
    """check_values: a mere preference may name values that no label can have."""
    for index, requirement in enumerate(term.get("matchExpressions") or ()):
        _requirement(faults, requirement, f"{path}.matchExpressions[{index}]", check_values)
    for index, requirement in enumerate(term.get("matchFields") or ()):
        where = f"{path}.matchFields[{index}]"
        if requirement.get("operator") not in ("In", "NotIn"):
            faults.invalid(f"{where}.operator", requirement.get("operator", ""), "not a valid selector operator")
        elif len(requirement.get("values") or ()) != 1:
            detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            faults.required(f"{where}.values", detail)
        if requirement.get("key") != "metadata.name":
            faults.invalid(f"{where}.key", requirement.get("key", ""), "not a valid field selector key")
            continue
        for number, value in enumerate(requirement.get("values") or ()):
            faults.checked(f"{where}.values[{number}]", value, names.dns_subdomain(value))


def _requirement(faults: Faults, requirement: Document, path: str, check_values: bool) -> None:
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
    for index, value in enumerate(values if check_values else ()):
        if messages := names.label_value(value):
            faults.checked(f"{path}.values[{index}]", value, messages)


def _pod_term(faults: Faults, term: Document, path: str) -> None:
    for field in ("labelSelector", "namespaceSelector"):
        if field in term:
            faults.causes.extend(check_document(term[field], f"{path}.{field}"))
    for namespace in term.get("namespaces") or ():
        faults.checked(f"{path}.namespace", namespace, names.dns_label(namespace))
    for field in ("matchLabelKeys", "mismatchLabelKeys"):
        if term.get(field) and "labelSelector" not in term:
            faults.forbidden(f"{path}.{field}", NO_SELECTOR)
        elif term.get(field):
            for index, key in enumerate(term[field]):
                faults.checked(f"{path}.{field}[{index}]", key, names.label_key(key))
    for index, key in enumerate(term.get("matchLabelKeys") or ()):
        if key in (term.get("mismatchLabelKeys") or ()):
            detail = "exists in both matchLabelKeys and mismatchLabelKeys"
            faults.invalid(f"{path}.matchLabelKeys[{index}]", key, detail)
    key = term.get("topologyKey", "")
    if not key:
        faults.required(f"{path}.topologyKey", "can not be empty")
    faults.checked(f"{path}.topologyKey", key, names.label_key(key))
