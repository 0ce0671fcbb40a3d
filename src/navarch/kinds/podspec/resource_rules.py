"""Rules of resource requests and limits.

Source: https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from navarch.kinds.podspec.totals import containers_total, written
from navarch.kinds.rules import NOT_NEGATIVE, Faults
from navarch.objects import names, quantity
from navarch.objects.value import Document

STANDARD = frozenset(("cpu", "memory", "ephemeral-storage"))
HUGE_PAGES = "hugepages-"
WHOLE = "must be an integer"
NATIVE_DOMAIN = "kubernetes.io/"
COUNTED = frozenset(
    (
        "configmaps",
        "persistentvolumeclaims",
        "pods",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "services",
        "services.loadbalancers",
        "services.nodeports",
    )
)
"""Objects that a quota may count by their plain names."""

MEASURED = frozenset(f"{side}.{name}" for side in ("limits", "requests") for name in STANDARD) | {"requests.storage"}
KNOWN = STANDARD | COUNTED | MEASURED | {"storage"}
"""Every resource whose name needs no domain."""


def amount(faults: Faults, value: Any, field: str) -> int | None:
    """Billionths, or None after a complaint."""
    try:
        found = quantity.nano(value)
    except quantity.BadQuantity as error:
        faults.invalid(field, value, str(error))
        return None
    if found < 0:
        faults.invalid(field, value, NOT_NEGATIVE)
    return found


def is_native(name: str) -> bool:
    """A resource that Kubernetes itself counts."""
    return "/" not in name or NATIVE_DOMAIN in name


def is_extended(name: str) -> bool:
    """A resource that some vendor counts in whole pieces (`nvidia.com/gpu`)."""
    if is_native(name) or name.startswith("requests."):
        return False
    return not names.qualified_name(f"requests.{name}")


def is_whole(name: str) -> bool:
    """Whether it is counted, not measured."""
    return name in COUNTED or is_extended(name)


def may_overcommit(name: str) -> bool:
    return is_native(name) and not name.startswith(HUGE_PAGES)


def general_name(faults: Faults, name: str, field: str) -> bool:
    """Of any resource; whether it is good."""
    if messages := names.qualified_name(name):
        faults.checked(field, name, messages)
        return False
    if "/" not in name and name not in KNOWN and not name.startswith((HUGE_PAGES, f"requests.{HUGE_PAGES}")):
        faults.invalid(field, name, "must be a standard resource type or fully qualified")
        return False
    return True


def resource_name(faults: Faults, name: str, field: str) -> None:
    """Of what a container may request."""
    if name in STANDARD or name.startswith(HUGE_PAGES):
        return
    general_name(faults, name, field)
    if "/" not in name:
        faults.invalid(field, name, "must be a standard resource for containers")
    elif not is_native(name) and not is_extended(name):
        faults.invalid(field, name, "doesn't follow extended resource name standard")


def resource_amount(faults: Faults, name: str, value: Any, field: str) -> int | None:
    """Billionths, or None after a complaint that it is no number at all."""
    found = amount(faults, value, field)
    if found is not None and found % quantity.NANO and is_whole(name):
        faults.invalid(field, value, WHOLE)
    return found


def resources(faults: Faults, found: Document | None, path: str, claims: Iterable[Document] = ()) -> None:
    """Of a container, or of a pod as a whole. claims: those of the pod, which a container may use."""
    if not found:
        return
    limits: Document = found.get("limits") or {}
    requests: Document = found.get("requests") or {}
    bounds = {name: _one(faults, name, value, f"{path}.limits[{name}]") for name, value in limits.items()}
    for name, value in requests.items():
        asked = _one(faults, name, value, f"{path}.requests[{name}]")
        bound = bounds.get(name)
        if name not in limits:
            if not may_overcommit(name):
                faults.required(f"{path}.limits", "Limit must be set for non overcommitable resources")
        elif asked is None or bound is None or asked == bound:
            continue
        elif not may_overcommit(name):
            faults.invalid(f"{path}.requests", value, f"must be equal to {name} limit of {limits[name]}")
        elif asked > bound:
            faults.invalid(f"{path}.requests", value, f"must be less than or equal to {name} limit of {limits[name]}")
    named = limits.keys() | requests.keys()
    if any(name.startswith(HUGE_PAGES) for name in named) and not named & {"cpu", "memory"}:
        faults.forbidden(path, "HugePages require cpu or memory")
    if "claims" in found:
        _claims(faults, found["claims"], [claim.get("name", "") for claim in claims], f"{path}.claims")


def _one(faults: Faults, name: str, value: Any, field: str) -> int | None:
    resource_name(faults, name, field)
    found = resource_amount(faults, name, value, field)
    if found is not None and name.startswith(HUGE_PAGES) and not _whole_pages(name, found):
        faults.invalid(field, value, f"{value} is not positive integer multiple of {name}")
    return found


def _whole_pages(name: str, amount_nano: int) -> bool:
    try:
        page_nano = quantity.nano(name.removeprefix(HUGE_PAGES))
    except quantity.BadQuantity:
        return False
    return page_nano > 0 and amount_nano % page_nano == 0


def _claims(faults: Faults, found: list[Document], known: list[str], path: str) -> None:
    """A container uses a claim as a whole, or requests of it, once each."""
    used: set[str] = set()
    for index, claim in enumerate(found):
        name, request, field = claim.get("name", ""), claim.get("request", ""), f"{path}[{index}]"
        if not name:
            faults.required(field)
            continue
        key = f"{name}/{request}" if request else name
        if request:
            faults.checked(f"{field}.request", request, names.dns_label(request))
        if name in used or key in used or (not request and any(one.startswith(f"{name}/") for one in used)):
            faults.duplicate(field, name if name in used else key)
        used.add(key)
        if name not in known:
            listed = f": {', '.join(sorted(known))}" if known else " which is empty"
            faults.not_found(field, name, f"must be one of the names in pod.spec.resourceClaims{listed}")


def pod_resources(faults: Faults, spec: Document, path: str) -> None:
    """Of a pod as a whole: enough for what its containers request, and no less than any of them is limited to."""
    found: Document = spec["resources"]
    if "claims" in found:
        faults.forbidden(f"{path}.claims", "claims cannot be set for Resources at pod-level")
    for side in ("limits", "requests"):
        for name in found.get(side) or ():
            field = f"{path}.{side}[{name}]"
            if general_name(faults, name, field) and name not in ("cpu", "memory") and not name.startswith(HUGE_PAGES):
                faults.unsupported(field, name, (HUGE_PAGES, "cpu", "memory"))
    before = len(faults.causes)
    resources(faults, {side: found[side] for side in ("limits", "requests") if side in found}, path)
    if len(faults.causes) > before:
        return
    try:
        _consistent(faults, spec, found, path)
    except quantity.BadQuantity:
        return  # which is told where the container is


def _consistent(faults: Faults, spec: Document, found: Document, path: str) -> None:
    """Raises: quantity.BadQuantity."""
    for side in ("requests", "limits"):
        given: Document = found.get(side) or {}
        for name, total in sorted(containers_total(spec, side).items() if given else ()):
            if name not in given or (side == "limits" and not name.startswith(HUGE_PAGES)):
                continue
            if total > quantity.nano(given[name]):
                least = f"must be greater than or equal to aggregate container {side} of "
                faults.invalid(f"{path}.{side}[{name}]", given[name], least + written(total, spec, side, name))
    limits: Document = found.get("limits") or {}
    for index, one in enumerate(spec.get("containers") or ()):
        for name, value in ((one.get("resources") or {}).get("limits") or {}).items():
            if name in limits and quantity.compare(value, limits[name]) > 0:
                detail = f"must be less than or equal to pod limits of {limits[name]}"
                faults.invalid(f"{path}.containers[{index}][{name}].limits", value, detail)
