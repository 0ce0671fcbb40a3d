"""Deployments, ReplicaSets, ReplicationControllers and ControllerRevisions."""

from __future__ import annotations

import pytest
from conformance_api import JSON_PATCH, STRATEGIC, Api, names
from conformance_objects import PAUSE, controller, pod, replicas
from conformance_specs import spec
from conformance_workloads import APPS, CORE, check_scale, check_status, complete, condition, pods_of, running

from navarch.testing.cluster import RunningCluster

# -- deployments


@spec("[sig-apps] Deployment RollingUpdateDeployment should delete old pods and create new ones")
def test_rolling_update_takes_over_what_is_there(api: Api, ns: str) -> None:
    at, labels = APPS.format(ns), {"name": "sample-pod", "pod": "httpd"}
    api.post(f"{at}/replicasets", replicas("adopted", 1, labels=labels))
    api.when(f"{at}/replicasets/adopted", complete(1))
    api.patch(
        f"{at}/replicasets/adopted",
        {"metadata": {"annotations": {"deployment.kubernetes.io/revision": "3546343826724305832"}}},
    )
    api.post(f"{at}/deployments", replicas("rolling", 1, image="other:1", labels=labels))
    found = api.when(f"{at}/deployments/rolling", complete(1))
    assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3546343826724305833"
    (only,) = api.until(lambda: len(found := pods_of(api, ns)) == 1 and found, "the old pod to be gone")
    assert only["spec"]["containers"][0]["image"] == "other:1"
    sets = {one["metadata"]["name"]: one for one in api.get(f"{at}/replicasets")["items"]}
    assert len(sets) == 2
    old = sets.pop("adopted")
    assert old["spec"]["replicas"] == 0
    assert old["metadata"]["ownerReferences"][0]["name"] == "rolling"
    (new,) = sets.values()
    assert new["spec"]["replicas"] == 1
    assert new["metadata"]["labels"]["pod-template-hash"] == new["spec"]["selector"]["matchLabels"]["pod-template-hash"]


@spec("[sig-apps] Deployment RecreateDeployment should delete old pods and create new ones")
def test_recreate(api: Api, ns: str) -> None:
    at = APPS.format(ns)
    body = replicas("recreate", 1)
    body["spec"]["strategy"] = {"type": "Recreate"}
    api.post(f"{at}/deployments", body)
    api.when(f"{at}/deployments/recreate", complete(1))
    revision = api.get(f"{CORE.format(ns)}/pods")["metadata"]["resourceVersion"]
    with api.watch(f"{CORE.format(ns)}/pods?watch=1&resourceVersion={revision}") as events:
        api.patch(
            f"{at}/deployments/recreate",
            {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "other:1"}]}}}},
            STRATEGIC,
        )
        gone = False
        while True:
            type_, found = events.next()
            new = found["spec"]["containers"][0]["image"] == "other:1"
            gone = gone or (type_ == "DELETED" and not new)
            assert gone or not new, "a new pod beside an old one"
            if new and found["status"].get("phase") == "Running":
                break
    api.when(f"{at}/deployments/recreate", complete(1))


@spec("[sig-apps] Deployment deployment should delete old replica sets")
def test_history_limit(api: Api, ns: str) -> None:
    at, labels = APPS.format(ns), {"name": "cleanup-pod", "pod": "httpd"}
    api.post(f"{at}/replicasets", replicas("cleanup-controller", 1, labels=labels))
    api.when(f"{at}/replicasets/cleanup-controller", complete(1))
    body = replicas("cleanup", 1, image="other:1", labels=labels)
    body["spec"]["revisionHistoryLimit"] = 0
    api.post(f"{at}/deployments", body)
    api.gone(f"{at}/replicasets/cleanup-controller")
    assert len(api.get(f"{at}/replicasets")["items"]) == 1


