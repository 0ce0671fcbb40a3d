"""Rules of autoscalers, one by one: a document that breaks it, and the field, the reason and the words."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.kinds import HORIZONTALPODAUTOSCALER as HPA
from navarch.objects.value import Draft

Document = dict[str, Any]
Expected = tuple[str, str, str]
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
BEHAVIOR = "spec.behavior.scaleUp"
AT = "spec.metrics[0]"


def made(**spec: Any) -> Document:
    whole = {"scaleTargetRef": TARGET, "maxReplicas": 5, **spec}
    draft = Draft({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "spec": whole})
    HPA.default(draft)
    return draft.document


def check(new: Document, old: Document | None, *expected: Expected) -> None:
    found = [(one.field, one.reason.removeprefix("FieldValue"), one.message) for one in HPA.rules(new, old)]
    assert [(field, reason) for field, reason, _ in found] == [(field, reason) for field, reason, _ in expected], found
    for (_, _, message), (_, _, words) in zip(found, expected, strict=True):
        assert words in message


def metric(source: str, **fields: Any) -> Document:
    type_ = source[0].upper() + source[1:]
    return {"metrics": [{"type": type_, source: {"target": {"type": "Value", "value": "1"}, **fields}}]}


def up(**fields: Any) -> Document:
    policy = {"type": "Pods", "value": 1, "periodSeconds": 1}
    return {"behavior": {"scaleUp": {"policies": [policy], **fields}}}


MEAN = {"type": "AverageValue", "averageValue": "1"}
USED = {"type": "Utilization", "averageUtilization": 50}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"minReplicas": 0},
            [("spec.minReplicas", "Invalid", "to 1"), ("spec.metrics", "Forbidden", "to zero replicas")],
        ),
        ({"minReplicas": -1}, [("spec.minReplicas", "Invalid", "must be greater than or equal to 1")]),
        (
            {"maxReplicas": 0},
            [
                ("spec.maxReplicas", "Required", "must be set and greater than 0"),
                ("spec.maxReplicas", "Invalid", "must be greater than or equal to `minReplicas`"),
            ],
        ),
        (
            {"maxReplicas": -2},
            [
                ("spec.maxReplicas", "Invalid", "must be greater than or equal to 1"),
                ("spec.maxReplicas", "Invalid", "must be greater than or equal to `minReplicas`"),
            ],
        ),
        (
            {"scaleTargetRef": {}},
            [
                ("spec.scaleTargetRef.kind", "Required", "Required value"),
                ("spec.scaleTargetRef.name", "Required", "Required value"),
                ("spec.scaleTargetRef.apiVersion", "Invalid", "apiVersion must specify API group"),
            ],
        ),
        (
            {"scaleTargetRef": {"kind": "a/b", "name": "..", "apiVersion": "a/b/c"}},
            [
                ("spec.scaleTargetRef.kind", "Invalid", "may not contain '/'"),
                ("spec.scaleTargetRef.name", "Invalid", "may not be '..'"),
                ("spec.scaleTargetRef.apiVersion", "Invalid", "unexpected GroupVersion string: a/b/c"),
            ],
        ),
        (
            {"scaleTargetRef": {**TARGET, "apiVersion": "v1"}},
            [("spec.scaleTargetRef.apiVersion", "Invalid", "API group")],
        ),
        ({"scaleTargetRef": {"kind": "ReplicationController", "name": "a", "apiVersion": "v1"}}, []),
        ({"scaleTargetRef": {"kind": "ReplicationController", "name": "a"}}, []),
    ],
)
def test_bounds_and_targets(spec: Document, expected: list[Expected]) -> None:
    check(made(**spec), None, *expected)


OBJECT = {"describedObject": {"kind": "Ingress", "name": "a"}, "metric": {"name": "hits"}}
BAD_OBJECT = {**OBJECT, "describedObject": {"kind": "Ingress", "name": "a", "apiVersion": "a/b/c"}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (metric("object", **OBJECT), []),
        (metric("external", metric={"name": "hits"}), []),
        (metric("pods", metric={"name": "hits"}, target=MEAN), []),
        (metric("resource", name="cpu", target=USED), []),
        (metric("containerResource", name="cpu", container="main", target=USED), []),
        (
            {"metrics": [{"type": "Odd"}]},
            [
                (
                    f"{AT}.type",
                    "NotSupported",
                    'supported values: "ContainerResource", "External", "Object", "Pods", "Resource"',
                )
            ],
        ),
        (
            {"metrics": [{}]},
            [(f"{AT}.type", "Required", "must specify a metric source type"), (f"{AT}.type", "NotSupported", '""')],
        ),
        (
            {"metrics": [{"type": "Pods"}]},
            [(f"{AT}.pods", "Required", "must populate information for the given metric source")],
        ),
        (
            {"metrics": [{**metric("object", **OBJECT)["metrics"][0], "pods": {}}]},
            [(f"{AT}.pods", "Forbidden", "must populate the given metric source only")],
        ),
        (
            metric("object", metric={"name": "a/b"}, describedObject={}, target={"type": "Value"}),
            [
                (f"{AT}.object.describedObject.kind", "Required", "Required value"),
                (f"{AT}.object.describedObject.name", "Required", "Required value"),
                (f"{AT}.object.metric.name", "Invalid", "may not contain '/'"),
                (f"{AT}.object.target.averageValue", "Required", "must set either a target value or averageValue"),
            ],
        ),
        (
            metric("object", **BAD_OBJECT),
            [(f"{AT}.object.describedObject.apiVersion", "Invalid", "unexpected GroupVersion string: a/b/c")],
        ),
        (
            metric("external", metric={}, target={"type": "Value", "value": "1", "averageValue": "1"}),
            [
                (f"{AT}.external.metric.name", "Required", "must specify a metric name"),
                (
                    f"{AT}.external.target.value",
                    "Forbidden",
                    "may not set both a target value for metric and a per-pod",
                ),
            ],
        ),
        (
            metric("external", metric={"name": "hits"}, target=USED),
            [
                (
                    f"{AT}.external.target.averageValue",
                    "Required",
                    "either a target value for metric or a per-pod target",
                )
            ],
        ),
        (
            metric("pods", metric={"name": "hits"}),
            [(f"{AT}.pods.target.averageValue", "Required", "must specify a positive target averageValue")],
        ),
        (
            metric("resource", target={**USED, "averageValue": "1"}),
            [
                (f"{AT}.resource.name", "Required", "must specify a resource name"),
                (f"{AT}.resource.target.averageValue", "Forbidden", "may not set both a target raw value and a target"),
            ],
        ),
        (
            metric("containerResource", name="odd", container="A"),
            [
                (f"{AT}.containerResource.name", "Invalid", "must be a standard resource type or fully qualified"),
                (f"{AT}.containerResource.name", "Invalid", "must be a standard resource for containers"),
                (f"{AT}.containerResource.container", "Invalid", "a lowercase RFC 1123 label must consist of"),
                (f"{AT}.containerResource.target.averageUtilization", "Required", "must set either a target raw value"),
            ],
        ),
        (
            metric("containerResource", name="cpu", target=USED),
            [(f"{AT}.containerResource.container", "Required", "must specify a container")],
        ),
        (
            metric("resource", name="cpu", target={"averageUtilization": 0}),
            [
                (f"{AT}.resource.target.type", "Required", "must specify a metric target type"),
                (f"{AT}.resource.target.type", "Invalid", "must be either Utilization, Value, or AverageValue"),
                (f"{AT}.resource.target.averageUtilization", "Invalid", "must be greater than 0"),
            ],
        ),
        (
            metric("object", **OBJECT, target={"type": "Value", "value": "0", "averageValue": "-1"}),
            [
                (f"{AT}.object.target.value", "Invalid", "must be positive"),
                (f"{AT}.object.target.averageValue", "Invalid", "must be positive"),
            ],
        ),
    ],
)
def test_metrics(spec: Document, expected: list[Expected]) -> None:
    check(made(**spec), None, *expected)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (up(stabilizationWindowSeconds=3600, tolerance="0.1", selectPolicy="Disabled"), []),
        (
            up(stabilizationWindowSeconds=-1),
            [(f"{BEHAVIOR}.stabilizationWindowSeconds", "Invalid", "must be greater than or equal to zero")],
        ),
        (
            up(stabilizationWindowSeconds=3601),
            [(f"{BEHAVIOR}.stabilizationWindowSeconds", "Invalid", "must be less than or equal to 3600")],
        ),
        (up(selectPolicy="Odd"), [(f"{BEHAVIOR}.selectPolicy", "NotSupported", '"Disabled", "Max", "Min"')]),
        (up(policies=[]), [(f"{BEHAVIOR}.policies", "Required", "must specify at least one Policy")]),
        (
            up(policies=[{"type": "Odd", "value": 0, "periodSeconds": 0}]),
            [
                (f"{BEHAVIOR}.policies[0].type", "NotSupported", 'supported values: "Percent", "Pods"'),
                (f"{BEHAVIOR}.policies[0].value", "Invalid", "must be greater than zero"),
                (f"{BEHAVIOR}.policies[0].periodSeconds", "Invalid", "must be greater than zero"),
            ],
        ),
        (
            up(policies=[{"type": "Pods", "value": 1, "periodSeconds": 1801}]),
            [(f"{BEHAVIOR}.policies[0].periodSeconds", "Invalid", "must be less than or equal to 1800")],
        ),
        (up(tolerance="-0.1"), [(f"{BEHAVIOR}.tolerance", "Invalid", "must be greater than or equal to 0")]),
    ],
)
def test_behaviour(spec: Document, expected: list[Expected]) -> None:
    check(made(**spec), None, *expected)


def test_what_was_stored_before_stays_good() -> None:
    old = made(scaleTargetRef={"kind": "Deployment", "name": "web"}, minReplicas=0, **metric("object", **BAD_OBJECT))
    new = made(
        scaleTargetRef={"kind": "Deployment", "name": "other"},
        minReplicas=0,
        maxReplicas=6,
        **metric("object", **BAD_OBJECT),
    )
    check(new, old)
    moved = made(scaleTargetRef={"kind": "StatefulSet", "name": "web"})
    check(moved, old, ("spec.scaleTargetRef.apiVersion", "Invalid", "apiVersion must specify API group"))
