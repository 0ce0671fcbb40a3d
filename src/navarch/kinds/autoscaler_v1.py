"""The older face of a HorizontalPodAutoscaler: one CPU target as a field, everything else in annotations.

Stored is `autoscaling/v2`. What `autoscaling/v1` has no field for (other metrics, behavior, conditions) it carries as
JSON in annotations, which are taken off again on the way in, so that neither version loses anything.

Source: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#api-object
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from navarch.objects.value import Document, dig

PREFIX = "autoscaling.alpha.kubernetes.io/"
METRICS, CURRENT = f"{PREFIX}metrics", f"{PREFIX}current-metrics"
BEHAVIOR, CONDITIONS = f"{PREFIX}behavior", f"{PREFIX}conditions"
CARRIED = (METRICS, CURRENT, BEHAVIOR, CONDITIONS)

Names = Sequence[tuple[str, tuple[str, ...]]]
"""Field of v1 -> path in v2."""


def _names(side: str, prefix: str) -> dict[str, Names]:
    """Of a kind of metric. side: what holds its numbers in v2; prefix: what they begin with in v1."""

    def number(field: str) -> str:
        return prefix + field[0].upper() + field[1:] if prefix else field

    used = (number("averageUtilization"), (side, "averageUtilization"))
    mean = (number("averageValue"), (side, "averageValue"))
    value = (number("value"), (side, "value"))
    named = ("metricName", ("metric", "name"))
    return {
        "resource": (("name", ("name",)), used, mean),
        "containerResource": (("name", ("name",)), ("container", ("container",)), used, mean),
        "pods": (named, mean, ("selector", ("metric", "selector"))),
        "object": (
            ("target", ("describedObject",)),
            named,
            value,
            ("selector", ("metric", "selector")),
            ("averageValue", (side, "averageValue")),
        ),
        "external": (named, ("metricSelector", ("metric", "selector")), value, mean),
    }


SPEC, STATUS = _names("target", "target"), _names("current", "current")
TYPES = (("averageUtilization", "Utilization"), ("averageValue", "AverageValue"), ("value", "Value"))


def _older(metric: Document, names: dict[str, Names]) -> Document:
    found: Document = {"type": metric.get("type", "")}
    for source, fields in names.items():
        if source in metric:
            pairs = ((old, dig(metric[source], *path)) for old, path in fields)
            found[source] = {old: value for old, value in pairs if value is not None}
    return found


def _newer(metric: Document, names: dict[str, Names]) -> Document:
    found: Document = {"type": metric.get("type", "")}
    for source, fields in names.items():
        if not isinstance(metric.get(source), dict):
            continue
        made: Document = {}
        for old, path in fields:
            if (value := metric[source].get(old)) is not None:
                holder = made if len(path) == 1 else made.setdefault(path[0], {})
                holder[path[-1]] = value
        if names is SPEC:
            target = made.setdefault("target", {})
            type_ = next((name for field, name in TYPES if field in target), "")
            made["target"] = {"type": type_, **target}
        found[source] = made
    return found


def _is_cpu(metric: Document) -> bool:
    return metric.get("type") == "Resource" and dig(metric, "resource", "name") == "cpu"


def from_stored(document: Document) -> Document:
    """A v2 document as v1 shows it."""
    spec: Document = {**document.get("spec", {})}
    status: Document = {**document.get("status", {})}
    annotations = _others(document)
    metrics, behavior = spec.pop("metrics", []), spec.pop("behavior", None)
    cpu = next((m for m in metrics if _is_cpu(m) and dig(m, "resource", "target", "averageUtilization")), None)
    if cpu is not None:
        spec["targetCPUUtilizationPercentage"] = dig(cpu, "resource", "target", "averageUtilization")
    if others := [_older(metric, SPEC) for metric in metrics if metric is not cpu]:
        annotations[METRICS] = _text(others)
    if behavior is not None:
        annotations[BEHAVIOR] = _text(behavior)
    current, conditions = status.pop("currentMetrics", []), status.pop("conditions", [])
    used = next((dig(m, "resource", "current", "averageUtilization") for m in current if _is_cpu(m)), None)
    if used is not None:
        status["currentCPUUtilizationPercentage"] = used
    if current:
        annotations[CURRENT] = _text([_older(metric, STATUS) for metric in current])
    if conditions:
        annotations[CONDITIONS] = _text(conditions)
    if "status" in document:
        status = {"currentReplicas": 0, "desiredReplicas": 0, **status}  # v1 tells zeros
    return _made(document, "autoscaling/v1", annotations, spec, status)


def has_carried(document: Document) -> bool:
    return any(name in dig(document, "metadata", "annotations", default={}) for name in CARRIED)


def without_carried(document: Document) -> Document:
    return {**document, "metadata": {**document.get("metadata", {}), "annotations": _others(document)}}


def to_stored(document: Document) -> Document:
    """The inverse of `from_stored`; annotations that hold no such JSON are dropped.

    Types inside that JSON are not checked here.
    """
    carried = dig(document, "metadata", "annotations", default={})
    spec: Document = {**document.get("spec", {})}
    status: Document = {**document.get("status", {})}
    metrics = [_newer(metric, SPEC) for metric in _parsed(carried, METRICS, list)]
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    if percent is not None:
        target = {"type": "Utilization", "averageUtilization": percent}
        metrics.insert(0, {"type": "Resource", "resource": {"name": "cpu", "target": target}})
    if metrics:
        spec["metrics"] = metrics
    if behavior := _parsed(carried, BEHAVIOR, dict):
        spec["behavior"] = behavior
    used = status.pop("currentCPUUtilizationPercentage", None)
    if status.get("currentReplicas") == 0:
        del status["currentReplicas"]
    if current := [_newer(metric, STATUS) for metric in _parsed(carried, CURRENT, list)]:
        status["currentMetrics"] = current
    elif used is not None:
        status["currentMetrics"] = [
            {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": used}}}
        ]
    if conditions := _parsed(carried, CONDITIONS, list):
        status["conditions"] = conditions
    return _made(document, "autoscaling/v2", _others(document), spec, status)


def _others(document: Document) -> Document:
    """The annotations that are not ours."""
    annotations = dig(document, "metadata", "annotations", default={})
    return {key: value for key, value in annotations.items() if key not in CARRIED}


def _made(document: Document, version: str, annotations: Document, spec: Document, status: Document) -> Document:
    metadata = {key: value for key, value in document.get("metadata", {}).items() if key != "annotations"}
    if annotations:
        metadata["annotations"] = annotations
    found = {**document, "apiVersion": version, "metadata": metadata, "spec": spec}
    if status or "status" in document:
        found["status"] = status
    return found


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()


def _parsed(annotations: Document, name: str, type_: type) -> Any:
    """What the annotation holds; an empty one of that type where it holds something else."""
    try:
        found = orjson.loads(annotations.get(name, "null"))
    except orjson.JSONDecodeError:
        return type_()
    if not isinstance(found, type_):
        return type_()
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else found
