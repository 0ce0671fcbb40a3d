"""Rules of what drivers publish: devices, what they have, where they are, and how much of them may be shared.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from navarch.base.errors import Cause
from navarch.kinds.device_rules import bounded, distinct, pool_name, qualified, taint
from navarch.kinds.device_status_rules import binding_conditions
from navarch.kinds.podspec.placement_rules import node_selector
from navarch.kinds.podspec.resource_rules import amount
from navarch.kinds.podspec.volume_rules import csi_driver
from navarch.kinds.rules import Faults
from navarch.objects import names, quantity
from navarch.objects.value import Document, dig

DEVICES_MAX = 128
DEVICES_ADVANCED_MAX = 64
"""Where any device has taints or consumes counters."""
ATTRIBUTES_MAX = 32
VALUE_MAX_BYTES = 64
TAINTS_MAX = 16
COUNTER_SETS_MAX = 8
COUNTERS_MAX = 32
CONSUMPTIONS_MAX = 2
OPTIONS_MAX = 10
VALUES = ("bool", "int", "string", "version", "bools", "ints", "strings", "versions")
PLACES = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")
SET_OR_TRUE = "must be either unset or set to true"
ONE_PLACE = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true "
    "in the ResourceSlice spec"
)
NO_PLACE = (
    "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the "
    "ResourceSlice spec"
)
_NUMBER = r"(0|[1-9]\d*)"
_RELEASE = r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_SEMVER = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_RELEASE}(\.{_RELEASE})*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?", re.ASCII
)


def slice_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    was: Document = (old or {}).get("spec") or {}
    pool: Document = spec.get("pool") or {}
    csi_driver(faults, spec.get("driver", ""), "spec.driver")
    pool_name(faults, pool.get("name", ""), "spec.pool.name")
    if pool.get("resourceSliceCount", 0) <= 0:
        faults.invalid("spec.pool.resourceSliceCount", pool.get("resourceSliceCount", 0), "must be greater than zero")
    if pool.get("generation", 0) < 0:
        faults.invalid("spec.pool.generation", pool["generation"], "must be greater than or equal to zero")
    if old is not None:
        faults.immutable("spec.pool.name", pool.get("name"), dig(was, "pool", "name"))
        for field in ("driver", "nodeName"):
            faults.immutable(f"spec.{field}", spec.get(field), was.get(field))
    _place(faults, spec)
    devices: list[Document] = spec.get("devices") or []
    if "sharedCounters" in spec and "devices" in spec:
        faults.invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed")
    advanced = any(device.get("taints") or device.get("consumesCounters") for device in devices)
    most = DEVICES_ADVANCED_MAX if advanced else DEVICES_MAX
    before = {device.get("name"): device for device in was.get("devices") or ()}
    for where, device in bounded(faults, devices, "spec.devices", most):
        _device(faults, device, before.get(device.get("name")), where, bool(spec.get("perDeviceNodeSelection")))
    distinct(faults, [device.get("name", "") for device in devices], "spec.devices", most)
    sets: list[Document] = spec.get("sharedCounters") or []
    for where, counters in bounded(faults, sets, "spec.sharedCounters", COUNTER_SETS_MAX):
        _counters(faults, counters, where, "name")
    distinct(faults, [one.get("name", "") for one in sets], "spec.sharedCounters", COUNTER_SETS_MAX)
    return faults.causes


def _nodes(faults: Faults, found: Document, path: str, empty: str) -> list[str]:
    """Which of the ways to say where something is are used. empty: what is told of a node without a name."""
    given = []
    if "nodeName" in found:
        name = found["nodeName"]
        if name:
            given.append("`nodeName`")
            faults.checked(f"{path}.nodeName", name, names.dns_subdomain(name))
        else:
            faults.invalid(f"{path}.nodeName", name, empty)
    if "nodeSelector" in found:
        given.append("`nodeSelector`")
        node_selector(faults, found["nodeSelector"], f"{path}.nodeSelector")
    return given


def _flag(faults: Faults, found: Document, path: str, field: str) -> list[str]:
    if found.get(field):
        return [f"`{field}`"]
    if field in found:
        faults.invalid(f"{path}.{field}", found[field], SET_OR_TRUE)
    return []


def _place(faults: Faults, spec: Document) -> None:
    given = _nodes(faults, spec, "spec", "must be either unset or set to a non-empty string")
    terms = dig(spec, "nodeSelector", "nodeSelectorTerms", default=[])
    if "nodeSelector" in spec and len(terms) != 1:
        detail = "must have exactly one node selector term"
        faults.invalid("spec.nodeSelector.nodeSelectorTerms", terms or None, detail)
    for field in ("allNodes", "perDeviceNodeSelection"):
        given += _flag(faults, spec, "spec", field)
    listed = ", ".join(f"`{field}`" for field in PLACES)
    if not given:
        faults.required("spec", f"exactly one of {listed} is required")
    elif len(given) > 1:
        detail = f"exactly one of {listed} is required, but multiple fields are set"
        faults.invalid("spec", f"{{{', '.join(given)}}}", detail)


def _device(faults: Faults, device: Document, old: Document | None, path: str, by_device: bool) -> None:
    faults.checked(f"{path}.name", device.get("name", ""), names.dns_label(device.get("name", "")))
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    if (count := len(attributes) + len(capacity)) > ATTRIBUTES_MAX:
        faults.invalid(path, count, f"the total number of attributes and capacities must not exceed {ATTRIBUTES_MAX}")
    for name, value in attributes.items():
        qualified(faults, name, f"{path}.attributes")
        _attribute(faults, value, f"{path}.attributes[{name}]")
    if old is None or (old.get("capacity") or {}) != capacity:
        for name, value in capacity.items():
            qualified(faults, name, f"{path}.capacity")
            _capacity(faults, value, f"{path}.capacity[{name}]", bool(device.get("allowMultipleAllocations")))
    taints: list[Document] = device.get("taints") or []
    if old is None or (old.get("taints") or []) != taints:
        for where, one in bounded(faults, taints, f"{path}.taints", TAINTS_MAX):
            taint(faults, one, where)
    consumed: list[Document] = device.get("consumesCounters") or []
    for where, counters in bounded(faults, consumed, f"{path}.consumesCounters", CONSUMPTIONS_MAX):
        _counters(faults, counters, where, "counterSet")
    keys = [one.get("counterSet", "") for one in consumed]
    distinct(faults, keys, f"{path}.consumesCounters", CONSUMPTIONS_MAX)
    if by_device:
        given = _nodes(faults, device, path, "must not be empty") + _flag(faults, device, path, "allNodes")
        if not given:
            faults.required(path, ONE_PLACE)
        elif len(given) > 1:
            faults.invalid(path, f"{{{', '.join(given)}}}", ONE_PLACE)
    elif any(field in device for field in PLACES[:3]):
        faults.invalid(path, "null", NO_PLACE)
    binding_conditions(faults, device, path)


def _attribute(faults: Faults, found: Document, path: str) -> None:
    given = [field for field in VALUES if field in found]
    for field in given:
        value: Any = found[field]
        if isinstance(value, list) and not value:
            faults.invalid(f"{path}.{field}", value, "must not be empty if specified")
        for index, text in enumerate(value if isinstance(value, list) else [value]):
            where = f"{path}.{field}[{index}]" if isinstance(value, list) else f"{path}.{field}"
            if field in ("version", "versions") and not _SEMVER.fullmatch(text):
                faults.invalid(where, text, "must be a string compatible with semver.org spec 2.0.0")
            if isinstance(text, str) and len(text.encode()) > VALUE_MAX_BYTES:
                faults.too_long(where, VALUE_MAX_BYTES)
    if len(given) != 1:
        faults.invalid(path, found if given else "", "exactly one value must be specified")


def _counters(faults: Faults, found: Document, path: str, named: str) -> None:
    name, counters = found.get(named, ""), found.get("counters") or {}
    if not name:
        faults.required(f"{path}.{named}")
    else:
        faults.checked(f"{path}.{named}", name, names.dns_label(name))
    if not counters:
        faults.required(f"{path}.counters")
    elif len(counters) > COUNTERS_MAX:
        faults.too_many(f"{path}.counters", len(counters), COUNTERS_MAX)
    else:
        for counter in counters:
            faults.checked(f"{path}.counters", counter, names.dns_label(counter))


def _capacity(faults: Faults, found: Document, path: str, shared: bool) -> None:
    amount(faults, found.get("value", "0"), f"{path}.value")
    policy, where = found.get("requestPolicy"), f"{path}.requestPolicy"
    if policy is None:
        return
    if not shared:
        faults.forbidden(where, "allowMultipleAllocations must be true")
    elif policy.get("validValues") and "validRange" in policy:
        both = 'cannot specify "validValues" and "validRange" at the same time'
        faults.forbidden(where, f"exactly one policy can be specified, {both}")
    else:
        field = "validValues" if policy.get("validValues") else "validRange"
        if field not in policy:
            return
        if "default" not in policy:
            faults.required(f"{where}.default", f"required when {field} is defined")
            return
        try:
            check = _options if field == "validValues" else _range
            check(faults, policy["default"], found.get("value", "0"), policy[field], f"{where}.{field}")
        except quantity.BadQuantity as error:
            faults.invalid(f"{where}.{field}", policy[field], str(error))


def _options(faults: Faults, default: Any, most: Any, options: list[Any], path: str) -> None:
    """Raises: quantity.BadQuantity."""
    if len(options) > OPTIONS_MAX:
        faults.too_many(path, len(options), OPTIONS_MAX)
        return
    for index, option in enumerate(options[1:], 1):
        if quantity.compare(options[index - 1], option) > 0:
            faults.invalid(f"{path}[{index}]", option, "values must be sorted in ascending order")
    for index, option in enumerate(options):
        if quantity.compare(option, most) > 0:
            faults.invalid(f"{path}[{index}]", option, f"option is larger than capacity value: {most}")
    distinct(faults, [str(quantity.whole(option)) for option in options], path)
    if all(quantity.compare(option, default) for option in options):
        faults.invalid(path, default, "default value is not valid according to the requestPolicy")


def _range(faults: Faults, default: Any, most: Any, found: Document, path: str) -> None:
    """Raises: quantity.BadQuantity."""
    if "min" not in found:
        faults.required(f"{path}.min", "required when validRange is defined")
        return
    low, high, step = found["min"], found.get("max"), found.get("step")
    if quantity.compare(low, most) > 0:
        faults.invalid(f"{path}.min", low, f"min is larger than capacity value: {most}")
    if quantity.compare(default, low) < 0:
        faults.invalid(f"{path}.default", default, f"default is less than min: {low}")
    if high is not None:
        if quantity.compare(low, high) > 0:
            faults.invalid(f"{path}.max", low, f"min is larger than max: {high}")
        if quantity.compare(high, most) > 0:
            faults.invalid(f"{path}.max", high, f"max is larger than capacity value: {most}")
        if quantity.compare(default, high) > 0:
            faults.invalid(f"{path}.default", default, f"default is more than max: {high}")
    if step is not None:
        _steps(faults, [default] if high is None else [default, high], low, step, most, f"{path}.step")


def _steps(faults: Faults, values: list[Any], low: Any, step: Any, most: Any, field: str) -> None:
    width = quantity.whole(step)
    if width <= 0:
        faults.invalid(field, step, "must be greater than zero")
        return
    first_nano = quantity.nano(low) + quantity.nano(step)
    if first_nano > quantity.nano(most):
        shown = quantity.text(first_nano)
        faults.invalid(field, step, f"one step {shown} is larger than capacity value: {most}")
    for value in values:
        if (quantity.whole(value) - quantity.whole(low)) % width:
            faults.invalid(field, value, f"value is not a multiple of a given step ({step}) from ({low})")
