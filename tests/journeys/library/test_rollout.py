"""Rollouts under a turned clock: new versions, undo, and what becomes of broken ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import navarch

Make = Callable[..., dict[str, Any]]
Kubectl = Callable[..., str]

BROKEN = navarch.Behaviour(image="web:broken", never_ready=True)


def images(c: Any) -> set[str]:
    found = c.client.list("pods", "default", labels="app=web").items
    return {pod.view.spec.containers[0].image for pod in found if not pod.view.terminating}


def set_image(c: Any, image: str) -> None:
    template = {"spec": {"containers": [{"name": "main", "image": image}]}}
    c.client.patch("deployment", "default", "web", {"spec": {"template": template}}, type="strategic")


def test_scale_and_roll(deployment: Make) -> None:
    with navarch.Cluster(nodes=2, behaviours=[navarch.Behaviour(ready_s=3)], frozen=True) as c:
        c.apply(deployment())
        c.wait("deployment/web", "rolled out", leap_s=60)
        c.client.patch("deployment", "default", "web", {"spec": {"replicas": 6}})
        c.wait("deployment/web", "rolled out", leap_s=60)
        assert len(c.client.list("pods", labels="app=web").items) == 6
        least = 6
        set_image(c, "web:v2")
        for _ in range(60):
            c.clock.advance(seconds=1)
            status = c.client.get("deployment", "default", "web").document()["status"]
            least = min(least, status.get("availableReplicas", 0))
            live = [p for p in c.client.list("pods", labels="app=web").items if not p.view.terminating]
            assert len(live) <= 8, "6 and a surge of a quarter"
        c.wait("deployment/web", "rolled out")
        assert images(c) == {"web:v2"}
        assert least >= 5, "at most a quarter may be away"


def test_a_broken_version_stops_and_is_undone(deployment: Make, kubectl: Kubectl) -> None:
    with navarch.Cluster(behaviours=[BROKEN], frozen=True) as c:
        c.apply(deployment(progressDeadlineSeconds=120))
        c.wait("deployment/web", "rolled out", leap_s=60)
        set_image(c, "web:broken")
        c.wait("deployment/web", "Progressing=False", leap_s=600)
        status = c.client.get("deployment", "default", "web").document()["status"]
        assert status["availableReplicas"] >= 3
        assert images(c) == {"web:v1", "web:broken"}
        kubectl(c.kubeconfig, "rollout", "undo", "deployment/web")
        c.wait("deployment/web", "rolled out", leap_s=60)
        assert images(c) == {"web:v1"}


def test_a_broken_version_undoes_itself_when_asked_to(deployment: Make) -> None:
    with navarch.Cluster(behaviours=[BROKEN], frozen=True) as c:
        c.apply(deployment(progressDeadlineSeconds=120, annotations={"navarch.dev/auto-rollback": "true"}))
        c.wait("deployment/web", "rolled out", leap_s=60)
        set_image(c, "web:broken")
        c.clock.advance(seconds=60)
        assert "web:broken" in images(c)
        c.wait("deployment/web", lambda d: image_of(d) == "web:v1", leap_s=600)
        c.wait("deployment/web", "rolled out", leap_s=60)
        assert images(c) == {"web:v1"}


def image_of(document: dict[str, Any]) -> str:
    found: str = document["spec"]["template"]["spec"]["containers"][0]["image"]
    return found


def test_an_important_pod_takes_a_place() -> None:
    def pod(name: str, cpu: str, **spec: Any) -> dict[str, Any]:
        container = {"name": "main", "image": "x", "resources": {"requests": {"cpu": cpu}}}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {"containers": [container], **spec},
        }

    with navarch.Cluster(machine=navarch.Machine(cpu="2"), frozen=True) as c:
        c.apply(
            {
                "apiVersion": "scheduling.k8s.io/v1",
                "kind": "PriorityClass",
                "metadata": {"name": "high"},
                "value": 1000,
            }
        )
        c.apply([pod("small", "500m"), pod("large", "1500m")])
        c.clock.advance()
        c.apply(pod("urgent", "1", priorityClassName="high"))
        c.wait("pod/urgent", "Ready", leap_s=60)
        c.wait("pod/large", "gone", leap_s=60)
        c.wait("pod/small", "Ready")
        assert any("Preempted" in line and "pod/large" in line for line in c.events())
