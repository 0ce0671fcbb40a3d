"""Rules of devices: what drivers publish, what claims ask for.

Whether a selector's expression is CEL is for those to say who evaluate it.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.base.errors import Cause
from navarch.kinds.podspec.placement_rules import node_selector, tolerations
from navarch.kinds.podspec.resource_rules import amount
from navarch.kinds.rules import Faults
from navarch.objects import names
from navarch.objects.value import Document, dig

MODES = ("All", "ExactCount")
LIST_MAX = 32
FIRST_AVAILABLE_MAX = 8
DEVICES_MAX = 128
RESERVED_MAX = 256
DRIVER_NAME_MAX = 63
ATTRIBUTE_KINDS = ("bool", "bools", "int", "ints", "string", "strings", "version", "versions")
PLACES = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")
TAINTS = ("NoExecute", "NoSchedule", "None")


def claim_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    if old is not None:
        faults.immutable("spec", spec, old.get("spec"))
    else:
        _claim(faults, spec, "spec")
    return faults.causes


def template_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    if old is not None:
        faults.immutable("spec", spec, old.get("spec"))
    else:
        _claim(faults, spec.get("spec") or {}, "spec.spec")
    return faults.causes


def status_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """Of what the scheduler and drivers write about a claim."""
    faults = Faults()
    status: Document = new.get("status") or {}
    reserved = status.get("reservedFor") or []
    if len(reserved) > RESERVED_MAX:
        faults.too_many("status.reservedFor", len(reserved), RESERVED_MAX)
    if reserved and "allocation" not in status:
        faults.forbidden("status.reservedFor", "may not be specified when `allocated` is not set")
    for index, one in enumerate(reserved):
        for field in ("resource", "name", "uid"):
            if not one.get(field):
                faults.required(f"status.reservedFor[{index}].{field}")
    was = dig(old, "status", "allocation")
    if was is not None and "allocation" in status:
        faults.immutable("status.allocation", status["allocation"], was)
    return faults.causes


def _many(faults: Faults, found: list[Document], path: str, limit: int = LIST_MAX) -> Iterable[tuple[str, Document]]:
    if len(found) > limit:
        faults.too_many(path, len(found), limit)
    return ((f"{path}[{index}]", one) for index, one in enumerate(found))


def _label(faults: Faults, name: str, field: str) -> None:
    if not name:
        faults.required(field)
    else:
        faults.checked(field, name, names.dns_label(name))


def _unique(faults: Faults, name: str, field: str, seen: set[str]) -> None:
    _label(faults, name, field)
    if name and name in seen:
        faults.duplicate(field, name)
    seen.add(name)


def _claim(faults: Faults, spec: Document, path: str) -> None:
    devices: Document = spec.get("devices") or {}
    seen: set[str] = set()
    asked: set[str] = set()
    for where, request in _many(faults, devices.get("requests") or [], f"{path}.devices.requests"):
        name = request.get("name", "")
        _unique(faults, name, f"{where}.name", seen)
        asked.add(name)
        alternatives = request.get("firstAvailable") or []
        if ("exactly" in request) == bool(alternatives):
            detail = "exactly one of `exactly` or `firstAvailable` is required"
            if alternatives:
                faults.invalid(where, request, detail)
            else:
                faults.required(where, detail)
        if "exactly" in request:
            _exactly(faults, request["exactly"], f"{where}.exactly")
        inner: set[str] = set()
        for at, one in _many(faults, alternatives, f"{where}.firstAvailable", FIRST_AVAILABLE_MAX):
            _unique(faults, one.get("name", ""), f"{at}.name", inner)
            asked.add(f"{name}/{one.get('name', '')}")
            _exactly(faults, one, at)
    for where, constraint in _many(faults, devices.get("constraints") or [], f"{path}.devices.constraints"):
        _known(faults, constraint, asked, where)
        if not constraint.get("matchAttribute") and not constraint.get("distinctAttribute"):
            faults.required(f"{where}.matchAttribute")
    for where, config in _many(faults, devices.get("config") or [], f"{path}.devices.config"):
        _known(faults, config, asked, where)
        configuration(faults, config, where)


def _known(faults: Faults, found: Document, asked: set[str], path: str) -> None:
    for index, name in enumerate(found.get("requests") or ()):
        if name not in asked:
            detail = (
                "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
            )
            faults.invalid(f"{path}.requests[{index}]", name, detail)


def _exactly(faults: Faults, request: Document, path: str) -> None:
    name = request.get("deviceClassName", "")
    if not name:
        faults.required(f"{path}.deviceClassName")
    else:
        faults.checked(f"{path}.deviceClassName", name, names.dns_subdomain(name))
    selectors(faults, request.get("selectors") or [], f"{path}.selectors")
    mode, count = request.get("allocationMode", ""), request.get("count", 0)
    if mode not in MODES:
        faults.unsupported(f"{path}.allocationMode", mode, MODES)
    elif mode == "ExactCount":
        if count <= 0:
            faults.invalid(f"{path}.count", count, "must be greater than zero")
    elif count:
        faults.invalid(f"{path}.count", count, "must not be specified when allocationMode is 'All'")
    tolerations(faults, request.get("tolerations") or [], f"{path}.tolerations")


def selectors(faults: Faults, found: list[Document], path: str) -> None:
    for where, one in _many(faults, found, path):
        if "cel" not in one:
            faults.required(f"{where}.cel")
        elif not one["cel"].get("expression"):
            faults.required(f"{where}.cel.expression")


def configuration(faults: Faults, config: Document, path: str) -> None:
    if "opaque" not in config:
        faults.required(f"{path}.opaque")
        return
    _driver(faults, config["opaque"].get("driver", ""), f"{path}.opaque.driver")
    if not config["opaque"].get("parameters"):
        faults.required(f"{path}.opaque.parameters")


def _driver(faults: Faults, name: str, field: str) -> None:
    if not name:
        faults.required(field)
        return
    if len(name) > DRIVER_NAME_MAX:
        faults.too_long(field, DRIVER_NAME_MAX)
    faults.checked(field, name, names.dns_subdomain(name))


def class_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    selectors(faults, spec.get("selectors") or [], "spec.selectors")
    for where, config in _many(faults, spec.get("config") or [], "spec.config"):
        configuration(faults, config, where)
    if (name := spec.get("extendedResourceName")) is not None:
        faults.checked("spec.extendedResourceName", name, names.qualified_name(name))
        if "/" not in name:
            faults.invalid("spec.extendedResourceName", name, "must be a fully qualified extended resource name")
    return faults.causes


def slice_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    _driver(faults, spec.get("driver", ""), "spec.driver")
    pool: Document = spec.get("pool") or {}
    if not pool.get("name"):
        faults.required("spec.pool.name")
    else:
        for part in pool["name"].split("/"):
            faults.checked("spec.pool.name", part, names.dns_subdomain(part))
    if pool.get("resourceSliceCount", 0) <= 0:
        count = pool.get("resourceSliceCount", 0)
        faults.invalid("spec.pool.resourceSliceCount", count, "must be greater than zero")
    faults.not_negative("spec.pool.generation", pool.get("generation"))
    _place(faults, spec)
    seen: set[str] = set()
    for where, device in _many(faults, spec.get("devices") or [], "spec.devices", DEVICES_MAX):
        _unique(faults, device.get("name", ""), f"{where}.name", seen)
        _device(faults, device, where)
    if old is not None:
        was: Document = old.get("spec") or {}
        for field in ("nodeName", "driver"):
            faults.immutable(f"spec.{field}", spec.get(field), was.get(field))
        faults.immutable("spec.pool.name", pool.get("name"), dig(was, "pool", "name"))
    return faults.causes


def _place(faults: Faults, spec: Document) -> None:
    given = [field for field in PLACES if spec.get(field)]
    listed = ", ".join(f"`{field}`" for field in PLACES)
    if not given:
        faults.required("spec", f"exactly one of {listed} is required")
    elif len(given) > 1:
        held = "{" + ", ".join(f"`{field}`" for field in given) + "}"
        faults.invalid("spec", held, f"exactly one of {listed} is required, but multiple fields are set")
    if name := spec.get("nodeName"):
        faults.checked("spec.nodeName", name, names.dns_subdomain(name))
    if found := spec.get("nodeSelector"):
        node_selector(faults, found, "spec.nodeSelector")
        if len(found.get("nodeSelectorTerms") or ()) != 1:
            terms = found.get("nodeSelectorTerms") or []
            detail = "must have exactly one node selector term"
            faults.invalid("spec.nodeSelector.nodeSelectorTerms", terms, detail)


def _device(faults: Faults, device: Document, path: str) -> None:
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    if len(attributes) + len(capacity) > LIST_MAX:
        held = len(attributes) + len(capacity)
        faults.invalid(path, held, f"the total number of attributes and capacities must not exceed {LIST_MAX}")
    for key, value in attributes.items():
        given = [kind for kind in ATTRIBUTE_KINDS if kind in value]
        if len(given) != 1:
            detail = "exactly one value must be specified"
            if given:
                faults.invalid(f"{path}.attributes[{key}]", value, detail)
            else:
                faults.required(f"{path}.attributes[{key}]", detail)
    for key, value in capacity.items():
        amount(faults, value.get("value", "0"), f"{path}.capacity[{key}].value")
    for index, taint in enumerate(device.get("taints") or ()):
        _taint(faults, taint, f"{path}.taints[{index}]")


def _taint(faults: Faults, taint: Document, path: str) -> None:
    key = taint.get("key", "")
    faults.checked(f"{path}.key", key, names.qualified_name(key))
    if taint.get("value"):
        faults.checked(f"{path}.value", taint["value"], names.label_value(taint["value"]))
    if taint.get("effect") not in TAINTS:
        faults.one_of(f"{path}.effect", taint.get("effect"), TAINTS)


def taint_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """Of a rule that taints devices."""
    faults = Faults()
    chosen: Document = dig(new, "spec", "deviceSelector") or {}
    if chosen.get("driver") is not None:
        _driver(faults, chosen["driver"], "spec.deviceSelector.driver")
    for field in ("pool", "device"):
        if chosen.get(field) is not None:
            path = f"spec.deviceSelector.{field}"
            parts = chosen[field].split("/") if field == "pool" else [chosen[field]]
            for part in parts:
                faults.checked(path, part, names.dns_subdomain(part) if field == "pool" else names.dns_label(part))
    _taint(faults, dig(new, "spec", "taint") or {}, "spec.taint")
    return faults.causes
