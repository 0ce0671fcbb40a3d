"""Rules of LimitRange and ResourceQuota: which resources may be named where, and which amounts fit together.

How much a namespace uses is `quota_usage`'s business.

Source: https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.base.errors import Cause
from navarch.kinds.podspec.resource_rules import (
    COUNTED,
    HUGE_PAGES,
    KNOWN,
    general_name,
    is_extended,
    may_overcommit,
    resource_amount,
    resource_name,
)
from navarch.kinds.rules import IMMUTABLE, Faults
from navarch.objects import names, quantity
from navarch.objects.value import Document, dig

LIMIT_TYPES = ("Container", "PersistentVolumeClaim", "Pod")
LAST_SIDE = "maxLimitRequestRatio"
SIDES = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
ORDERED = (
    ("min", "max", "min", "min value {} is greater than max value {}"),
    ("min", "defaultRequest", "defaultRequest", "min value {} is greater than default request value {}"),
    ("defaultRequest", "max", "defaultRequest", "default request value {} is greater than max value {}"),
    ("defaultRequest", "default", "defaultRequest", "default request value {} is greater than default limit value {}"),
    ("min", "default", "default", "min value {} is greater than default value {}"),
    ("default", "max", "default", "default value {} is greater than max value {}"),
)
"""(what must be at most, what; where it is told; how)."""

COMPUTED = frozenset(("cpu", "limits.cpu", "limits.memory", "memory", "pods", "requests.cpu", "requests.memory"))
SCOPES = {
    "BestEffort": frozenset(("pods",)),
    "CrossNamespacePodAffinity": COMPUTED,
    "NotBestEffort": COMPUTED,
    "NotTerminating": COMPUTED,
    "PriorityClass": COMPUTED,
    "Terminating": COMPUTED,
    "VolumeAttributesClass": frozenset(("persistentvolumeclaims", "requests.storage")),
}
"""What a quota of that scope may limit."""

OPPOSITES = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
WITHOUT_VALUES = SCOPES.keys() - {"PriorityClass", "VolumeAttributesClass"}
MUST_EXIST = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)


def limit_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    seen: set[str] = set()
    for index, item in enumerate(dig(new, "spec", "limits", default=())):
        path, type_ = f"spec.limits[{index}]", item.get("type", "")
        if messages := names.qualified_name(type_):
            faults.checked(f"{path}.type", type_, messages)
        elif "/" not in type_ and type_ not in LIMIT_TYPES:
            faults.invalid(f"{path}.type", type_, "must be a standard limit type or fully qualified")
        if type_ in seen:
            faults.duplicate(f"{path}.type", type_)
        seen.add(type_)
        _limit_item(faults, item, type_, path)
    return faults.causes


def _limit_item(faults: Faults, item: Document, type_: str, path: str) -> None:
    """Whatever is given keeps the order: min, default request, default, max."""
    found: dict[str, Document] = {}
    readable = True
    for side in SIDES:
        if side == LAST_SIDE and type_ == "PersistentVolumeClaim" and "storage" not in {**found["min"], **found["max"]}:
            detail = "either minimum or maximum storage value is required, but neither was provided"
            faults.required(f"{path}.limits", detail)
        amounts: Document = item.get(side) or {}
        if type_ == "Pod" and side.startswith("default"):
            if amounts:
                faults.forbidden(f"{path}.{side}", "may not be specified when `type` is 'Pod'")
            amounts = {}
        found[side] = amounts
        for name, value in amounts.items():
            field = f"{path}.{side}[{name}]"
            if type_ in ("Container", "Pod"):
                resource_name(faults, name, field)
            else:
                general_name(faults, name, field)
            readable = _number(faults, value, field) and readable
    if not readable:
        return
    for name in sorted({name for amounts in found.values() for name in amounts}):
        _in_order(faults, name, {side: found[side][name] for side in SIDES if name in found[side]}, path)


def _number(faults: Faults, value: quantity.Quantity, field: str) -> bool:
    """Whether it is one."""
    try:
        quantity.nano(value)
    except quantity.BadQuantity as error:
        faults.invalid(field, value, str(error))
        return False
    return True


def _in_order(faults: Faults, name: str, given: dict[str, quantity.Quantity], path: str) -> None:
    """given: what the sides say of one resource."""
    for low, high, told, message in ORDERED:
        if low in given and high in given and quantity.compare(given[low], given[high]) > 0:
            value = given["max" if (low, told) == ("default", "default") else "min" if told == "default" else told]
            faults.invalid(f"{path}.{told}[{name}]", value, message.format(given[low], given[high]))
    ratio = given.get("maxLimitRequestRatio")
    if ratio is not None:
        field = f"{path}.maxLimitRequestRatio[{name}]"
        if quantity.compare(ratio, 1) < 0:
            faults.invalid(field, ratio, f"ratio {ratio} is less than 1")
        least = quantity.parse(given.get("min", 0))
        if least and "max" in given and quantity.parse(ratio) > (most := quantity.parse(given["max"]) / least):
            faults.invalid(field, ratio, f"ratio {ratio} is greater than max/min = {float(most):f}")
    limit, request = given.get("default"), given.get("defaultRequest")
    if limit is None or request is None or may_overcommit(name) or quantity.compare(limit, request) == 0:
        return
    detail = f"default value {limit} must equal to defaultRequest value {request} in {name}"
    faults.invalid(f"{path}.defaultRequest[{name}]", request, detail)


def quota_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    hard: Document = spec.get("hard") or {}
    for name, value in hard.items():
        _quota_name(faults, name, f"spec.hard[{name}]")
        resource_amount(faults, name, value, f"spec.hard[{name}]")
    scopes: list[str] = spec.get("scopes") or []
    for scope in scopes:
        if scope not in SCOPES:
            faults.invalid("spec.scopes", scopes, "unsupported scope")
        for _ in _unfit(scope, hard):
            faults.invalid("spec.scopes", scopes, "unsupported scope applied to resource")
    _conflicts(faults, scopes, scopes)
    if "scopeSelector" in spec:
        _selector(faults, spec, hard, scopes)
    if old is not None and set(scopes) != set(dig(old, "spec", "scopes", default=())):
        faults.invalid("spec.scopes", scopes, IMMUTABLE)
    return faults.causes


def quota_status_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    for side in ("hard", "used"):
        for name, value in dig(new, "status", side, default={}).items():
            _quota_name(faults, name, f"status.{side}[{name}]")
            resource_amount(faults, name, value, f"status.{side}[{name}]")
    return faults.causes


def _quota_name(faults: Faults, name: str, field: str) -> None:
    """Anything with a domain may be counted, and what is known without one but plain storage."""
    general_name(faults, name, field)
    if "/" not in name and not _is_standard(name):
        faults.invalid(field, name, "must be a standard resource for quota")


def _is_standard(name: str) -> bool:
    known = name in COUNTED or (name in KNOWN and name != "storage")
    return known or name.startswith((HUGE_PAGES, f"requests.{HUGE_PAGES}"))


def _unfit(scope: str, hard: Document) -> list[str]:
    """The resources that have nothing to do with pods or claims of that scope."""
    if scope not in SCOPES:
        return []
    return [name for name in sorted(hard) if _is_standard(name) and not is_extended(name) and name not in SCOPES[scope]]


def _conflicts(faults: Faults, found: Iterable[str], shown: list[str]) -> None:
    present = set(found)
    for pair in OPPOSITES:
        if present.issuperset(pair):
            faults.invalid("spec.scopes", shown or None, "conflicting scopes")


def _selector(faults: Faults, spec: Document, hard: Document, scopes: list[str]) -> None:
    """Faults are told of the list of expressions, without their numbers."""
    path, seen = "spec.scopeSelector.matchExpressions", []
    for requirement in spec["scopeSelector"].get("matchExpressions") or ():
        scope, operator = requirement.get("scopeName", ""), requirement.get("operator", "")
        values = requirement.get("values") or []
        if scope not in SCOPES:
            faults.invalid(f"{path}.scopeName", scope, "unsupported scope")
        for _ in _unfit(scope, hard):
            faults.invalid(path, spec["scopeSelector"], "unsupported scope applied to resource")
        if scope in WITHOUT_VALUES and operator != "Exists":
            faults.invalid(f"{path}.operator", operator, MUST_EXIST)
        match operator:
            case "In" | "NotIn":
                if not values:
                    detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                    faults.required(f"{path}.values", detail)
            case "Exists" | "DoesNotExist":
                if values:
                    detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                    faults.invalid(f"{path}.values", values, detail)
            case _:
                faults.invalid(f"{path}.operator", operator, "not a valid selector operator")
        seen.append(scope)
    _conflicts(faults, seen, scopes)
