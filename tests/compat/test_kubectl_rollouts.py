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


DAEMON = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: daemon}}
  updateStrategy: {rollingUpdate: {maxUnavailable: 100%}}
  template:
    metadata: {labels: {app: daemon}}
    spec: {terminationGracePeriodSeconds: 0, containers: [{name: web, image: "nginx:1"}]}
"""
STATEFUL = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web}
spec:
  replicas: 2
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: stateful}}
  template:
    metadata: {labels: {app: stateful}}
    spec: {terminationGracePeriodSeconds: 0, containers: [{name: web, image: "nginx:1"}]}
"""
SETS = {"daemonset": DAEMON, "statefulset": STATEFUL}


@pytest.mark.parametrize("kind", SETS)
def test_every_way_of_rolling_a_set(kubectl: Kubectl, kind: str) -> None:
    """By ControllerRevisions, which kubectl reads and applies itself."""
    target = f"{kind}/web"

    def roll(image: str, cause: str) -> None:
        kubectl("set", "image", target, f"web={image}")
        kubectl("annotate", target, f"kubernetes.io/change-cause={cause}", "--overwrite")
        settled()

    def settled() -> str:
        return kubectl("rollout", "status", target, "--timeout=100s")

    def history() -> list[str]:
        return [line.split()[0] for line in kubectl("rollout", "history", target).splitlines()[2:] if line]

    def images() -> set[str]:
        pods = kubectl.read("pods", "-l", f"app={kind.removesuffix('set')}")["items"]
        return {pod["spec"]["containers"][0]["image"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}

    kubectl.apply(SETS[kind])
    settled()
    roll("nginx:2", "second")
    roll("nginx:3", "third")
    assert history() == ["1", "2", "3"]
    assert re.search(r"Image:\s+nginx:2", kubectl("rollout", "history", target, "--revision=2"))
    assert "unable to find the specified revision" in kubectl.refused("rollout", "history", target, "--revision=9")
    assert kubectl("rollout", "undo", target) == f"{kind}.apps/web rolled back\n"
    settled()
    until(lambda: images() == {"nginx:2"})
    until(lambda: history() == ["1", "3", "4"])
    assert kubectl("rollout", "undo", target, "--to-revision=1") == f"{kind}.apps/web rolled back\n"
    settled()
    until(lambda: images() == {"nginx:1"})
    until(lambda: history() == ["3", "4", "5"])
    same = kubectl("rollout", "undo", target, "--to-revision=5")
    if "1.32" not in str(kubectl.program):  # which looks for a `creationTimestamp: null` that is written no longer
        assert "skipped rollback (current template already matches revision 5)" in same
    assert "unable to find specified revision 1 in history" in kubectl.refused(
        "rollout", "undo", target, "--to-revision=1"
    )
    assert kubectl("rollout", "restart", target) == f"{kind}.apps/web restarted\n"
    settled()
    for verb, word in (("pause", "pausing"), ("resume", "resuming")):
        assert f'{kind}s.apps "web" {word} is not supported' in kubectl.refused("rollout", verb, target)


def test_the_status_of_sets_that_roll_by_hand_or_in_part(kubectl: Kubectl) -> None:
    kubectl.apply(STATEFUL)
    kubectl("rollout", "status", "sts/web", "--timeout=100s")
    part = '{"spec":{"updateStrategy":{"rollingUpdate":{"partition":1}}}}'
    kubectl("patch", "sts/web", "--type=merge", "-p", part)
    kubectl("set", "image", "sts/web", "web=nginx:2")
    text = kubectl("rollout", "status", "sts/web", "--timeout=100s")
    assert text.endswith("partitioned roll out complete: 1 new pods have been updated...\n")
    kubectl(
        "patch", "sts/web", "--type=merge", "-p", '{"spec":{"updateStrategy":{"type":"OnDelete","rollingUpdate":null}}}'
    )
    refused = kubectl.refused("rollout", "status", "sts/web", "--timeout=100s")
    assert "rollout status is only available for RollingUpdate strategy type" in refused


def test_a_rollout_that_is_undone_by_itself(web: Kubectl) -> None:
    """What users see of it: the condition, the event, and that the same template stays when it is applied again."""
    web("annotate", "deploy/web", "navarch.dev/auto-rollback=true")
    web("patch", "deploy/web", "-p", '{"spec":{"progressDeadlineSeconds":1}}')
    pending = '{"spec":{"template":{"spec":{"nodeSelector":{"no":"such"}}}}}'
    web("patch", "deploy/web", "-p", pending)
    assert web("wait", "--for=condition=RolledBack", "deploy/web", "--timeout=100s").endswith("condition met\n")
    assert "nodeSelector" not in web.read("deploy", "web")["spec"]["template"]["spec"]
    whole = "jsonpath={.status.conditions[?(@.type=='Progressing')].reason}=NewReplicaSetAvailable"
    web("wait", f"--for={whole}", "deploy/web", "--timeout=100s")  # with such a deadline, `status` might give up
    told = until(lambda: web.read("events", "--field-selector=reason=RolledBack")["items"])
    assert re.match(r'Revision 2 \("web-.+"\) was undone and revision 1 \("web-.+"\) restored: ', told[0]["message"])
    assert [row[0] for row in revisions(web)] == ["2", "3"]
    web("patch", "deploy/web", "-p", pending)
    told_again = "jsonpath={.status.conditions[?(@.type=='RolledBack')].reason}=AppliedAgain"
    web("wait", f"--for={told_again}", "deploy/web", "--timeout=100s")
    waited = web.run("rollout", "status", "deploy/web", "--timeout=100s")
    assert "exceeded its progress deadline" in waited.stderr
    assert "nodeSelector" in web.read("deploy", "web")["spec"]["template"]["spec"]
