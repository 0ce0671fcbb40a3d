"""Jobs and CronJobs: indexes, failures that count and that do not, what success is, and the times that make Jobs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conformance_api import Api, names
from conformance_objects import template
from conformance_specs import spec
from conformance_workloads import CORE, condition, pods_of

import navarch
from navarch.testing.cluster import RunningCluster

JOBS = "/apis/batch/v1/namespaces/{}/jobs"
CRON = "/apis/batch/v1/namespaces/{}/cronjobs"
INDEX = "batch.kubernetes.io/job-completion-index"
JOB = "[sig-apps] Job "
POLICY = "[sig-apps] Job with successPolicy "
EVER = "ever:1"
"""Runs until it is stopped. `quick:1` succeeds at once, `fails:1` exits with 1 and `fatal:1` with 42. Of `odd:1` the
pods of indexes 1 and 3 fail, of `first:1` all but that of index 0 run for ever, of `first-fatal:1` that of index 0
exits with 42."""


def behaviours() -> list[navarch.Behaviour]:
    """As the images are said to do."""

    def of(image: str, index: int | None = None, code: int | None = 0) -> navarch.Behaviour:
        labels = {} if index is None else {INDEX: str(index)}
        return navarch.Behaviour(image=image, labels=labels, runs_s=None if code is None else 0.0, exit_code=code or 0)

    return [
        of(EVER, code=None),
        of("quick:1"),
        of("fails:1", code=1),
        of("fatal:1", code=42),
        of("odd:1", 1, 1),
        of("odd:1", 3, 1),
        of("odd:1"),
        of("first:1", 0),
        of("first:1", code=None),
        of("first-fatal:1", 0, 42),
        of("first-fatal:1"),
    ]


@pytest.fixture(scope="module")
def library() -> Iterator[RunningCluster]:
    with navarch.Cluster(nodes=2, behaviours=behaviours()) as running:
        yield running


def job(name: str, image: str = "quick:1", **more: Any) -> dict[str, Any]:
    body = {"parallelism": 2, "completions": 4, "backoffLimit": 6, **more}
    return {"metadata": {"name": name}, "spec": {**body, "template": template({}, image, restartPolicy="Never")}}


def indexed(name: str, image: str, **more: Any) -> dict[str, Any]:
    return job(name, image, completionMode="Indexed", **more)


def complete(found: Any) -> bool:
    return bool(condition(found, "Complete").get("status") == "True")


def failed(found: Any) -> bool:
    return bool(condition(found, "Failed").get("status") == "True")


@spec(JOB + "should create pods for an Indexed job with completion indexes and specified hostname")
def test_an_index_for_each_pod(api: Api, ns: str) -> None:
    at = JOBS.format(ns)
    api.post(at, indexed("indexed", "quick:1"))
    found = api.when(f"{at}/indexed", complete)
    assert found["status"]["completedIndexes"] == "0-3"
    pods = pods_of(api, ns)
    assert sorted(one["metadata"]["annotations"][INDEX] for one in pods) == ["0", "1", "2", "3"]
    for one in pods:
        index = one["metadata"]["annotations"][INDEX]
        assert one["spec"]["hostname"] == f"indexed-{index}"
        assert one["metadata"]["name"].startswith(f"indexed-{index}-")


@spec(JOB + "should delete a job")
def test_a_deleted_job_takes_its_pods_along(api: Api, ns: str) -> None:
    at = JOBS.format(ns)
    api.post(at, job("gone", EVER))
    api.when(f"{at}/gone", lambda one: one["status"].get("active") == 2)
    api.delete(f"{at}/gone", {"propagationPolicy": "Foreground"})
    api.gone(f"{at}/gone")
    assert pods_of(api, ns) == []


@spec(JOB + "should adopt matching orphans and release non-matching pods")
def test_adoption_and_release(api: Api, ns: str) -> None:
    at = JOBS.format(ns)
    uid = api.post(at, job("adopter", EVER))["metadata"]["uid"]
    api.until(lambda: len(pods_of(api, ns)) == 2)
    path = f"{CORE.format(ns)}/pods/{pods_of(api, ns)[0]['metadata']['name']}"
    api.patch(path, {"metadata": {"ownerReferences": None}})
    adopted = api.when(path, lambda one: one["metadata"].get("ownerReferences"))
    assert adopted["metadata"]["ownerReferences"][0]["uid"] == uid
    labels = dict.fromkeys(adopted["metadata"]["labels"])
    api.patch(path, {"metadata": {"labels": labels}})
    api.when(path, lambda one: not one["metadata"].get("ownerReferences"))


@spec(JOB + "should allow to use a pod failure policy to ignore failure matching on DisruptionTarget condition")
def test_an_eviction_is_no_failure(api: Api, ns: str, library: RunningCluster) -> None:
    at = JOBS.format(ns)
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    api.post(at, job("evicted", EVER, completions=1, parallelism=1, backoffLimit=0, podFailurePolicy={"rules": [rule]}))
    api.when(f"{at}/evicted", lambda one: one["status"].get("ready") == 1)
    pods = f"{CORE.format(ns)}/pods"
    (name,) = names(api.get(pods))
    api.post(f"{pods}/{name}/eviction", {"metadata": {"name": name}})
    api.gone(f"{pods}/{name}")
    library.clock.advance(seconds=20)
    api.until(lambda: pods_of(api, ns), "another pod")
    found = api.when(f"{at}/evicted", lambda one: one["status"].get("ready") == 1)
    assert found["status"].get("failed", 0) == 0
    assert not failed(found)


@spec(JOB + "should allow to use the pod failure policy on exit code to fail the job early")
def test_an_exit_code_that_ends_the_job(api: Api, ns: str) -> None:
    at = JOBS.format(ns)
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
    api.post(at, job("fatal", "fatal:1", completions=2, parallelism=2, podFailurePolicy={"rules": [rule]}))
    found = api.when(f"{at}/fatal", failed)
    assert condition(found, "Failed")["reason"] == "PodFailurePolicy"
    assert found["status"]["failed"] <= 2, "one try for each"


@spec(JOB + "should apply changes to a job status")
def test_the_status_of_a_job(api: Api, ns: str) -> None:
    at = JOBS.format(ns)
    path = f"{at}/status"
    api.post(at, job("status", EVER))
    api.when(path, lambda one: one["status"].get("startTime"))
    patch = {
        "metadata": {"annotations": {"patchedstatus": "true"}},
        "status": {"conditions": [{"type": "Custom", "status": "True"}]},
    }
    patched = api.patch(f"{path}/status", patch)
    assert patched["metadata"]["annotations"]["patchedstatus"] == "true"
    assert condition(patched, "Custom")["status"] == "True"

    def replaced() -> Any:
        found = api.get(f"{path}/status")
        found["status"].setdefault("conditions", []).append({"type": "Replaced", "status": "True"})
        return api.send("PUT", f"{path}/status", found).status == 200

    api.until(replaced)
    assert condition(api.get(f"{path}/status"), "Replaced")["status"] == "True"


@spec(JOB + "should execute all indexes despite some failing when using backoffLimitPerIndex")
def test_all_indexes_are_tried(api: Api, ns: str) -> None:
    at = JOBS.format(ns)
    api.post(at, indexed("tried", "odd:1", backoffLimitPerIndex=0))
    found = api.when(f"{at}/tried", failed)
    assert condition(found, "Failed")["reason"] == "FailedIndexes"
    status = found["status"]
    assert (status["completedIndexes"], status["failedIndexes"]) == ("0,2", "1,3")
    assert (status["succeeded"], status["failed"]) == (2, 2)


@spec(JOB + "should mark indexes as failed when the FailIndex action is matched in podFailurePolicy")
def test_an_exit_code_that_ends_an_index(api: Api, ns: str) -> None:
    at = JOBS.format(ns)
    rule = {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [42]}}
    more = {"backoffLimitPerIndex": 1, "completions": 2, "podFailurePolicy": {"rules": [rule]}}
    more.update(backoffLimit=2147483647)
    api.post(at, indexed("failindex", "first-fatal:1", **more))
    status = api.when(f"{at}/failindex", failed)["status"]
    assert (status["completedIndexes"], status["failedIndexes"]) == ("1", "0")
    assert status["failed"] == 1, "it was not tried again"


@spec(JOB + "should terminate job execution when the number of failed indexes exceeds maxFailedIndexes")
def test_too_many_failed_indexes(api: Api, ns: str) -> None:
    at = JOBS.format(ns)
    api.post(at, indexed("toomany", "fails:1", backoffLimitPerIndex=0, maxFailedIndexes=1, parallelism=1))
    found = api.when(f"{at}/toomany", failed)
    assert condition(found, "Failed")["reason"] == "MaxFailedIndexesExceeded"
    assert found["status"]["failedIndexes"] == "0,1"
    assert found["status"]["failed"] == 2, "the others were not begun"


@spec(POLICY + "should succeeded when all indexes succeeded")
def test_success_of_all_indexes(api: Api, ns: str) -> None:
    at = JOBS.format(ns)
    policy = {"rules": [{"succeededIndexes": "0-3"}]}
    api.post(at, indexed("all", "quick:1", successPolicy=policy))
    found = api.when(f"{at}/all", complete)
    assert found["status"]["completedIndexes"] == "0-3"
    assert condition(found, "SuccessCriteriaMet")["status"] == "True"


@pytest.mark.parametrize("rule", [{"succeededIndexes": "0"}, {"succeededCount": 1}], ids=["indexes", "count"])
@spec(POLICY + "succeededIndexes rule should succeeded even when some indexes remain pending")
@spec(POLICY + "succeededCount rule should succeeded even when some indexes remain pending")
def test_success_before_all_have_ended(api: Api, ns: str, rule: dict[str, Any]) -> None:
    at = JOBS.format(ns)
    api.post(at, indexed("enough", "first:1", parallelism=4, successPolicy={"rules": [rule]}))
    found = api.when(f"{at}/enough", complete)
    assert condition(found, "SuccessCriteriaMet")["reason"] == "SuccessPolicy"
    assert condition(found, "Complete")["reason"] == "SuccessPolicy"
    assert found["status"]["completedIndexes"] == "0"
    assert not found["status"].get("active")
    api.until(lambda: [one["status"]["phase"] for one in pods_of(api, ns)] == ["Succeeded"], "the rest to be stopped")


@spec(JOB + "should manage the lifecycle of a job")
def test_life_of_a_job(api: Api, ns: str) -> None:
    at = JOBS.format(ns)
    path = f"{at}/life"
    api.post(at, job("life", EVER, suspend=True))
    api.when(path, lambda one: condition(one, "Suspended").get("status") == "True")
    assert pods_of(api, ns) == []
    with api.watch(f"{at}?watch=1") as events:
        events.until("ADDED", "life")
        api.patch(path, {"metadata": {"labels": {"e2e": f"life-{ns}"}}})
        events.until("MODIFIED", "life", lambda one: one["metadata"]["labels"].get("e2e"))

        def resumed() -> bool:
            found = api.get(path)
            found["spec"]["suspend"] = False
            found["metadata"]["annotations"] = {"updated": "true"}
            return api.send("PUT", path, found).status == 200

        api.until(resumed)
        events.until("MODIFIED", "life", lambda one: one["status"].get("ready") == 2)
        assert api.get(path)["metadata"]["annotations"]["updated"] == "true"
        assert names(api.get(f"/apis/batch/v1/jobs?labelSelector=e2e%3Dlife-{ns}")) == ["life"]
        api.ask("DELETE", f"{at}?labelSelector=e2e%3Dlife-{ns}", {"propagationPolicy": "Background"})
        events.until("DELETED", "life")
    assert api.get(at)["items"] == []
    api.until(lambda: not pods_of(api, ns))


# -- by the clock


def cronjob(name: str, image: str = EVER, **more: Any) -> dict[str, Any]:
    found = {"template": template({}, image, restartPolicy="OnFailure")}
    return {
        "metadata": {"name": name, "labels": {"e2e": name}},
        "spec": {"schedule": "*/1 * * * ?", "jobTemplate": {"spec": found}, **more},
    }


@pytest.fixture
def minutes(library: RunningCluster, api: Api, ns: str) -> Iterator[Any]:
    """Lets minutes pass. Afterwards no CronJob is left that later minutes could call."""
    yield lambda count: library.clock.advance(minutes=count)
    for name in names(api.get(CRON.format(ns))):
        api.delete(f"{CRON.format(ns)}/{name}")


@spec("[sig-apps] CronJob should schedule multiple jobs concurrently")
def test_jobs_beside_each_other(api: Api, ns: str, minutes: Any) -> None:
    api.post(CRON.format(ns), cronjob("concurrent", concurrencyPolicy="Allow"))
    minutes(3)
    found = api.when(f"{CRON.format(ns)}/concurrent", lambda one: len(one["status"].get("active", [])) >= 2)
    assert {one["name"] for one in found["status"]["active"]} <= set(names(api.get(JOBS.format(ns))))


@spec("[sig-apps] CronJob should not schedule jobs when suspended [Slow]")
def test_no_jobs_while_suspended(api: Api, ns: str, minutes: Any) -> None:
    api.post(CRON.format(ns), cronjob("suspended", suspend=True))
    minutes(6)
    assert api.get(JOBS.format(ns))["items"] == []
    assert "lastScheduleTime" not in api.get(f"{CRON.format(ns)}/suspended").get("status", {})


@spec("[sig-apps] CronJob should not schedule new jobs when ForbidConcurrent [Slow]")
def test_no_job_beside_another(api: Api, ns: str, minutes: Any) -> None:
    api.post(CRON.format(ns), cronjob("forbid", concurrencyPolicy="Forbid"))
    minutes(2)
    (before,) = names(api.get(JOBS.format(ns)))
    minutes(5)
    assert names(api.get(JOBS.format(ns))) == [before]
    assert [one["name"] for one in api.get(f"{CRON.format(ns)}/forbid")["status"]["active"]] == [before]


@spec("[sig-apps] CronJob should replace jobs when ReplaceConcurrent")
def test_one_job_in_place_of_another(api: Api, ns: str, minutes: Any) -> None:
    api.post(CRON.format(ns), cronjob("replace", concurrencyPolicy="Replace"))
    minutes(2)
    (before,) = names(api.get(JOBS.format(ns)))
    minutes(2)
    api.until(lambda: len(names(api.get(JOBS.format(ns)))) == 1)
    (after,) = names(api.get(JOBS.format(ns)))
    assert after != before


@spec("[sig-apps] CronJob should support CronJob API operations")
def test_operations(api: Api, ns: str) -> None:
    at = CRON.format(ns)
    assert {one["name"] for one in api.get("/apis/batch/v1")["resources"]} >= {"cronjobs", "cronjobs/status"}
    labels = {"e2e": f"ops-{ns}"}
    for name in ("one", "two", "three"):
        body = cronjob(name, schedule="0 0 1 1 *", suspend=True)
        body["metadata"]["labels"] = labels
        api.post(at, body)
    path, chosen = f"{at}/one", f"labelSelector=e2e%3Dops-{ns}"
    found = api.get(path)
    assert sorted(names(api.get(f"{at}?{chosen}"))) == ["one", "three", "two"]
    assert sorted(names(api.get(f"/apis/batch/v1/cronjobs?{chosen}"))) == ["one", "three", "two"]
    with api.watch(f"{at}?watch=1&resourceVersion={found['metadata']['resourceVersion']}&{chosen}") as events:
        patched = api.patch(path, {"metadata": {"annotations": {"patched": "true"}}})
        assert patched["metadata"]["annotations"]["patched"] == "true"
        patched["metadata"]["annotations"]["updated"] = "true"
        assert api.put(path, patched)["metadata"]["annotations"]["updated"] == "true"
        events.until("MODIFIED", "one", lambda one: one["metadata"]["annotations"].get("updated"))
        when = "2020-01-02T03:04:05Z"
        body = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"lastScheduleTime": when}}
        status = api.patch(f"{path}/status", body)
        assert status["status"]["lastScheduleTime"] == when
        assert status["metadata"]["annotations"]["patchedstatus"] == "true"
        status["status"]["lastScheduleTime"] = "2020-01-02T03:04:06Z"
        assert api.put(f"{path}/status", status)["status"]["lastScheduleTime"] == "2020-01-02T03:04:06Z"
        api.delete(path)
        events.until("DELETED", "one")
    api.delete(f"{at}?{chosen}")
    assert api.get(f"{at}?{chosen}")["items"] == []
