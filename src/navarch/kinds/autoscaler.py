"""HorizontalPodAutoscaler: how many replicas something should have, by what is measured.

`autoscaling/v2` is stored; `autoscaling/v1` is another face of the same objects (`autoscaler_v1`).

Source: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from navarch.base.errors import BadRequest
from navarch.kinds import workload_status
from navarch.kinds.autoscaler_rules import SOURCES, rules
from navarch.kinds.autoscaler_v1 import from_stored, has_carried, to_stored, without_carried
from navarch.kinds.kind import Column, Kind
from navarch.kinds.printing import NONE, UNKNOWN, UNSET
from navarch.kinds.schema import schema_for
from navarch.kinds.schema_check import check
from navarch.objects.value import Document, Draft, dig

SHOWN_METRICS = 2
CPU_PERCENT = 80
UP = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
DOWN = {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}


def default(draft: Draft) -> None:
    draft.default(1, "spec", "minReplicas")
    if not draft.get("spec", "metrics"):
        target = {"type": "Utilization", "averageUtilization": CPU_PERCENT}
        draft.set([{"type": "Resource", "resource": {"name": "cpu", "target": target}}], "spec", "metrics")
    if draft.has("spec", "behavior"):
        for direction, values in (("scaleUp", UP), ("scaleDown", DOWN)):
            for field, value in values.items():
                draft.default(value, "spec", "behavior", direction, field)


def prepare(draft: Draft, old: Document | None) -> None:
    if old is None:
        draft.set({"desiredReplicas": 0}, "status")


def _reference(found: Document, now: datetime) -> str:
    target = dig(found, "spec", "scaleTargetRef", default={})
    return f"{target.get('kind', '')}/{target.get('name', '')}"


def _least(found: Document, now: datetime) -> str:
    return str(dig(found, "spec", "minReplicas", default=UNSET))


def _replicas(found: Document, now: datetime) -> int:
    return int(dig(found, "status", "currentReplicas", default=0))


def _targets(found: Document, now: datetime) -> str:
    """What each metric is and should be; of the first ones where they are many."""
    metrics = dig(found, "spec", "metrics", default=[])
    current = dig(found, "status", "currentMetrics", default=[])
    if not metrics:
        return NONE
    cells = [_target(metric, dig(current, index, default={})) for index, metric in enumerate(metrics)]
    more = len(cells) - SHOWN_METRICS
    text = ", ".join(cells[:SHOWN_METRICS])
    return f"{text} + {more} more..." if more > 0 else text


def _target(metric: Document, status: Document) -> str:
    field = SOURCES.get(metric.get("type", ""), "")
    if not field:
        return "<unknown type>"
    source, wanted = metric.get(field) or {}, dig(metric, field, "target", default={})
    current = dig(status, field, "current", default={})
    if field in ("resource", "containerResource"):
        name = f"{source.get('name', '')}: "
        if "averageValue" in wanted:
            return f"{name}{current.get('averageValue', UNKNOWN)}/{wanted['averageValue']}"
        used, percent = current.get("averageUtilization"), wanted.get("averageUtilization")
        return f"{name}{UNKNOWN if used is None else f'{used}%'}/{'<auto>' if percent is None else f'{percent}%'}"
    if "averageValue" in wanted:
        mark = "" if field == "pods" else " (avg)"
        return f"{current.get('averageValue', UNKNOWN)}/{wanted['averageValue']}{mark}"
    return f"{current.get('value', UNKNOWN)}/{wanted.get('value', '')}"


def stored(document: Document) -> Document:
    """A v1 document as it is stored; annotations whose JSON v2 would not take are dropped."""
    made = to_stored(document)
    if not has_carried(document):
        return made
    try:
        return check(schema_for(HORIZONTALPODAUTOSCALER), made, "ignore")[0]
    except BadRequest:
        return to_stored(without_carried(document))


def _targets_of_older(found: Document, now: datetime) -> str:
    return _targets(to_stored(found), now)


HORIZONTALPODAUTOSCALER = Kind(
    group="autoscaling",
    version="v2",
    name="HorizontalPodAutoscaler",
    plural="horizontalpodautoscalers",
    short=("hpa",),
    categories=("all",),
    default=default,
    rules=rules,
    prepare=prepare,
    subresources=("status",),
    subresource_rules={"status": workload_status.autoscaler},
    counts_generation=False,
    columns=(
        Column("Reference", _reference, description="What it scales."),
        Column("Targets", _targets, description="What its metrics are, and should be."),
        Column("MinPods", _least, description="The fewest pods."),
        Column("MaxPods", ".spec.maxReplicas", description="The most pods."),
        Column("Replicas", _replicas, description="How many there are."),
    ),
)

HORIZONTALPODAUTOSCALER_V1 = replace(
    HORIZONTALPODAUTOSCALER,
    version="v1",
    columns=tuple(
        replace(column, source=_targets_of_older) if column.name == "Targets" else column
        for column in HORIZONTALPODAUTOSCALER.columns
    ),
    stored_as=HORIZONTALPODAUTOSCALER,
    to_stored=stored,
    from_stored=from_stored,
)
"""Its default and rules are those of the stored form, which is what they are run on."""
