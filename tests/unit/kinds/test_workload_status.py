"""Rules of the status of workloads and autoscalers: what no controller may write."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.kinds import (
    DAEMONSET,
    DEPLOYMENT,
    HORIZONTALPODAUTOSCALER,
    REPLICASET,
    REPLICATIONCONTROLLER,
    STATEFULSET,
)
from navarch.kinds.kind import Kind

Document = dict[str, Any]
REPLICAS: Document = {"replicas": 3, "readyReplicas": 2, "availableReplicas": 1}
WHOLE = "cannot be greater than status.replicas"


def told(kind: Kind, new: Document, old: Document) -> list[tuple[str, str]]:
    causes = kind.subresource_rules["status"]({"status": new}, {"status": old})
    return [(cause.field, cause.message) for cause in causes]


@pytest.mark.parametrize("kind", [DEPLOYMENT, REPLICASET, REPLICATIONCONTROLLER, STATEFULSET])
def test_counts_of_pods_fit_each_other(kind: Kind) -> None:
    assert told(kind, {**REPLICAS, "observedGeneration": 4}, {}) == []
    assert told(kind, {}, REPLICAS) == []
    ready = "status.readyReplicas" if kind is STATEFULSET else "readyReplicas"
    assert told(kind, {"replicas": 1, "availableReplicas": 2}, {}) == [
        ("status.availableReplicas", f"Invalid value: 2: {WHOLE}"),
        ("status.availableReplicas", f"Invalid value: 2: cannot be greater than {ready}"),
    ]
    assert told(kind, {"replicas": -1}, {}) == [
        ("status.replicas", "Invalid value: -1: must be greater than or equal to 0"),
        ("status.availableReplicas", f"Invalid value: 0: {WHOLE}"),
    ][:1] + [
        (f"status.{field}", f"Invalid value: 0: {WHOLE}")
        for field in {
            DEPLOYMENT: ("updatedReplicas", "readyReplicas", "availableReplicas"),
            STATEFULSET: ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"),
        }.get(kind, ("fullyLabeledReplicas", "readyReplicas", "availableReplicas"))
    ]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (DEPLOYMENT, ("unavailableReplicas", "terminatingReplicas", "collisionCount", "observedGeneration")),
        (REPLICASET, ("terminatingReplicas", "observedGeneration")),
        (STATEFULSET, ("collisionCount", "observedGeneration")),
        (DAEMONSET, ("numberMisscheduled", "numberReady", "numberUnavailable", "collisionCount")),
        (HORIZONTALPODAUTOSCALER, ("currentReplicas", "desiredReplicas")),
    ],
)
def test_counts_are_not_negative(kind: Kind, fields: tuple[str, ...]) -> None:
    for field in fields:
        expected = [(f"status.{field}", "Invalid value: -1: must be greater than or equal to 0")]
        assert told(kind, {field: -1}, {}) == expected
        assert told(kind, {field: 0}, {}) == []


@pytest.mark.parametrize("kind", [DEPLOYMENT, STATEFULSET, DAEMONSET])
def test_collisions_are_not_forgotten(kind: Kind) -> None:
    assert told(kind, {"collisionCount": 2}, {"collisionCount": 1}) == []
    for value in (1, None):
        new = {} if value is None else {"collisionCount": value}
        assert told(kind, {**new, "observedGeneration": 1}, {"collisionCount": 2}) == [
            ("status.collisionCount", f"Invalid value: {value or 0}: cannot be decremented")
        ]
