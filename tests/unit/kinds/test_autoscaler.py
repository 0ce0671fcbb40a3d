"""The two faces of a HorizontalPodAutoscaler, its defaults, rules and columns."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.kinds import HORIZONTALPODAUTOSCALER as HPA
from navarch.kinds import HORIZONTALPODAUTOSCALER_V1 as HPA_V1
from navarch.kinds.autoscaler_v1 import from_stored, to_stored
from navarch.objects.value import Draft

Document = dict[str, Any]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
PODS = {
    "type": "Pods",
    "pods": {"metric": {"name": "qps", "selector": {}}, "target": {"type": "AverageValue", "averageValue": "10"}},
}
OBJECT = {
    "type": "Object",
    "object": {
        "describedObject": {"kind": "Ingress", "name": "web"},
        "metric": {"name": "hits"},
        "target": {"type": "Value", "value": "2k"},
    },
}


def autoscaler(**spec: Any) -> Document:
    target = {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": target, "maxReplicas": 5, **spec},
    }


def complete(document: Document) -> Document:
    draft = Draft(document)
    HPA.default(draft)
    return draft.document


def test_defaults_measure_cpu() -> None:
    spec = complete(autoscaler(behavior={"scaleDown": {"selectPolicy": "Min"}}))["spec"]
    assert spec["minReplicas"] == 1
    assert spec["metrics"][0]["resource"]["target"]["averageUtilization"] == 80
    assert spec["behavior"]["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert spec["behavior"]["scaleDown"]["selectPolicy"] == "Min"
    assert [policy["type"] for policy in spec["behavior"]["scaleUp"]["policies"]] == ["Pods", "Percent"]


def test_the_older_face_has_cpu_as_a_field_and_the_rest_in_annotations() -> None:
    shown = from_stored(autoscaler(metrics=[PODS, CPU]))
    assert shown["apiVersion"] == "autoscaling/v1"
    assert shown["spec"]["targetCPUUtilizationPercentage"] == 50
    assert "metrics" not in shown["spec"]
    annotation = shown["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"]
    assert annotation == '[{"type":"Pods","pods":{"metricName":"qps","targetAverageValue":"10","selector":{}}}]'
    assert to_stored(shown)["spec"]["metrics"] == [CPU, PODS]


@given(
    st.lists(st.sampled_from([PODS, OBJECT]), max_size=3, unique_by=lambda metric: str(metric["type"])),
    st.booleans(),
    st.booleans(),
    st.dictionaries(st.sampled_from(["a", "b/c"]), st.text(max_size=3), min_size=1),
)
def test_faces_lose_nothing(others: list[Document], cpu: bool, behaves: bool, annotations: dict[str, str]) -> None:
    stored = complete(autoscaler(metrics=[CPU, *others] if cpu else others or [OBJECT]))
    stored["metadata"] = {**stored["metadata"], "annotations": annotations}
    if behaves:
        stored["spec"]["behavior"] = {"scaleUp": {"tolerance": "0.1"}}
    current = {"name": "cpu", "current": {"averageUtilization": 7, "averageValue": "70m"}}
    stored["status"] = {
        "desiredReplicas": 2,
        "currentMetrics": [{"type": "Resource", "resource": current}],
        "conditions": [{"type": "AbleToScale", "status": "True"}],
    }
    shown = from_stored(stored)
    assert shown["status"]["currentCPUUtilizationPercentage"] == 7
    assert shown["status"]["currentReplicas"] == 0
    assert to_stored(shown) == stored


NONSENSE = [
    "{",
    "7",
    "[1]",
    '[{"type":"Pods","pods":3}]',
    '"x"',
    '[{"type":"Pods","pods":{"metricName":3}}]',
    '[{"type":4}]',
]


@pytest.mark.parametrize("text", NONSENSE)
def test_annotations_that_hold_nonsense_are_dropped(text: str) -> None:
    assert HPA_V1.to_stored is not None
    shown = from_stored(autoscaler(metrics=[CPU]))
    shown["metadata"]["annotations"] = {"autoscaling.alpha.kubernetes.io/metrics": text}
    stored = HPA_V1.to_stored(shown)
    assert stored["spec"]["metrics"][0] == CPU
    assert "annotations" not in stored["metadata"]


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"maxReplicas": 0}, "spec.maxReplicas", "Required value: must be set and greater than 0"),
        ({"minReplicas": 0}, "spec.minReplicas", "Invalid value: 0: must be greater than or equal to 1"),
        (
            {"minReplicas": 6},
            "spec.maxReplicas",
            "Invalid value: 5: must be greater than or equal to `minReplicas`",
        ),
        ({"scaleTargetRef": {"kind": "Deployment"}}, "spec.scaleTargetRef.name", "Required value"),
        ({"metrics": [{}]}, "spec.metrics[0].type", "Required value: must specify a metric source type"),
        (
            {"metrics": [{**CPU, "type": "Pods"}]},
            "spec.metrics[0].pods",
            "Required value: must populate information for the given metric source",
        ),
        (
            {"metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}}]},
            "spec.metrics[0].resource.target.averageUtilization",
            "Required value: must set either a target raw value or a target utilization",
        ),
        (
            {"behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 1801}]}}},
            "spec.behavior.scaleUp.policies[0].periodSeconds",
            "Invalid value: 1801: must be less than or equal to 1800",
        ),
    ],
)
def test_broken_rules(spec: Document, field: str, message: str) -> None:
    found = HPA.rules(complete(autoscaler(**spec)), None)
    assert next((cause.field, cause.message) for cause in found) == (field, message)


def test_good_ones_have_no_faults() -> None:
    assert not list(HPA.rules(complete(autoscaler(metrics=[CPU, PODS, OBJECT], behavior={})), None))


def test_targets_are_shown_with_what_is_measured() -> None:
    columns = {column.name: column.source for column in HPA.columns}
    targets = columns["Targets"]
    assert callable(targets)
    stored = autoscaler(metrics=[CPU, PODS, OBJECT])
    assert targets(stored, NOW) == "cpu: <unknown>/50%, <unknown>/10 + 1 more..."
    current = {"name": "cpu", "current": {"averageUtilization": 7}}
    stored["status"] = {"currentMetrics": [{"type": "Resource", "resource": current}]}
    assert targets({**stored, "spec": {**stored["spec"], "metrics": [CPU]}}, NOW) == "cpu: 7%/50%"
    older = {column.name: column.source for column in HPA_V1.columns}["Targets"]
    assert callable(older)
    assert older(from_stored(stored), NOW) == targets(stored, NOW)
