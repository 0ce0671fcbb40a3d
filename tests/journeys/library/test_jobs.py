"""Jobs through the library, with the real kubectl: completions, indexes, failures, policies, suspension, deadlines."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

import navarch

Kubectl = Callable[..., str]
DONE = navarch.Behaviour(image="done", runs_s=10)
BAD = navarch.Behaviour(image="bad*", runs_s=1, exit_code=3)
LONG = navarch.Behaviour(image="long")
WAYS = (DONE, BAD, LONG)


def job(name: str = "work", image: str = "done", restart: str = "Never", **spec: Any) -> dict[str, Any]:
    pod = {"restartPolicy": restart, "containers": [{"name": "main", "image": image}]}
    template = {"template": {"spec": pod}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {**template, **spec}}


def status(c: Any, name: str = "work") -> dict[str, Any]:
    found: dict[str, Any] = c.client.get("job", "default", name).document()["status"]
    return found


def told(c: Any, name: str = "work") -> dict[str, str]:
    """Reason by type, of the conditions that hold."""
    return {one["type"]: one["reason"] for one in status(c, name).get("conditions", ()) if one["status"] == "True"}


def pods(c: Any) -> list[dict[str, Any]]:
    return [pod.document() for pod in c.client.list("pods", "default").items]


def running(c: Any) -> list[dict[str, Any]]:
    return [
        pod for pod in pods(c) if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
    ]


def test_one_pod_runs_to_its_end(kubectl: Kubectl) -> None:
    with navarch.Cluster(behaviours=WAYS, frozen=True) as c:
        kubectl(c.kubeconfig, "create", "job", "work", "--image=done")
        c.clock.advance(seconds=5)
        assert (status(c)["active"], status(c)["ready"]) == (1, 1)
        c.clock.advance(seconds=60)
        found = status(c)
        assert told(c) == {"SuccessCriteriaMet": "CompletionsReached", "Complete": "CompletionsReached"}
        assert (found["succeeded"], found["ready"], found["terminating"]) == (1, 0, 0)
        assert found["uncountedTerminatedPods"] == {}
        assert {"startTime", "completionTime"} <= set(found)
        assert "active" not in found
        (pod,) = pods(c)
        assert pod["status"]["phase"] == "Succeeded"
        assert "finalizers" not in pod["metadata"]
        assert pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "work"
        row = kubectl(c.kubeconfig, "get", "job", "work", "--no-headers").split()
        assert row[1:3] == ["Complete", "1/1"]
        kubectl(c.kubeconfig, "wait", "--for=condition=complete", "job/work", "--timeout=100s")
        events = kubectl(c.kubeconfig, "describe", "job", "work")
        assert "SuccessfulCreate" in events
        assert "Job completed" in events
        kubectl(c.kubeconfig, "delete", "job", "work", "--wait=false")
        c.clock.advance(seconds=60)
        assert pods(c) == []


def test_many_at_once_never_more_than_asked_for() -> None:
    with navarch.Cluster(nodes=2, behaviours=WAYS, frozen=True) as c:
        c.apply(job(completions=7, parallelism=3))
        for _ in range(40):
            c.clock.advance(seconds=1)
            live = [pod for pod in pods(c) if pod["status"]["phase"] in ("Pending", "Running")]
            assert len(live) <= 3
            assert status(c).get("active", 0) == len(live)
        assert status(c)["succeeded"] == len(pods(c)) == 7
        assert "Complete" in told(c)


def test_a_work_queue_is_over_when_one_succeeded_and_the_rest_have_ended() -> None:
    with navarch.Cluster(behaviours=WAYS, frozen=True) as c:
        c.apply(job(parallelism=3))
        c.clock.advance(seconds=60)
        assert status(c)["succeeded"] == 3
        assert "Complete" in told(c)


def test_indexes_are_names_labels_and_variables() -> None:
    with navarch.Cluster(behaviours=WAYS, frozen=True) as c:
        c.apply(job(completions=4, parallelism=2, completionMode="Indexed"))
        c.clock.advance(seconds=5)
        for pod in pods(c):
            index = pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]
            assert pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] == index
            assert pod["metadata"]["name"].startswith(f"work-{index}-")
            assert pod["spec"]["hostname"] == f"work-{index}"
            (variable,) = pod["spec"]["containers"][0]["env"]
            assert variable["name"] == "JOB_COMPLETION_INDEX"
            path = variable["valueFrom"]["fieldRef"]["fieldPath"]
            assert path == "metadata.labels['batch.kubernetes.io/job-completion-index']"
        assert len(pods(c)) == 2
        c.clock.advance(seconds=7)
        assert status(c)["completedIndexes"] == "0,1"
        c.clock.advance(seconds=60)
        assert (status(c)["completedIndexes"], status(c)["succeeded"]) == ("0-3", 4)
        assert "Complete" in told(c)


def test_failures_come_ever_later_until_there_are_too_many(kubectl: Kubectl) -> None:
    with navarch.Cluster(behaviours=WAYS, frozen=True) as c:
        c.apply(job(image="bad", backoffLimit=3))
        began = c.clock.now()
        starts: dict[str, float] = {}
        for _ in range(120):
            c.clock.advance(seconds=1)
            for pod in pods(c):
                starts.setdefault(pod["metadata"]["name"], (c.clock.now() - began).total_seconds())
            if "Failed" in told(c):
                break
        moments = sorted(starts.values())
        gaps = [later - sooner for sooner, later in pairwise(moments)]
        assert len(gaps) == 3
        assert all(abs(gap - wanted) <= 2 for gap, wanted in zip(gaps, (11, 21, 41), strict=True))
        assert status(c)["failed"] == 4
        assert told(c) == {"FailureTarget": "BackoffLimitExceeded", "Failed": "BackoffLimitExceeded"}
        assert "completionTime" not in status(c)
        assert any("BackoffLimitExceeded" in line for line in c.events())
        assert kubectl(c.kubeconfig, "get", "job", "work", "--no-headers").split()[1] == "Failed"


def test_restarts_in_place_count_too() -> None:
    with navarch.Cluster(behaviours=WAYS, frozen=True) as c:
        c.apply(job(image="bad", restart="OnFailure", backoffLimit=2))
        c.clock.advance(minutes=10)
        assert told(c)["Failed"] == "BackoffLimitExceeded"
        assert running(c) == []


def test_indexes_fail_one_by_one() -> None:
    ways = [
        navarch.Behaviour(image="done", labels={"batch.kubernetes.io/job-completion-index": "1"}, runs_s=1, exit_code=1)
    ]
    with navarch.Cluster(behaviours=[*ways, *WAYS], frozen=True) as c:
        c.apply(job(completions=3, parallelism=3, completionMode="Indexed", backoffLimitPerIndex=1))
        c.clock.advance(seconds=5)
        assert "Failed" not in told(c)
        c.clock.advance(minutes=10)
        found = status(c)
        assert (found["completedIndexes"], found["failedIndexes"]) == ("0,2", "1")
        assert (found["succeeded"], found["failed"]) == (2, 2)
        assert told(c) == {"FailureTarget": "FailedIndexes", "Failed": "FailedIndexes"}
        counts = [
            pod["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"]
            for pod in pods(c)
            if pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] == "1"
        ]
        assert sorted(counts) == ["0", "1"]


def test_too_many_failed_indexes_end_it() -> None:
    with navarch.Cluster(behaviours=WAYS, frozen=True) as c:
        limits = {"backoffLimitPerIndex": 0, "maxFailedIndexes": 1}
        c.apply(job(image="bad", completions=5, parallelism=1, completionMode="Indexed", **limits))
        c.clock.advance(minutes=10)
        assert told(c)["Failed"] == "MaxFailedIndexesExceeded"
        assert status(c)["failedIndexes"] == "0,1"


@pytest.mark.parametrize(("action", "reason"), [("FailJob", "PodFailurePolicy"), ("Count", "BackoffLimitExceeded")])
def test_a_policy_decides_by_exit_code(action: str, reason: str) -> None:
    rule = {"action": action, "onExitCodes": {"containerName": "main", "operator": "In", "values": [3]}}
    with navarch.Cluster(behaviours=WAYS, frozen=True) as c:
        c.apply(job(image="bad", backoffLimit=1, podFailurePolicy={"rules": [rule]}))
        c.clock.advance(minutes=10)
        assert told(c)["Failed"] == reason
        assert status(c)["failed"] == (1 if action == "FailJob" else 2)
        if action == "FailJob":
            (message,) = {one["message"] for one in status(c)["conditions"]}
            (pod,) = pods(c)
            where = f"Container main for pod default/{pod['metadata']['name']}"
            assert message == f"{where} failed with exit code 3 matching FailJob rule at index 0"


def test_disruptions_may_be_ignored(kubectl: Kubectl) -> None:
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    with navarch.Cluster(nodes=2, behaviours=WAYS, frozen=True) as c:
        c.apply(job(image="long", backoffLimit=0, podFailurePolicy={"rules": [rule]}))
        c.clock.advance(seconds=5)
        (first,) = running(c)
        kubectl(c.kubeconfig, "taint", "node", first["spec"]["nodeName"], "maintenance=now:NoExecute")
        c.clock.advance(minutes=2)
        (second,) = running(c)
        assert second["spec"]["nodeName"] != first["spec"]["nodeName"]
        assert told(c) == {}
        assert "failed" not in status(c)


def test_enough_successes_end_it_before_the_rest() -> None:
    slow = navarch.Behaviour(image="done", labels={"batch.kubernetes.io/job-completion-index": "2"})
    with navarch.Cluster(behaviours=[slow, *WAYS], frozen=True) as c:
        policy = {"rules": [{"succeededIndexes": "0-1", "succeededCount": 2}]}
        c.apply(job(completions=3, parallelism=3, completionMode="Indexed", successPolicy=policy))
        c.clock.advance(minutes=5)
        assert told(c) == {"SuccessCriteriaMet": "SuccessPolicy", "Complete": "SuccessPolicy"}
        assert (status(c)["succeeded"], status(c).get("failed", 0)) == (2, 0)
        assert running(c) == []


def test_it_is_suspended_and_goes_on(kubectl: Kubectl) -> None:
    with navarch.Cluster(behaviours=WAYS, frozen=True) as c:
        c.apply(job(image="long", parallelism=2, completions=2, suspend=True, activeDeadlineSeconds=60))
        c.clock.advance(seconds=90)
        assert pods(c) == []
        assert told(c) == {"Suspended": "JobSuspended"}
        assert "startTime" not in status(c)
        kubectl(c.kubeconfig, "patch", "job", "work", "-p", '{"spec":{"suspend":false}}')
        c.clock.advance(seconds=30)
        assert len(running(c)) == 2
        assert told(c) == {}
        kubectl(c.kubeconfig, "patch", "job", "work", "-p", '{"spec":{"suspend":true}}')
        c.clock.advance(seconds=60)
        assert pods(c) == []
        assert "failed" not in status(c)
        assert "active" not in status(c)
        kubectl(c.kubeconfig, "patch", "job", "work", "-p", '{"spec":{"suspend":false}}')
        c.clock.advance(seconds=50)
        assert told(c) == {}
        c.clock.advance(seconds=60)
        assert told(c)["Failed"] == "DeadlineExceeded"
        assert running(c) == []
        lines = c.events()
        assert any("Job suspended" in line for line in lines)
        assert any("Job resumed" in line for line in lines)


def test_a_deadline_ends_it_to_the_second() -> None:
    with navarch.Cluster(behaviours=WAYS, frozen=True) as c:
        c.apply(job(image="long", activeDeadlineSeconds=100))
        c.clock.advance(seconds=99)
        assert told(c) == {}
        c.clock.advance(seconds=2)
        assert told(c)["FailureTarget"] == "DeadlineExceeded"
        c.clock.advance(seconds=60)
        assert told(c)["Failed"] == "DeadlineExceeded"
        assert status(c)["failed"] == 1


def test_a_finished_job_is_removed_in_time() -> None:
    with navarch.Cluster(behaviours=WAYS, frozen=True) as c:
        c.apply(job(ttlSecondsAfterFinished=3600))
        c.clock.advance(seconds=60)
        over = c.client.get("job", "default", "work").view.finished.last_transition_time
        c.clock.advance(seconds=(over + timedelta(seconds=3599) - c.clock.now()).total_seconds())
        assert "Complete" in told(c)
        c.clock.advance(seconds=2)
        c.wait("job/work", "gone", leap_s=5)
        assert pods(c) == []


def test_replacements_wait_until_a_pod_has_ended_when_asked_to() -> None:
    ways = [navarch.Behaviour(image="long", stop_s=20)]
    with navarch.Cluster(behaviours=ways, frozen=True) as c:
        c.apply([job("now", "long"), job("later", "long", podReplacementPolicy="Failed")])
        c.clock.advance(seconds=5)
        for pod in pods(c):
            c.client.delete("pod", "default", pod["metadata"]["name"])
        c.clock.advance(seconds=15)
        live = [pod["metadata"]["labels"]["job-name"] for pod in running(c)]
        assert live == ["now"]
        assert status(c, "later")["terminating"] == 1
        assert "failed" not in status(c, "later")
        c.clock.advance(seconds=60)
        live = [pod["metadata"]["labels"]["job-name"] for pod in running(c)]
        assert sorted(live) == ["later", "now"]
        assert status(c, "later")["failed"] == 1


def test_one_that_is_managed_elsewhere_is_left_alone() -> None:
    with navarch.Cluster(behaviours=WAYS, frozen=True) as c:
        c.apply(job(managedBy="example.com/queue"))
        c.clock.advance(minutes=5)
        assert pods(c) == []
        assert status(c) == {}


def test_an_elastic_job_is_scaled_down(kubectl: Kubectl) -> None:
    with navarch.Cluster(behaviours=WAYS, frozen=True) as c:
        c.apply(job(image="long", completions=5, parallelism=5, completionMode="Indexed"))
        c.clock.advance(seconds=5)
        kubectl(c.kubeconfig, "patch", "job", "work", "-p", '{"spec":{"completions":3,"parallelism":3}}')
        c.clock.advance(seconds=60)
        found = {pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] for pod in running(c)}
        assert found == {"0", "1", "2"}
        assert "failed" not in status(c)


def test_a_deleted_job_leaves_nothing_behind(kubectl: Kubectl) -> None:
    with navarch.Cluster(behaviours=WAYS, frozen=True) as c:
        for way in ("foreground", "background", "orphan"):
            c.apply(job(image="long", parallelism=2, completions=2))
            c.clock.advance(seconds=5)
            assert len(running(c)) == 2
            kubectl(c.kubeconfig, "delete", "job", "work", f"--cascade={way}", "--wait=false")
            c.clock.advance(seconds=60)
            if way != "orphan":
                assert pods(c) == []
        assert len(running(c)) == 2
        assert all("finalizers" not in pod["metadata"] for pod in pods(c))
