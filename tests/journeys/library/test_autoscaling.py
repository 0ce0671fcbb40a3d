"""Load comes and goes, and replicas follow: the autoscaler in a cluster whose time is turned."""

from __future__ import annotations

from typing import Any

import pytest

import navarch
from navarch.objects import condition

WORKLOAD = """
apiVersion: apps/v1
kind: %s
metadata: {name: web}
spec:
  replicas: 1
  serviceName: web
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web, resources: {requests: {cpu: 100m, memory: 64Mi}}}]}
"""
AUTOSCALER = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: %s, name: web}
  minReplicas: 1
  maxReplicas: 10
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]
"""
CUSTOM = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: fleets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: fleets, kind: Fleet}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.ships, statusReplicasPath: .status.ships, labelSelectorPath: .status.chosen}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {ships: {type: integer}}}
          status: {type: object, properties: {ships: {type: integer}, chosen: {type: string}}}
"""


class World:
    """cores: of all pods together, shared by those that run."""

    def __init__(self) -> None:
        self.cores = 0.05

    def behaviour(self) -> navarch.Behaviour:
        return navarch.Behaviour(image="web", cpu=lambda load: self.cores / load.replicas, memory="32Mi")


def manifest(text: str, kind: str) -> str:
    made = text % kind
    return made if kind == "StatefulSet" else made.replace("  serviceName: web\n", "")


def replicas(c: Any, kind: str) -> int:
    return int(c.client.get(kind, "default", "web").document()["spec"]["replicas"])


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "ReplicaSet"])
def test_replicas_follow_the_load(kind: str) -> None:
    world, plural = World(), f"{kind.lower()}s"
    with navarch.Cluster(nodes=2, behaviours=[world.behaviour()], frozen=True) as c:
        c.apply(manifest(WORKLOAD, kind))
        c.clock.advance(minutes=1)
        c.apply(AUTOSCALER % kind)
        c.clock.advance(minutes=1)
        assert replicas(c, plural) == 1
        world.cores = 0.4
        c.clock.advance(seconds=15)
        assert replicas(c, plural) == 4, "not faster than to four"
        c.clock.advance(minutes=2)
        assert replicas(c, plural) == 8
        world.cores = 0.02
        c.clock.advance(seconds=285)
        assert replicas(c, plural) == 8, "what was recommended lately still counts"
        c.clock.advance(seconds=45)
        assert replicas(c, plural) == 1
        events = [event.document() for event in c.client.list("events", "default").items]
        told = {event["message"] for event in events if event["reason"] == "SuccessfulRescale"}
        assert "New size: 8; reason: cpu resource utilization (percentage of request) above target" in told
        assert "New size: 1; reason: All metrics below target" in told


def test_behaviour_bounds_the_speed() -> None:
    world = World()
    with navarch.Cluster(behaviours=[world.behaviour()], frozen=True) as c:
        c.apply(manifest(WORKLOAD, "Deployment"))
        slow = "{policies: [{type: Pods, value: 1, periodSeconds: 60}]}"
        quick = "{stabilizationWindowSeconds: 0, policies: [{type: Pods, value: 2, periodSeconds: 30}]}"
        c.apply(AUTOSCALER % "Deployment" + f"  behavior: {{scaleUp: {slow}, scaleDown: {quick}}}\n")
        c.clock.advance(minutes=1)
        world.cores = 1.0
        seen = [replicas(c, "deployments")]
        for _ in range(24):
            c.clock.advance(seconds=15)
            seen.append(replicas(c, "deployments"))
        assert all(later - earlier <= 1 for earlier, later in zip(seen, seen[4:], strict=False)), seen
        assert seen[-1] >= 6
        limited = c.client.get("horizontalpodautoscalers", "default", "web").document()["status"]["conditions"]
        assert (condition.get(limited, "ScalingLimited") or {})["reason"] == "ScaleUpLimit"
        world.cores = 0.0
        before = replicas(c, "deployments")
        c.clock.advance(seconds=16)
        assert before - 2 <= replicas(c, "deployments") < before
        c.clock.advance(minutes=5)
        assert replicas(c, "deployments") == 1


def test_custom_resources_are_scaled_by_their_paths() -> None:
    with navarch.Cluster(behaviours=[navarch.Behaviour(image="web", cpu="200m")], frozen=True) as c:
        c.apply(CUSTOM)
        c.clock.advance(seconds=5)
        pod = {"metadata": {"name": "one", "labels": {"of": "web"}}, "apiVersion": "v1", "kind": "Pod"}
        container = {"name": "c", "image": "web", "resources": {"requests": {"cpu": "100m"}}}
        c.apply({**pod, "spec": {"containers": [container]}})
        fleet = {"apiVersion": "example.com/v1", "kind": "Fleet", "metadata": {"name": "web"}, "spec": {"ships": 1}}
        c.apply(fleet)
        status = {"status": {"ships": 1, "chosen": "of=web"}}
        c.client.patch("fleets.example.com", "default", "web", status, subresource="status")
        c.clock.advance(minutes=1)
        c.apply((AUTOSCALER % "Fleet").replace("apps/v1", "example.com/v1"))
        c.clock.advance(minutes=1)
        found = c.client.get("fleets.example.com", "default", "web").document()
        assert found["spec"]["ships"] == 4


def test_a_target_that_is_missing_is_told_and_found_later() -> None:
    with navarch.Cluster(behaviours=[navarch.Behaviour(cpu="100m")], frozen=True) as c:
        c.apply(AUTOSCALER % "Deployment")
        c.clock.advance(seconds=30)
        found = c.client.get("horizontalpodautoscalers", "default", "web").document()["status"]
        (able,) = found["conditions"]
        assert (able["status"], able["reason"]) == ("False", "FailedGetScale")
        assert able["message"].endswith('deployments.apps "web" not found')
        c.apply(manifest(WORKLOAD, "Deployment"))
        c.clock.advance(minutes=2)
        assert replicas(c, "deployments") > 1


def test_two_autoscalers_of_the_same_pods_do_nothing() -> None:
    with navarch.Cluster(behaviours=[navarch.Behaviour(cpu="100m")], frozen=True) as c:
        c.apply(manifest(WORKLOAD, "Deployment"))
        c.apply(AUTOSCALER % "Deployment")
        c.apply((AUTOSCALER % "Deployment").replace("{name: web}\nspec", "{name: also}\nspec"))
        c.clock.advance(minutes=5)
        conditions = c.client.get("horizontalpodautoscalers", "default", "also").document()["status"]["conditions"]
        found = condition.get(conditions, "ScalingActive") or {}
        assert found["reason"] == "AmbiguousSelector"
        assert "[{also default} {web default}]" in found["message"]
