"""What simulated containers use, and how the metrics API tells it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

import navarch
from navarch.base.errors import BadRequest, MethodNotAllowed, NotFound
from navarch.testing.behaviour import Behaviour, Load, behaviours_from_yaml

PODS = """
apiVersion: v1
kind: Pod
metadata: {name: %s, labels: {app: web}}
spec: {containers: [{name: web, image: web}, {name: side, image: side}]}
"""
METRICS = "/apis/metrics.k8s.io/v1beta1"


def shared(load: Load) -> float:
    return 0.6 / load.replicas


def read(c: Any, path: str) -> Any:
    return orjson.loads(c.client.raw("GET", METRICS + path))


def test_usage_is_told_of_running_containers() -> None:
    with navarch.Cluster(behaviours=[Behaviour(image="web", cpu=shared, memory="64Mi")], frozen=True) as c:
        for name in ("a", "b"):
            c.apply(PODS % name)
            c.wait(f"pod/{name}", "Ready")
        c.apply(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: c}\nspec: {nodeName: none, containers: [{name: x, image: y}]}"
        )
        found = read(c, "/namespaces/default/pods")
        assert found["kind"] == "PodMetricsList"
        assert [one["metadata"]["name"] for one in found["items"]] == ["a", "b"]
        assert found["items"][0]["window"] == "15s"
        assert found["items"][0]["containers"] == [
            {"name": "web", "usage": {"cpu": "300000000n", "memory": "65536Ki"}},
            {"name": "side", "usage": {"cpu": "0", "memory": "0"}},
        ]
        assert read(c, "/nodes/node-0")["usage"] == {"cpu": "600000000n", "memory": "131072Ki"}
        assert not read(c, "/pods?labelSelector=app%3Dother")["items"]
        assert read(c, "/namespaces/default/pods/b")["metadata"]["labels"] == {"app": "web"}
        with pytest.raises(NotFound, match=r'podmetrics.*"default/none" not found'):
            read(c, "/namespaces/default/pods/none")
        with pytest.raises(MethodNotAllowed):
            read(c, "/pods?watch=true")
        with pytest.raises(MethodNotAllowed):
            c.client.raw("DELETE", f"{METRICS}/nodes/node-0")
        c.nodes.fail("node-0")
        assert not read(c, "/pods")["items"]
        assert not read(c, "/nodes")["items"]


def test_usage_in_yaml() -> None:
    (found,) = behaviours_from_yaml("[{image: web, cpu: 250m, memory: 64Mi}]")
    assert (found.cpu, found.memory) == ("250m", "64Mi")


@pytest.mark.parametrize("wrong", ["much", "-1", "1 core"])
def test_usage_that_is_no_amount_is_refused(wrong: str) -> None:
    with pytest.raises(BadRequest):
        behaviours_from_yaml(f"[{{cpu: '{wrong}'}}]")
