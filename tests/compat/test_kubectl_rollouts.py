"""`kubectl rollout`: status, history, undo, restart, pause and resume."""

from __future__ import annotations

import re

import pytest
from compat_driver import WEB, Kubectl, until


@pytest.fixture
def web(kubectl: Kubectl) -> Kubectl:
    """With the application rolled out."""
    kubectl.apply(WEB)
    kubectl("rollout", "status", "deploy/web", "--timeout=100s")
    return kubectl


def image(kubectl: Kubectl) -> str:
    return kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}")


def roll(kubectl: Kubectl, image: str) -> None:
    kubectl("set", "image", "deploy/web", f"web={image}")
    kubectl("rollout", "status", "deploy/web", "--timeout=100s")


def revisions(kubectl: Kubectl) -> list[list[str]]:
    return [line.split(None, 1) for line in kubectl("rollout", "history", "deploy/web").splitlines()[2:] if line]


def test_status(web: Kubectl) -> None:
    assert web("rollout", "status", "deploy/web") == 'deployment "web" successfully rolled out\n'
    web("set", "image", "deploy/web", "web=nginx:2")
    text = web("rollout", "status", "deploy", "web", "--timeout=100s")
    assert text.endswith('deployment "web" successfully rolled out\n')
    sets = {row[0]: row[1] for row in web.rows("get", "rs", "--no-headers")}
    assert sorted(sets.values()) == ["0", "2"]
    assert "NotFound" in web.refused("rollout", "status", "deploy/nope")


def test_history_and_undo(web: Kubectl) -> None:
    web("annotate", "deploy/web", "kubernetes.io/change-cause=first")
    roll(web, "nginx:2")
    web("annotate", "deploy/web", "kubernetes.io/change-cause=second", "--overwrite")
    until(lambda: revisions(web) == [["1", "first"], ["2", "second"]])
    one = web("rollout", "history", "deploy/web", "--revision=1")
    assert re.search(r"Image:\s+nginx:1.25", one)
    assert web("rollout", "undo", "deploy/web", "--dry-run=server").startswith("deployment.apps/web")
    assert image(web) == "nginx:2"
    assert web("rollout", "undo", "deploy/web") == "deployment.apps/web rolled back\n"
    web("rollout", "status", "deploy/web", "--timeout=100s")
    assert image(web) == "nginx:1.25"
    assert [row[0] for row in revisions(web)] == ["2", "3"]
    roll(web, "nginx:3")
    web("rollout", "undo", "deploy/web", "--to-revision=2")
    assert image(web) == "nginx:2"
    assert "unable to find specified revision 99 in history" in web.refused(
        "rollout", "undo", "deploy/web", "--to-revision=99"
    )


def test_restart(web: Kubectl) -> None:
    before = set(web("get", "pods", "-o", "name").split())
    assert web("rollout", "restart", "deploy/web") == "deployment.apps/web restarted\n"
    web("rollout", "status", "deploy/web", "--timeout=100s")
    until(lambda: len(web("get", "pods", "-o", "name").split()) == 2)
    assert before.isdisjoint(web("get", "pods", "-o", "name").split())
    annotations = web.read("deploy", "web")["spec"]["template"]["metadata"]["annotations"]
    assert list(annotations) == ["kubectl.kubernetes.io/restartedAt"]


def test_pause_and_resume(web: Kubectl) -> None:
    roll(web, "nginx:1")
    assert web("rollout", "pause", "deploy/web") == "deployment.apps/web paused\n"
    assert "is already paused" in web.refused("rollout", "pause", "deploy/web")
    web("set", "image", "deploy/web", "web=nginx:2")
    waited = web.run("rollout", "status", "deploy/web", "--timeout=3s")
    assert "0 out of 2 new replicas have been updated" in waited.stdout
    assert "timed out" in waited.stderr
    assert len(web.rows("get", "rs", "--no-headers")) == 2
    assert "you cannot rollback a paused deployment" in web.refused("rollout", "undo", "deploy/web")
    assert "can't restart paused deployment" in web.refused("rollout", "restart", "deploy/web")
    assert web("rollout", "resume", "deploy/web") == "deployment.apps/web resumed\n"
    web("rollout", "status", "deploy/web", "--timeout=100s")
    assert len(web.rows("get", "rs", "--no-headers")) == 3
    assert "is not paused" in web.refused("rollout", "resume", "deploy/web")


def test_a_wait_for_a_condition(web: Kubectl) -> None:
    assert web("wait", "--for=condition=Available", "deploy/web") == "deployment.apps/web condition met\n"
    assert "condition met" in web("wait", "--for=jsonpath={.status.readyReplicas}=2", "deploy/web")
    assert len(web("wait", "--for=condition=Ready", "pod", "-l", "app=web").splitlines()) == 2
    assert "timed out waiting" in web.refused("wait", "--for=condition=Nope", "deploy/web", "--timeout=2s")
