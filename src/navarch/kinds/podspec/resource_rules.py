"""Rules of resource requests and limits.

Source: https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/
"""

from __future__ import annotations

from typing import Any

from navarch.kinds.rules import NOT_NEGATIVE, Faults
from navarch.objects import names, quantity
from navarch.objects.value import Document

STANDARD = frozenset(("cpu", "memory", "ephemeral-storage"))
HUGE_PAGES = "hugepages-"
WHOLE = "must be an integer"
NATIVE_DOMAIN = "kubernetes.io/"


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


def is_extended(name: str) -> bool:
    """A resource that some vendor counts in whole pieces (`nvidia.com/gpu`)."""
    return "/" in name and NATIVE_DOMAIN not in name and not name.startswith("requests.")


def resource_name(faults: Faults, name: str, field: str) -> None:
    """Of what a container may request."""
    if name in STANDARD or name.startswith(HUGE_PAGES):
        return
    faults.checked(field, name, names.qualified_name(name))
    if "/" not in name:
        faults.invalid(field, name, "must be a standard resource type or fully qualified")
        faults.invalid(field, name, "must be a standard resource for containers")


def resources(faults: Faults, found: Document | None, path: str) -> None:
    """Of a container, or of a pod as a whole."""
    if not found:
        return
    limits: Document = found.get("limits") or {}
    requests: Document = found.get("requests") or {}
    bounds: dict[str, int | None] = {}
    for name, value in limits.items():
        bounds[name] = _one(faults, name, value, path, "limits")
    for name, value in requests.items():
        asked = _one(faults, name, value, path, "requests")
        bound = bounds.get(name)
        if asked is None or bound is None:
            if name not in limits and (is_extended(name) or name.startswith(HUGE_PAGES)):
                faults.required(f"{path}.limits", f"Limit must be set for non overcommitable resources: {name}")
            continue
        exact = is_extended(name) or name.startswith(HUGE_PAGES)
        if exact and asked != bound:
            faults.invalid(f"{path}.requests", value, f"must be equal to {name} limit of {limits[name]}")
        elif asked > bound:
            faults.invalid(f"{path}.requests", value, f"must be less than or equal to {name} limit of {limits[name]}")


def _one(faults: Faults, name: str, value: Any, path: str, side: str) -> int | None:
    if name not in STANDARD:
        field = f"{path}.{side}[{name}]"
        resource_name(faults, name, field)
    else:
        field = ""
        if isinstance(value, str) and not value.startswith("-"):
            try:
                return quantity.nano(value)
            except quantity.BadQuantity:
                field = f"{path}.{side}[{name}]"
    field = field or f"{path}.{side}[{name}]"
    found = amount(faults, value, field)
    if found is not None and is_extended(name) and found % quantity.NANO:
        faults.invalid(field, value, WHOLE)
    return found
