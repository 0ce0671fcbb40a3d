"""What each metric of an autoscaler asks for, and what all of them do together. Pure.

The largest count wins; metrics that say nothing keep what there is from shrinking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from navarch.controllers.autoscaler.measure import Problem, Reading, selector_text
from navarch.controllers.autoscaler.replicas import (
    Count,
    Tolerance,
    Unknown,
    by_average,
    by_share,
    by_utilization,
    by_value,
    group,
    requests,
)
from navarch.kinds.object import Object
from navarch.objects import quantity
from navarch.objects.value import Document

NANO_OF_MILLI = quantity.NANO // 1000
FAILED = {
    "Resource": "FailedGetResourceMetric",
    "ContainerResource": "FailedGetContainerResourceMetric",
    "Pods": "FailedGetPodsMetric",
    "Object": "FailedGetObjectMetric",
    "External": "FailedGetExternalMetric",
}


@dataclass(frozen=True, slots=True)
class Target:
    """What is scaled. wanted: `spec.replicas`; present: `status.replicas`."""

    wanted: int
    present: int
    pods: Sequence[Object]
    tolerance: Tolerance
    now: datetime


@dataclass(frozen=True, slots=True)
class Asked:
    """By one metric. name: for messages. status: for `currentMetrics`. failed: (reason, message, the whole story)."""

    replicas: int = 0
    name: str = ""
    status: Document | None = None
    failed: tuple[str, str, str] | None = None


@dataclass(frozen=True, slots=True)
class Together:
    """replicas: None when the metrics do not say. first: what the first that failed said."""

    replicas: int | None
    name: str
    statuses: Sequence[Document]
    failures: Sequence[tuple[str, str, str]]
    count: int

    @property
    def story(self) -> str:
        return (
            f"invalid metrics ({len(self.failures)} invalid out of {self.count}), first error is: {self.failures[0][2]}"
        )


def together(target: Target, metrics: Sequence[Document], readings: Sequence[Reading | Problem]) -> Together:
    """readings: one for each metric."""
    replicas, name = 0, ""
    statuses: list[Document] = []
    failures: list[tuple[str, str, str]] = []
    for metric, reading in zip(metrics, readings, strict=True):
        found = asked(target, metric, reading)
        statuses.append(found.status or {"type": ""})
        if found.failed is not None:
            failures.append(found.failed)
        elif not name or found.replicas > replicas:
            replicas, name = found.replicas, found.name
    unsaid = len(failures) >= len(metrics) or (bool(failures) and replicas < target.wanted)
    return Together(None if unsaid else replicas, name, statuses, failures, len(metrics))


def asked(target: Target, metric: Document, reading: Reading | Problem) -> Asked:
    kind = metric["type"]
    compute = _BY_TYPE.get(kind)
    if compute is None:
        text = f'unknown metric source type "{kind}"'
        return Asked(failed=("InvalidMetricSourceType", text, text))
    try:
        if isinstance(reading, Problem):
            raise Unknown(reading.text)
        return compute(target, metric, reading)
    except Unknown as unknown:
        short, story = _words(metric, str(unknown))
        return Asked(failed=(FAILED[kind], short, story))


def _words(metric: Document, text: str) -> tuple[str, str]:
    """(what the condition says, what the whole story is)."""
    match metric["type"]:
        case "Resource" | "ContainerResource":
            source = metric["resource" if metric["type"] == "Resource" else "containerResource"]
            what = "usage" if "averageValue" in source["target"] else "utilization"
            short = f"failed to get {source['name']} {what}: {text}"
            kind = "resource" if metric["type"] == "Resource" else "container"
            return short, f"failed to get {source['name']} {kind} metric value: {short}"
        case "Pods":
            return text, f"failed to get pods metric value: {text}"
        case "Object":
            name = metric["object"]["metric"]["name"]
            short = text
            if "averageValue" in metric["object"]["target"]:
                short = f"failed to get {name} object metric: {text}"
            return short, f"failed to get object metric value: {short}"
    name = metric["external"]["metric"]["name"]
    short = f"failed to get {name} external metric: {text}"
    return short, f"failed to get {name} external metric value: {short}"


def _resource(target: Target, metric: Document, reading: Reading) -> Asked:
    field = "resource" if metric["type"] == "Resource" else "containerResource"
    source = metric[field]
    resource, container, wanted = source["name"], source.get("container", ""), source["target"]
    samples = reading.samples or {}
    groups = group(target.pods, samples, resource, target.now)
    label = "resource" if field == "resource" else "container resource"
    if "averageValue" in wanted:
        aim = quantity.milli(wanted["averageValue"])
        count = by_average(target.wanted, aim, samples, target.pods, groups, target.tolerance)
        name = f"{resource} {label}"
    elif "averageUtilization" in wanted:
        requested = requests(target.pods, container, resource)
        aim = wanted["averageUtilization"]
        count = by_utilization(target.wanted, aim, samples, target.pods, requested, groups, target.tolerance)
        name = f"{resource} {label} utilization (percentage of request)"
    else:
        raise Unknown(
            "invalid resource metric source: neither an average utilization target nor an average value target was set"
        )
    told: Document = {"name": resource, "current": _current(count, "averageValue")}
    if container:
        told["container"] = container
    return Asked(count.replicas, name, {"type": metric["type"], field: told})


def _pods(target: Target, metric: Document, reading: Reading) -> Asked:
    source = metric["pods"]
    aim = quantity.milli(source["target"]["averageValue"])
    samples = reading.samples or {}
    groups = group(target.pods, samples, "", target.now)
    count = by_average(target.wanted, aim, samples, target.pods, groups, target.tolerance)
    told = {"metric": _identity(source), "current": _current(count, "averageValue")}
    return Asked(count.replicas, f"pods metric {source['metric']['name']}", {"type": "Pods", "pods": told})


def _object(target: Target, metric: Document, reading: Reading) -> Asked:
    source = metric["object"]
    name = source["metric"]["name"]
    count, field = _single(target, source["target"], reading, "object")
    told = {
        "metric": _identity(source),
        "current": _current(count, field),
        "describedObject": source["describedObject"],
    }
    said = f"{source['describedObject']['kind']} metric {name}"
    if field == "averageValue":
        said = f"external metric {name}({selector_text(source['metric'].get('selector'))})"
    return Asked(count.replicas, said, {"type": "Object", "object": told})


def _external(target: Target, metric: Document, reading: Reading) -> Asked:
    source = metric["external"]
    count, field = _single(target, source["target"], reading, "external")
    told = {"metric": _identity(source), "current": _current(count, field)}
    said = f"external metric {source['metric']['name']}({selector_text(source['metric'].get('selector'))})"
    return Asked(count.replicas, said, {"type": "External", "external": told})


def _single(target: Target, wanted: Document, reading: Reading, what: str) -> tuple[Count, str]:
    """Of one value; and in which field of the status it stands. Raises: Unknown."""
    if "averageValue" in wanted:
        aim = quantity.milli(wanted["averageValue"])
        return by_share(target.present, aim, reading.milli, target.tolerance), "averageValue"
    if "value" in wanted:
        aim = quantity.milli(wanted["value"])
        return by_value(target.wanted, aim, reading.milli, target.pods, target.tolerance), "value"
    raise Unknown(f"invalid {what} metric source: neither a value target nor an average value target was set")


_BY_TYPE = {
    "Resource": _resource,
    "ContainerResource": _resource,
    "Pods": _pods,
    "Object": _object,
    "External": _external,
}


def _identity(source: Mapping[str, Document]) -> Document:
    return {field: source["metric"][field] for field in ("name", "selector") if field in source["metric"]}


def _current(count: Count, field: str) -> Document:
    found: Document = {field: quantity.text(count.milli * NANO_OF_MILLI)}
    return found if count.percent is None else {"averageUtilization": count.percent, **found}
