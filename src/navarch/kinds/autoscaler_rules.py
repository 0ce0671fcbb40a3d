"""Rules of HorizontalPodAutoscalers.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/horizontal-pod-autoscaler-v2/
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.base.errors import Cause
from navarch.kinds.podspec.resource_rules import resource_name
from navarch.kinds.rules import Faults
from navarch.objects import names, quantity
from navarch.objects.value import Document, dig

SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
LOOKED_AT = ("object", "external", "pods", "resource", "containerResource")
"""The first of these that a metric has is judged."""
TARGETS = ("Utilization", "Value", "AverageValue")
SELECTIONS = ("Disabled", "Max", "Min")
SCALINGS = ("Percent", "Pods")
PERIOD_MAX_S = 1800
WINDOW_MAX_S = 3600
NO_GROUP = "apiVersion must specify API group"


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    was: Document = (old or {}).get("spec") or {}
    if old is not None and spec == was:
        return ()
    _bounds(faults, spec, lowest=0 if was.get("minReplicas") == 0 else 1)
    target: Document = spec.get("scaleTargetRef") or {}
    _reference(faults, target, "spec.scaleTargetRef")
    before = was.get("scaleTargetRef") or {}
    if old is None or any(target.get(field) != before.get(field) for field in ("apiVersion", "kind")):
        _version(faults, target, "spec.scaleTargetRef", group=target.get("kind") != "ReplicationController")
    metrics = spec.get("metrics") or ()
    tolerant = any(
        _wrong_version(dig(one, "object", "describedObject", default={})) for one in was.get("metrics") or ()
    )
    for index, metric in enumerate(metrics):
        _metric(faults, metric, f"spec.metrics[{index}]", tolerant)
    if spec.get("minReplicas") == 0 and not any(one.get("type") in ("Object", "External") for one in metrics):
        detail = "must specify at least one Object or External metric to support scaling to zero replicas"
        faults.forbidden("spec.metrics", detail)
    for direction in ("scaleUp", "scaleDown"):
        if (found := (spec.get("behavior") or {}).get(direction)) is not None:
            _scaling(faults, found, f"spec.behavior.{direction}")
    return faults.causes


def _bounds(faults: Faults, spec: Document, lowest: int) -> None:
    least, most = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    if least is not None and least < lowest:
        faults.invalid("spec.minReplicas", least, f"must be greater than or equal to {lowest}")
    if most == 0:
        faults.required("spec.maxReplicas", "must be set and greater than 0")
    elif most < 1:
        faults.invalid("spec.maxReplicas", most, "must be greater than or equal to 1")
    if least is not None and most < least:
        faults.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")


def _reference(faults: Faults, found: Document, path: str) -> None:
    for field in ("kind", "name"):
        if not found.get(field):
            faults.required(f"{path}.{field}")
        else:
            faults.checked(f"{path}.{field}", found[field], names.path_segment(found[field]))


def _wrong_version(found: Document) -> str:
    version: str = found.get("apiVersion", "")
    return f"unexpected GroupVersion string: {version}" if version.count("/") > 1 else ""


def _version(faults: Faults, found: Document, path: str, *, group: bool) -> None:
    """group: whether it must name one."""
    version: str = found.get("apiVersion", "")
    problem = _wrong_version(found) or (NO_GROUP if group and not version.rpartition("/")[0] else "")
    if problem:
        faults.invalid(f"{path}.apiVersion", version, problem)


def _metric(faults: Faults, metric: Document, path: str, tolerant: bool) -> None:
    """tolerant: of versions of described objects that are none, since one was there before."""
    type_ = metric.get("type", "")
    if not type_:
        faults.required(f"{path}.type", "must specify a metric source type")
    if type_ not in SOURCES:
        faults.unsupported(f"{path}.type", type_, tuple(SOURCES))
    present = [field for field in LOOKED_AT if field in metric]
    if present:
        _source(faults, metric[present[0]], present[0], f"{path}.{present[0]}", tolerant)
    expected = SOURCES.get(type_, "")
    if expected and expected not in metric:
        faults.required(f"{path}.{expected}", "must populate information for the given metric source")
    if len(present) > 1:
        for field in present:
            if field != expected:
                faults.forbidden(f"{path}.{field}", "must populate the given metric source only")


def _source(faults: Faults, source: Document, field: str, path: str, tolerant: bool) -> None:
    if field == "object":
        described: Document = source.get("describedObject") or {}
        _reference(faults, described, f"{path}.describedObject")
        if not tolerant:
            _version(faults, described, f"{path}.describedObject", group=False)
    if field in ("object", "pods", "external"):
        name = dig(source, "metric", "name", default="")
        if not name:
            faults.required(f"{path}.metric.name", "must specify a metric name")
        else:
            faults.checked(f"{path}.metric.name", name, names.path_segment(name))
    else:
        _resource(faults, source, field, path)
    target: Document = source.get("target") or {}
    _target(faults, target, f"{path}.target")
    _numbers(faults, target, field, f"{path}.target")


def _resource(faults: Faults, source: Document, field: str, path: str) -> None:
    name, container = source.get("name", ""), source.get("container", "")
    if not name:
        faults.required(f"{path}.name", "must specify a resource name")
    if field == "containerResource":
        if name:
            resource_name(faults, name, f"{path}.name")
        if not container:
            faults.required(f"{path}.container", "must specify a container")
        else:
            faults.checked(f"{path}.container", container, names.dns_label(container))


def _numbers(faults: Faults, target: Document, field: str, path: str) -> None:
    """Which numbers a kind of metric may be held to."""
    has = {name for name in ("value", "averageValue", "averageUtilization") if name in target}
    if field in ("resource", "containerResource"):
        if not has & {"averageUtilization", "averageValue"}:
            detail = "must set either a target raw value or a target utilization"
            faults.required(f"{path}.averageUtilization", detail)
        if {"averageUtilization", "averageValue"} <= has:
            detail = "may not set both a target raw value and a target utilization"
            faults.forbidden(f"{path}.averageValue", detail)
    elif field == "pods":
        if "averageValue" not in has:
            faults.required(f"{path}.averageValue", "must specify a positive target averageValue")
    elif field == "object":
        if not has & {"value", "averageValue"}:
            faults.required(f"{path}.averageValue", "must set either a target value or averageValue")
    elif not has & {"value", "averageValue"}:
        detail = "must set either a target value for metric or a per-pod target"
        faults.required(f"{path}.averageValue", detail)
    elif {"value", "averageValue"} <= has:
        detail = "may not set both a target value for metric and a per-pod target"
        faults.forbidden(f"{path}.value", detail)


def _target(faults: Faults, target: Document, path: str) -> None:
    type_ = target.get("type", "")
    if not type_:
        faults.required(f"{path}.type", "must specify a metric target type")
    if type_ not in TARGETS:
        faults.invalid(f"{path}.type", type_, "must be either Utilization, Value, or AverageValue")
    for field in ("value", "averageValue"):
        if field in target and _nano(target[field]) <= 0:
            faults.invalid(f"{path}.{field}", target[field], "must be positive")
    if (percent := target.get("averageUtilization")) is not None and percent < 1:
        faults.invalid(f"{path}.averageUtilization", percent, "must be greater than 0")


def _nano(value: quantity.Quantity) -> int:
    """Billionths; 0 for what is no number."""
    try:
        return quantity.nano(value)
    except quantity.BadQuantity:
        return 0


def _scaling(faults: Faults, found: Document, path: str) -> None:
    window_s = found.get("stabilizationWindowSeconds")
    if window_s is not None:
        if window_s < 0:
            faults.invalid(f"{path}.stabilizationWindowSeconds", window_s, "must be greater than or equal to zero")
        elif window_s > WINDOW_MAX_S:
            detail = f"must be less than or equal to {WINDOW_MAX_S}"
            faults.invalid(f"{path}.stabilizationWindowSeconds", window_s, detail)
    if (chosen := found.get("selectPolicy")) is not None and chosen not in SELECTIONS:
        faults.unsupported(f"{path}.selectPolicy", chosen, SELECTIONS)
    if not found.get("policies"):
        faults.required(f"{path}.policies", "must specify at least one Policy")
    for index, policy in enumerate(found.get("policies") or ()):
        where = f"{path}.policies[{index}]"
        if policy.get("type") not in SCALINGS:
            faults.unsupported(f"{where}.type", policy.get("type", ""), SCALINGS)
        for field in ("value", "periodSeconds"):
            if policy.get(field, 0) <= 0:
                faults.invalid(f"{where}.{field}", policy.get(field, 0), "must be greater than zero")
        if policy.get("periodSeconds", 0) > PERIOD_MAX_S:
            detail = f"must be less than or equal to {PERIOD_MAX_S}"
            faults.invalid(f"{where}.periodSeconds", policy["periodSeconds"], detail)
    if (tolerance := found.get("tolerance")) is not None and _nano(tolerance) < 0:
        faults.invalid(f"{path}.tolerance", tolerance, "must be greater than or equal to 0")