@spec("[sig-apps] Deployment deployment should support rollover")
def test_rollover(api: Api, ns: str) -> None:
    at, labels = APPS.format(ns), {"name": "rollover-pod", "pod": "httpd"}
    api.post(f"{at}/replicasets", replicas("rollover-controller", 1, labels=labels))
    api.when(f"{at}/replicasets/rollover-controller", complete(1))
    body = replicas("rollover", 1, image="never:1", labels=labels)
    body["spec"]["strategy"] = {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    body["spec"]["minReadySeconds"] = 1
    body["spec"]["template"]["spec"]["nodeSelector"] = {"nobody": "has"}
    api.post(f"{at}/deployments", body)
    api.when(f"{at}/deployments/rollover", lambda one: one["status"].get("updatedReplicas") == 1)
    assert api.get(f"{at}/replicasets/rollover-controller")["spec"]["replicas"] == 1
    template = body["spec"]["template"] | {
        "spec": {"containers": [{"name": "main", "image": "good:1"}], "nodeSelector": None}
    }
    api.patch(f"{at}/deployments/rollover", {"spec": {"template": template}})
    api.when(f"{at}/deployments/rollover", complete(1))
    api.until(
        lambda: [one["spec"]["containers"][0]["image"] for one in pods_of(api, ns)] == ["good:1"], "only new pods"
    )
    assert sorted(one["spec"]["replicas"] for one in api.get(f"{at}/replicasets")["items"]) == [0, 0, 1]


@spec("[sig-apps] Deployment deployment should support proportional scaling")
def test_proportional_scaling(api: Api, ns: str) -> None:
    at = APPS.format(ns)
    path = f"{at}/deployments/prop"
    body = replicas("prop", 10)
    body["spec"]["strategy"] = {"rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}
    api.post(f"{at}/deployments", body)
    first = api.when(path, complete(10))
    (old,) = names(api.get(f"{at}/replicasets"))
    selector = {"spec": {"template": {"spec": {"nodeSelector": {"nobody": "has"}}}}}
    api.patch(path, selector)
    api.when(f"{at}/replicasets/{old}", lambda one: one["status"].get("availableReplicas") == 8)

    def sizes() -> list[int]:
        sets = api.get(f"{at}/replicasets")["items"]
        assert len(sets) == 2
        sets.sort(key=lambda one: one["metadata"]["name"] != old)
        return [one["spec"]["replicas"] for one in sets]

    api.until(lambda: len(api.get(f"{at}/replicasets")["items"]) == 2)
    api.until(lambda: sizes() == [8, 5], f"8 old and 5 new, not {sizes()}")
    api.patch(path, {"spec": {"replicas": 30}})
    api.until(lambda: sizes() == [20, 13], "20 old and 13 new")
    assert api.get(path)["metadata"]["generation"] == first["metadata"]["generation"] + 2


@spec("[sig-apps] Deployment Deployment should have a working scale subresource")
def test_scale_of_a_deployment(api: Api, ns: str) -> None:
    path = f"{APPS.format(ns)}/deployments/scaled"
    api.post(f"{APPS.format(ns)}/deployments", replicas("scaled", 1))
    check_scale(api, path)


@spec("[sig-apps] ReplicaSet Replicaset should have a working scale subresource")
def test_scale_of_a_replicaset(api: Api, ns: str) -> None:
    path = f"{APPS.format(ns)}/replicasets/scaled"
    api.post(f"{APPS.format(ns)}/replicasets", replicas("scaled", 1))
    check_scale(api, path)


@spec("[sig-apps] ReplicationController should get and update a ReplicationController scale")
def test_scale_of_a_replicationcontroller(api: Api, ns: str) -> None:
    path = f"{CORE.format(ns)}/replicationcontrollers/scaled"
    api.post(f"{CORE.format(ns)}/replicationcontrollers", controller("scaled", 1))
    check_scale(api, path)


@spec("[sig-apps] Deployment should run the lifecycle of a Deployment")
def test_life_of_a_deployment(api: Api, ns: str) -> None:
    at = f"{APPS.format(ns)}/deployments"
    labels = {"test-deployment-static": "true"}
    body = replicas("test-deployment", 2, labels=labels)
    with api.watch(f"{at}?watch=1&labelSelector=test-deployment-static") as events:
        api.post(at, body)
        assert events.next()[0] == "ADDED"
        events.until("MODIFIED", holds=lambda one: one["status"].get("readyReplicas") == 2)
        patch = {
            "metadata": {"labels": {"test-deployment": "patched"}},
            "spec": {
                "replicas": 1,
                "template": {
                    "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": "x:1"}]}
                },
            },
        }
        api.patch(f"{at}/test-deployment", patch, STRATEGIC)
        events.until("MODIFIED", holds=lambda one: one["metadata"]["labels"].get("test-deployment") == "patched")
        events.until("MODIFIED", holds=complete(1))
        listed = api.get("/apis/apps/v1/deployments?labelSelector=test-deployment-static%3Dtrue")
        assert [(one["metadata"]["namespace"], one["metadata"]["name"]) for one in listed["items"]] == [
            (ns, "test-deployment")
        ]
        found = api.get(f"{at}/test-deployment/status")
        found["status"]["availableReplicas"] = 0
        found["metadata"]["labels"]["ignored"] = "by status"
        assert api.put(f"{at}/test-deployment/status", found)["status"].get("availableReplicas", 0) == 0
        api.patch(f"{at}/test-deployment/status", {"status": {"updatedReplicas": 0}})
        fetched = api.when(f"{at}/test-deployment", complete(1))
        assert "ignored" not in fetched["metadata"]["labels"]
        api.delete(f"{at}?labelSelector=test-deployment-static%3Dtrue")
        events.until("DELETED")
    assert api.get(at)["items"] == []


