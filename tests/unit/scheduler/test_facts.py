"""Which changes of a pod are none to the scheduler."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.kinds import POD
from navarch.kinds.object import Object
from navarch.scheduler.facts import PodFacts, facts_again, pod_facts
from navarch.scheduler.usual import usual_spreads


def pod(**parts: Any) -> Object:
    metadata = {"name": "a", "namespace": "x", "uid": "1", "resourceVersion": parts.pop("revision", "1")}
    spec = {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]}
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}
    for part, more in parts.items():
        document[part] = {**document[part], **more}  # type: ignore[dict-item]
    return Object.of(POD, document)


def controlled_by(version: str, kind: str) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "name": "n", "uid": "9", "controller": True}


@pytest.mark.parametrize(
    "parts",
    [
        {"revision": "7"},
        {"status": {"phase": "Pending", "conditions": [{"type": "Ready", "status": "True"}], "podIP": "10.0.0.1"}},
        {"metadata": {"annotations": {"a": "b"}, "managedFields": [{"manager": "m"}]}},
    ],
)
def test_what_is_none_of_its_business_comes_to_the_same_facts(parts: dict[str, Any]) -> None:
    assert facts_again(pod_facts(pod()), pod(), pod(**parts)) is None
    assert vars_of(pod()) == vars_of(pod(**parts))


@pytest.mark.parametrize(
    "parts",
    [
        {"metadata": {"labels": {"a": "b"}}},
        {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}},
        {"metadata": {"ownerReferences": [controlled_by("apps/v1", "ReplicaSet")]}},
        {"spec": {"nodeName": "n"}},
        {"spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "2"}}}]}},
        {"spec": {"schedulingGates": [{"name": "g"}]}},
        {"status": {"phase": "Running"}},
        {"status": {"nominatedNodeName": "n"}},
        {"status": {"startTime": "2026-01-01T00:00:00Z"}},
    ],
)
def test_what_facts_are_made_of_tells_them_apart(parts: dict[str, Any]) -> None:
    again = facts_again(pod_facts(pod()), pod(), pod(**parts))
    assert again is not None
    assert fields(again) == vars_of(pod(**parts)) != vars_of(pod())


def vars_of(found: Object) -> dict[str, Any]:
    return fields(pod_facts(found))


def fields(facts: PodFacts) -> dict[str, Any]:
    return {name: getattr(facts, name) for name in facts.__struct_fields__}


@pytest.mark.parametrize(
    ("version", "kind", "spread"),
    [
        ("v1", "ReplicationController", ("9",)),
        ("apps/v1", "ReplicaSet", ("9",)),
        ("apps/v1", "StatefulSet", ("9",)),
        ("apps/v1", "DaemonSet", ()),
        ("batch/v1", "Job", ()),
    ],
)
def test_pods_of_what_runs_on_and_on_are_spread_unasked(version: str, kind: str, spread: tuple[str, ...]) -> None:
    found = pod_facts(pod(metadata={"ownerReferences": [controlled_by(version, kind)]}))
    assert found.owners == spread
    assert bool(usual_spreads(found, ())) == bool(spread)
