"""Rules of HorizontalPodAutoscalers.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/horizontal-pod-autoscaler-v2/
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.base.errors import Cause
from navarch.kinds.rules import Faults
from navarch.objects import names, quantity
from navarch.objects.selector import check_document
from navarch.objects.value import Document

SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
TARGETS = ("AverageValue", "Utilization", "Value")
SELECTIONS = ("Disabled", "Max", "Min")
SCALINGS = ("Percent", "Pods")
PERIOD_MAX_S = 1800
WINDOW_MAX_S = 3600


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    least, most = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    if least is not None and least < 1:
        faults.invalid("spec.minReplicas", least, "must be greater than or equal to 1")
    if most < 1:
        faults.invalid("spec.maxReplicas", most, "must be greater than 0")
    if least is not None and most < least:
        faults.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")
    _reference(faults, spec.get("scaleTargetRef") or {}, "spec.scaleTargetRef")
    resources_only = True
    for index, metric in enumerate(spec.get("metrics") or ()):
        _metric(faults, metric, f"spec.metrics[{index}]")
        resources_only = resources_only and metric.get("type") in ("Resource", "ContainerResource")
    if least == 0 and resources_only:
        faults.forbidden(
            "spec.metrics", "must specify at least one Object or External metric to support scaling to zero"
        )
    for direction in ("scaleUp", "scaleDown"):
        if (found := (spec.get("behavior") or {}).get(direction)) is not None:
            _scaling(faults, found, f"spec.behavior.{direction}")
    return faults.causes


def _reference(faults: Faults, found: Document, path: str) -> None:
    for field in ("kind", "name"):
        if not found.get(field):
            faults.required(f"{path}.{field}")
        else:
            faults.checked(f"{path}.{field}", found[field], names.path_segment(found[field]))
    if found.get("apiVersion", "").count("/") > 1:
        version = found["apiVersion"]
        faults.invalid(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}")


def _metric(faults: Faults, metric: Document, path: str) -> None:
    type_ = metric.get("type", "")
    if not type_:
        faults.required(f"{path}.type", "must specify a metric source type")
    elif type_ not in SOURCES:
        faults.unsupported(f"{path}.type", type_, tuple(SOURCES))
    present = [field for field in SOURCES.values() if field in metric]
    expected = SOURCES.get(type_, "")
    for extra in present:
        if expected and extra != expected:
            detail = "must populate the given metric source only"
            faults.forbidden(f"{path}.{extra}", detail)
    if expected not in metric:
        if expected:
            faults.required(f"{path}.{expected}", "must populate information for the given metric source")
        return
    _source(faults, metric[expected], expected, f"{path}.{expected}")


def _source(faults: Faults, source: Document, field: str, path: str) -> None:
    target: Document = source.get("target") or {}
    if field == "object":
        _reference(faults, source.get("describedObject") or {}, f"{path}.describedObject")
    if field in ("object", "pods", "external"):
        metric: Document = source.get("metric") or {}
        if not metric.get("name"):
            faults.required(f"{path}.metric.name", "must specify a metric name")
        else:
            faults.checked(f"{path}.metric.name", metric["name"], names.path_segment(metric["name"]))
        if "selector" in metric:
            faults.causes.extend(check_document(metric["selector"], f"{path}.metric.selector"))
    else:
        for name in ("name", "container") if field == "containerResource" else ("name",):
            if not source.get(name):
                what = "a resource" if name == "name" else "a container"
                faults.required(
                    f"{path}.{name}", f"must specify {what} name" if name == "name" else f"must specify {what}"
                )
    _target(faults, target, f"{path}.target")
    _numbers(faults, target, field, f"{path}.target")


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
    elif not has & {"value", "averageValue"}:
        detail = "must set either a target value for metric or a per-pod target"
        faults.required(f"{path}.averageValue", detail)
    elif field == "external" and {"value", "averageValue"} <= has:
        detail = "may not set both a target value for metric and a per-pod target"
        faults.forbidden(f"{path}.value", detail)


def _target(faults: Faults, target: Document, path: str) -> None:
    type_ = target.get("type", "")
    if not type_:
        faults.required(f"{path}.type", "must specify a metric target type")
    elif type_ not in TARGETS:
        faults.invalid(f"{path}.type", type_, "must be either Utilization, Value, or AverageValue")
    for field in ("value", "averageValue"):
        if field in target and not _positive(target[field]):
            faults.invalid(f"{path}.{field}", target[field], "must be positive")
    if (percent := target.get("averageUtilization")) is not None and percent < 1:
        faults.invalid(f"{path}.averageUtilization", percent, "must be greater than 0")


def _positive(value: quantity.Quantity) -> bool:
    try:
        return quantity.nano(value) > 0
    except quantity.BadQuantity:
        return False


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