@spec("[sig-apps] Deployment should validate Deployment Status endpoints")
def test_status_of_a_deployment(api: Api, ns: str) -> None:
    path = f"{APPS.format(ns)}/deployments/d"
    api.post(f"{APPS.format(ns)}/deployments", replicas("d", 1))
    check_status(api, path)


@spec("[sig-apps] ReplicaSet should validate Replicaset Status endpoints")
def test_status_of_a_replicaset(api: Api, ns: str) -> None:
    path = f"{APPS.format(ns)}/replicasets/r"
    api.post(f"{APPS.format(ns)}/replicasets", replicas("r", 1))
    check_status(api, path)


def test_conditions_of_a_deployment_turn_when_they_change(api: Api, ns: str) -> None:
    path = f"{APPS.format(ns)}/deployments/d"
    body = replicas("d", 2)
    body["spec"]["strategy"] = {"rollingUpdate": {"maxUnavailable": 1}}  # two of three are enough
    api.post(f"{APPS.format(ns)}/deployments", body)
    found = api.when(path, lambda one: condition(one, "Available").get("status") == "True" and complete(2)(one))
    before = condition(found, "Available")
    assert before["reason"] == "MinimumReplicasAvailable"
    progressing = api.when(path, lambda one: condition(one, "Progressing").get("reason") == "NewReplicaSetAvailable")
    assert condition(progressing, "Progressing")["status"] == "True"
    api.patch(path, {"spec": {"replicas": 3}})
    after = condition(api.when(path, complete(3)), "Available")
    assert after["lastTransitionTime"] == before["lastTransitionTime"], "it was available all the time"
    api.patch(path, {"spec": {"paused": True}})
    api.when(path, lambda one: condition(one, "Progressing").get("reason") == "DeploymentPaused")
    api.patch(path, {"spec": {"paused": False}})
    api.when(path, lambda one: condition(one, "Progressing").get("reason") == "NewReplicaSetAvailable")


