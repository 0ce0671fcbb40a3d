"""Rules of what asks for devices: claims, templates of them, classes, and rules that taint.

Expressions are compiled when they are new, which takes a moment. What the scheduler and drivers write about claims is
`device_status_rules`'s, what drivers publish `device_slice_rules`'s.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

import orjson

from navarch.base.errors import Cause
from navarch.kinds.condition_rules import conditions
from navarch.kinds.podspec.resource_rules import is_extended
from navarch.kinds.podspec.volume_rules import csi_driver
from navarch.kinds.rules import Faults, check_annotations, check_labels, repeats
from navarch.objects import names
from navarch.objects.value import Document, dig

MODES = ("All", "ExactCount")
LIST_MAX = 32
FIRST_AVAILABLE_MAX = 8
EXPRESSION_MAX_BYTES = PARAMETERS_MAX_BYTES = 10 * 1024
POOL_NAME_MAX_BYTES = 253
ID_MAX_BYTES = 32
CONDITIONS_MAX = 8
TAINT_EFFECTS = ("NoExecute", "NoSchedule", "None")
OPERATORS = ("Equal", "Exists")
ONE_REQUEST = "exactly one of `exactly` or `firstAvailable` is required"
NO_REQUEST = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
ONE_ATTRIBUTE = 'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'

Requests = Mapping[str, Set[str]]
"""The requests of a claim by name, with the names of their alternatives."""


def claim_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    if old is not None:
        faults.immutable("spec", spec, old.get("spec") or {})
    else:
        _claim(faults, spec, "spec")
    return faults.causes


def template_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    if old is not None:
        faults.immutable("spec", spec, old.get("spec") or {})
    else:
        check_annotations(faults, dig(spec, "metadata", "annotations"), "spec.metadata.annotations")
        check_labels(faults, dig(spec, "metadata", "labels"), "spec.metadata.labels")
        _claim(faults, spec.get("spec") or {}, "spec.spec")
    return faults.causes


def bounded(faults: Faults, found: list[Any], path: str, limit: int = LIST_MAX) -> Iterator[tuple[str, Any]]:
    """Each with its path; none of them, when they are too many, which is then all that is told."""
    if len(found) > limit:
        faults.too_many(path, len(found), limit)
        return
    for index, one in enumerate(found):
        yield f"{path}[{index}]", one


def distinct(faults: Faults, keys: list[str], path: str, limit: int = LIST_MAX) -> None:
    """Tells of keys that items of a list share, unless there are too many items."""
    if len(keys) <= limit:
        for index in sorted(repeats(keys)):
            faults.duplicate(f"{path}[{index}]", keys[index])


def requests_of(spec: Document) -> Requests:
    return {
        request.get("name", ""): {one.get("name", "") for one in request.get("firstAvailable") or ()}
        for request in dig(spec, "devices", "requests", default=())
    }


def _claim(faults: Faults, spec: Document, path: str) -> None:
    devices: Document = spec.get("devices") or {}
    known = requests_of(spec)
    requests: list[Document] = devices.get("requests") or []
    for where, request in bounded(faults, requests, f"{path}.devices.requests"):
        _request(faults, request, where)
    distinct(faults, [request.get("name", "") for request in requests], f"{path}.devices.requests")
    for where, constraint in bounded(faults, devices.get("constraints") or [], f"{path}.devices.constraints"):
        references(faults, constraint.get("requests") or [], f"{where}.requests", known)
        for field in ("matchAttribute", "distinctAttribute"):
            if field in constraint:
                _fully_qualified(faults, constraint[field], f"{where}.{field}")
                break
        else:
            faults.required(where, ONE_ATTRIBUTE)
    for where, config in bounded(faults, devices.get("config") or [], f"{path}.devices.config"):
        references(faults, config.get("requests") or [], f"{where}.requests", known)
        configuration(faults, config, where)


def _request(faults: Faults, request: Document, path: str) -> None:
    faults.checked(f"{path}.name", request.get("name", ""), names.dns_label(request.get("name", "")))
    alternatives: list[Document] = request.get("firstAvailable") or []
    if "exactly" not in request and not alternatives:
        faults.required(path, ONE_REQUEST)
    elif "exactly" in request and alternatives:
        faults.invalid(path, "null", f"{ONE_REQUEST}, but multiple fields are set")
    elif "exactly" in request:
        _exactly(faults, request["exactly"], f"{path}.exactly")
    else:
        field = f"{path}.firstAvailable"
        for where, one in bounded(faults, alternatives, field, FIRST_AVAILABLE_MAX):
            faults.checked(f"{where}.name", one.get("name", ""), names.dns_label(one.get("name", "")))
            _exactly(faults, one, where)
        distinct(faults, [one.get("name", "") for one in alternatives], field, FIRST_AVAILABLE_MAX)


def references(faults: Faults, found: list[str], path: str, known: Requests) -> None:
    """Names of requests, each once."""
    for where, name in bounded(faults, found, path):
        reference(faults, name, where, known)
    distinct(faults, found, path)


def reference(faults: Faults, name: str, field: str, known: Requests) -> None:
    parts = name.split("/")
    if len(parts) > 2:
        faults.invalid(field, name, NO_REQUEST)
        return
    for part in parts:
        faults.checked(field, part, names.dns_label(part))
    if parts[0] not in known or (len(parts) > 1 and parts[1] not in known[parts[0]]):
        faults.invalid(field, name, NO_REQUEST)


def _exactly(faults: Faults, request: Document, path: str) -> None:
    name = request.get("deviceClassName", "")
    if not name:
        faults.required(f"{path}.deviceClassName")
    else:
        faults.checked(f"{path}.deviceClassName", name, names.dns_subdomain(name))
    _selectors(faults, request.get("selectors") or [], f"{path}.selectors")
    mode, count = request.get("allocationMode", ""), request.get("count", 0)
    if mode not in MODES:
        faults.unsupported(f"{path}.allocationMode", mode, MODES)
    elif mode == "ExactCount" and count <= 0:
        faults.invalid(f"{path}.count", count, "must be greater than zero")
    elif mode == "All" and count:
        faults.invalid(f"{path}.count", count, "must not be specified when allocationMode is 'All'")
    tolerations(faults, request.get("tolerations") or [], f"{path}.tolerations")


def tolerations(faults: Faults, found: list[Document], path: str) -> None:
    for index, toleration in enumerate(found):
        where = f"{path}[{index}]"
        key, operator, value = (toleration.get(field, "") for field in ("key", "operator", "value"))
        if key:
            faults.checked(f"{where}.key", key, names.label_key(key))
        if operator == "Exists":
            if value:
                faults.invalid(f"{where}.value", value, "must be empty for operator `Exists`")
        elif operator == "Equal":
            faults.checked(f"{where}.value", value, names.label_value(value))
        else:
            faults.one_of(f"{where}.operator", operator, OPERATORS)
        if (effect := toleration.get("effect", "")) and effect not in TAINT_EFFECTS:
            faults.unsupported(f"{where}.effect", effect, TAINT_EFFECTS)


def _selectors(faults: Faults, found: list[Document], path: str, stored: bool = False) -> None:
    """stored: they are as they were, so their expressions are good."""
    for where, one in bounded(faults, found, path):
        if "cel" not in one:
            faults.required(f"{where}.cel")
            continue
        text, field = one["cel"].get("expression", ""), f"{where}.cel.expression"
        if stored:
            continue
        if len(text.encode()) > EXPRESSION_MAX_BYTES:
            faults.too_long(field, EXPRESSION_MAX_BYTES)
        elif not text:
            faults.required(field)
        else:
            from navarch.kinds.policy_expressions import check_device

            check_device(faults, field, text)


def configuration(faults: Faults, config: Document, path: str, stored: bool = False) -> None:
    if "opaque" not in config:
        faults.required(f"{path}.opaque")
        return
    csi_driver(faults, config["opaque"].get("driver", ""), f"{path}.opaque.driver")
    raw_object(faults, config["opaque"].get("parameters"), f"{path}.opaque.parameters", stored)


def raw_object(faults: Faults, found: Any, field: str, stored: bool = False) -> None:
    """What only a driver understands. stored: it may be as long as it was."""
    if found is None:
        faults.required(field)
    elif not stored and len(orjson.dumps(found)) > PARAMETERS_MAX_BYTES:
        faults.too_long(field, PARAMETERS_MAX_BYTES)
    elif not isinstance(found, dict):
        faults.invalid(field, "<value omitted>", "must be a valid JSON object")


def pool_name(faults: Faults, name: str, field: str) -> None:
    if not name:
        faults.required(field)
        return
    if len(name.encode()) > POOL_NAME_MAX_BYTES:
        faults.too_long(field, POOL_NAME_MAX_BYTES)
    for part in name.split("/"):
        faults.checked(field, part, names.dns_subdomain(part))


def qualified(faults: Faults, name: str, field: str) -> None:
    """An identifier, perhaps of some domain."""
    parts = name.split("/")
    if len(parts) > 2:
        faults.invalid(field, name, "must not contain more than one slash")
        return
    if len(parts) == 2:
        if not parts[0]:
            faults.invalid(field, "", "the domain must not be empty")
        else:
            csi_driver(faults, parts[0], field)
    if len(parts) == 2 and not parts[1]:
        faults.invalid(field, "", "the name must not be empty")
        return
    if len(parts[-1].encode()) > ID_MAX_BYTES:
        faults.too_long(field, ID_MAX_BYTES)
    faults.checked(field, parts[-1], names.c_identifier(parts[-1]))


def _fully_qualified(faults: Faults, name: str, field: str) -> None:
    qualified(faults, name, field)
    if "/" not in name:
        faults.invalid(field, name, "a fully qualified name must be a domain and a name separated by a slash")


def class_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    was: Document = (old or {}).get("spec") or {}
    selectors, configs = spec.get("selectors") or [], spec.get("config") or []
    _selectors(faults, selectors, "spec.selectors", old is not None and selectors == (was.get("selectors") or []))
    stored = old is not None and configs == (was.get("config") or [])
    for where, config in bounded(faults, configs, "spec.config"):
        configuration(faults, config, where, stored)
    if (name := spec.get("extendedResourceName")) is not None and not is_extended(name):
        faults.invalid("spec.extendedResourceName", name, "must be a valid extended resource name")
    return faults.causes


def taint(faults: Faults, found: Document, path: str, old_effect: str | None = None) -> None:
    key, value, effect = (found.get(field, "") for field in ("key", "value", "effect"))
    faults.checked(f"{path}.key", key, names.label_key(key))
    if value:
        faults.checked(f"{path}.value", value, names.label_value(value))
    if effect != old_effect:
        faults.one_of(f"{path}.effect", effect, TAINT_EFFECTS)


def taint_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """Of a rule that taints devices."""
    faults = Faults()
    chosen: Document = dig(new, "spec", "deviceSelector") or {}
    if "driver" in chosen:
        csi_driver(faults, chosen["driver"], "spec.deviceSelector.driver")
    if "pool" in chosen:
        pool_name(faults, chosen["pool"], "spec.deviceSelector.pool")
    if "device" in chosen:
        faults.checked("spec.deviceSelector.device", chosen["device"], names.dns_label(chosen["device"]))
    old_effect = None if old is None else dig(old, "spec", "taint", "effect", default="")
    taint(faults, dig(new, "spec", "taint") or {}, "spec.taint", old_effect)
    return faults.causes


def taint_status_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    found: list[Document] = dig(new, "status", "conditions", default=[])
    conditions(faults, found, "status.conditions")
    if len(found) > CONDITIONS_MAX:
        faults.too_many("status.conditions", len(found), CONDITIONS_MAX)
    return faults.causes