def test_a_deadline_for_progress(api: Api, ns: str, library: RunningCluster) -> None:
    path = f"{APPS.format(ns)}/deployments/stuck"
    body = replicas("stuck", 1)
    body["spec"]["progressDeadlineSeconds"] = 60
    body["spec"]["template"]["spec"]["nodeSelector"] = {"nobody": "has"}
    api.post(f"{APPS.format(ns)}/deployments", body)
    api.when(path, lambda one: condition(one, "Progressing"))
    library.clock.advance(seconds=70)
    found = api.when(path, lambda one: condition(one, "Progressing").get("status") == "False")
    assert condition(found, "Progressing")["reason"] == "ProgressDeadlineExceeded"


# -- replica sets and replication controllers


@pytest.mark.parametrize(("root", "plural"), [(APPS, "replicasets"), (CORE, "replicationcontrollers")])
@spec("[sig-apps] ReplicaSet should adopt matching pods on creation and release no longer matching pods")
@spec("[sig-apps] ReplicationController should adopt matching pods on creation")
@spec("[sig-apps] ReplicationController should release no longer matching pods")
def test_adoption_and_release(api: Api, ns: str, root: str, plural: str) -> None:
    pods = f"{CORE.format(ns)}/pods"
    before = api.post(pods, pod("pod-adoption", {"name": "adopt"}))
    body = (replicas if plural == "replicasets" else controller)("adopt", 1)
    owner = api.post(f"{root.format(ns)}/{plural}", body)
    adopted = api.when(f"{pods}/pod-adoption", lambda one: one["metadata"].get("ownerReferences"))
    assert adopted["metadata"]["uid"] == before["metadata"]["uid"]
    (reference,) = adopted["metadata"]["ownerReferences"]
    assert reference["uid"] == owner["metadata"]["uid"]
    assert reference["controller"]
    assert reference["blockOwnerDeletion"]
    api.when(f"{root.format(ns)}/{plural}/adopt", complete(1))
    assert len(pods_of(api, ns)) == 1, "the adopted one is enough"
    api.patch(f"{pods}/pod-adoption", {"metadata": {"labels": {"name": "other"}}})
    released = api.when(f"{pods}/pod-adoption", lambda one: not one["metadata"].get("ownerReferences"))
    assert released["metadata"]["uid"] == before["metadata"]["uid"]
    api.until(lambda: len(pods_of(api, ns)) == 2, "a replacement")


@spec("[sig-apps] ReplicaSet should serve a basic image on each replica with a public image")
@spec("[sig-apps] ReplicationController should serve a basic image on each replica with a public image")
def test_replicas_run(api: Api, ns: str) -> None:
    api.post(f"{APPS.format(ns)}/replicasets", replicas("basic-rs", 2))
    api.post(f"{CORE.format(ns)}/replicationcontrollers", controller("basic-rc", 2))
    for name in ("basic-rs", "basic-rc"):
        api.until(lambda name=name: sum(running(one) for one in pods_of(api, ns, f"name%3D{name}")) == 2)
    addresses = [one["status"]["podIP"] for one in pods_of(api, ns)]
    assert len(set(addresses)) == 4


@spec("[sig-apps] ReplicaSet Replace and Patch tests")
def test_replacing_and_patching_a_replicaset(api: Api, ns: str) -> None:
    at = f"{APPS.format(ns)}/replicasets"
    api.post(f"{CORE.format(ns)}/pods", pod("test-pod", {"name": "sample"}))
    api.post(at, replicas("test-rs", 1, labels={"name": "sample"}))
    api.when(f"{at}/test-rs", complete(1))
    api.patch(f"{at}/test-rs/scale", {"spec": {"replicas": 2}})
    api.when(f"{at}/test-rs", complete(2))
    patch = {
        "metadata": {"labels": {"test-rs": "patched"}},
        "spec": {
            "replicas": 3,
            "template": {
                "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": PAUSE}]}
            },
        },
    }
    found = api.patch(f"{at}/test-rs", patch, STRATEGIC)
    assert found["metadata"]["labels"]["test-rs"] == "patched"
    api.when(f"{at}/test-rs", complete(3))


@spec("[sig-apps] ReplicaSet should list and delete a collection of ReplicaSets")
def test_a_collection_of_replicasets(api: Api, ns: str) -> None:
    at = f"{APPS.format(ns)}/replicasets"
    api.post(at, replicas("test-rs", 3, labels={"e2e": f"rs-{ns}"}))
    listed = api.get(f"/apis/apps/v1/replicasets?labelSelector=e2e%3Drs-{ns}")
    assert names(listed) == ["test-rs"]
    api.delete(f"{at}?labelSelector=e2e%3Drs-{ns}")
    api.until(lambda: not api.get(at)["items"])
    api.until(lambda: not pods_of(api, ns))


@spec("[sig-apps] ReplicationController should test the lifecycle of a ReplicationController")
def test_life_of_a_replicationcontroller(api: Api, ns: str) -> None:
    at = f"{CORE.format(ns)}/replicationcontrollers"
    path = f"{at}/rc-test"
    labels = {"test-rc-static": "true"}
    with api.watch(f"{at}?watch=1&labelSelector=test-rc-static%3Dtrue") as events:
        api.post(at, controller("rc-test", 1, labels=labels))
        events.until("ADDED")
        events.until("MODIFIED", holds=lambda one: one["status"].get("readyReplicas") == 1)
        api.patch(path, {"metadata": {"labels": {"test-rc": "patched"}}}, STRATEGIC)
        events.until("MODIFIED", holds=lambda one: one["metadata"]["labels"].get("test-rc") == "patched")
        patched = api.patch(f"{path}/status", {"status": {"readyReplicas": 0, "availableReplicas": 0}}, STRATEGIC)
        assert patched["status"].get("readyReplicas", 0) == 0
        events.until("MODIFIED", holds=lambda one: one["status"].get("readyReplicas") == 1)
        status = api.get(f"{path}/status")
        assert (status["kind"], status["spec"]["replicas"]) == ("ReplicationController", 1)
        assert api.patch(f"{path}/scale", {"spec": {"replicas": 2}}, STRATEGIC)["spec"]["replicas"] == 2
        events.until("MODIFIED", holds=lambda one: one["status"].get("readyReplicas") == 2)
        assert "rc-test" in names(api.get("/api/v1/replicationcontrollers?labelSelector=test-rc-static%3Dtrue"))
        found = api.get(path)
        found["metadata"]["labels"]["updated"] = "yes"
        api.put(path, found)
        api.delete(f"{at}?labelSelector=test-rc-static%3Dtrue")
        events.until("DELETED")


@spec("[sig-apps] ControllerRevision [Serial] should manage the lifecycle of a ControllerRevision")
def test_life_of_a_controllerrevision(api: Api, ns: str) -> None:
    at = f"{APPS.format(ns)}/controllerrevisions"
    made = api.post(
        at, {"metadata": {"name": "first", "labels": {"e2e": "cr"}}, "data": {"spec": {"x": 1}}, "revision": 1}
    )
    assert (made["revision"], made["data"]) == (1, {"spec": {"x": 1}})
    assert api.patch(f"{at}/first", {"metadata": {"labels": {"first": "patched"}}})["metadata"]["labels"]["first"]
    api.post(at, {"metadata": {"name": "second", "labels": {"e2e": "cr"}}, "data": {"spec": {"x": 2}}, "revision": 2})
    found = api.get(f"{at}/second")
    found["revision"] = 3
    assert api.put(f"{at}/second", found)["revision"] == 3
    refused = api.send(
        "PATCH", f"{at}/second", [{"op": "replace", "path": "/data", "value": {}}], content_type=JSON_PATCH
    )
    assert (refused.status, refused.causes) == (422, [("data", "FieldValueInvalid")])
    assert names(api.get("/apis/apps/v1/controllerrevisions?labelSelector=e2e%3Dcr")) == ["first", "second"]
    api.delete(f"{at}/first")
    api.gone(f"{at}/first")
    api.delete(f"{at}?labelSelector=e2e%3Dcr")
    assert api.get(at)["items"] == []
