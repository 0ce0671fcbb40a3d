"""The garbage collector, and namespaces that go."""

from __future__ import annotations

import pytest
from conformance_api import Api, names
from conformance_objects import configmap, controller, pod, replicas, service
from conformance_specs import spec

from navarch.testing.cluster import RunningCluster

RC = "/api/v1/namespaces/{}/replicationcontrollers"
DEPLOYMENTS = "/apis/apps/v1/namespaces/{}/deployments"
REPLICASETS = "/apis/apps/v1/namespaces/{}/replicasets"


def pods_of(api: Api, ns: str) -> list[str]:
    return names(api.get(f"/api/v1/namespaces/{ns}/pods"))


def rc_with_pods(api: Api, ns: str, count: int) -> str:
    api.post(RC.format(ns), controller("gc", count))
    path = f"{RC.format(ns)}/gc"
    api.when(path, lambda found: found["status"].get("readyReplicas") == count)
    return path


@spec("[sig-api-machinery] Garbage collector should delete pods created by rc when not orphaning")
def test_pods_of_a_controller_go_with_it(api: Api, ns: str) -> None:
    path = rc_with_pods(api, ns, 3)
    api.delete(path, {"propagationPolicy": "Background"})
    api.gone(path)
    api.until(lambda: not pods_of(api, ns), "the pods to be collected")


@spec("[sig-api-machinery] Garbage collector should orphan pods created by rc if delete options say so [Serial]")
def test_orphans_of_a_controller_stay(api: Api, ns: str, library: RunningCluster) -> None:
    path = rc_with_pods(api, ns, 5)
    before = sorted(pods_of(api, ns))
    api.delete(path, {"propagationPolicy": "Orphan"})
    api.gone(path)
    library.clock.advance(seconds=30)
    found = api.get(f"/api/v1/namespaces/{ns}/pods")["items"]
    assert sorted(pod["metadata"]["name"] for pod in found) == before
    assert all("ownerReferences" not in pod["metadata"] for pod in found)


@spec("[sig-api-machinery] Garbage collector should delete RS created by deployment when not orphaning")
def test_replicasets_go_with_their_deployment(api: Api, ns: str) -> None:
    api.post(DEPLOYMENTS.format(ns), replicas("gc", 2))
    api.when(REPLICASETS.format(ns), lambda found: found["items"])
    api.delete(f"{DEPLOYMENTS.format(ns)}/gc", {"propagationPolicy": "Background"})
    api.until(lambda: not names(api.get(REPLICASETS.format(ns))), "the ReplicaSets to be collected")
    api.until(lambda: not pods_of(api, ns), "the pods to be collected")


@spec(
    "[sig-api-machinery] Garbage collector should orphan RS created by deployment when "
    "deleteOptions.PropagationPolicy is Orphan"
)
def test_orphaned_replicasets_stay(api: Api, ns: str, library: RunningCluster) -> None:
    api.post(DEPLOYMENTS.format(ns), replicas("gc", 2))
    api.when(REPLICASETS.format(ns), lambda found: found["items"])
    api.delete(f"{DEPLOYMENTS.format(ns)}/gc", {"propagationPolicy": "Orphan"})
    api.gone(f"{DEPLOYMENTS.format(ns)}/gc")
    library.clock.advance(seconds=30)
    (left,) = api.get(REPLICASETS.format(ns))["items"]
    assert not left["metadata"].get("ownerReferences")


@spec(
    "[sig-api-machinery] Garbage collector should keep the rc around until all its pods are deleted if the "
    "deleteOptions says so [Serial]"
)
def test_foreground(api: Api, ns: str) -> None:
    path = rc_with_pods(api, ns, 4)
    held = pods_of(api, ns)[0]
    api.patch(f"/api/v1/namespaces/{ns}/pods/{held}", {"metadata": {"finalizers": ["example.com/hold"]}})
    api.delete(path, {"propagationPolicy": "Foreground"})
    found = api.get(path)
    assert found["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert found["metadata"]["deletionTimestamp"]
    api.until(lambda: pods_of(api, ns) == [held], "all pods but the held one to go")
    assert api.send("GET", path).status == 200
    api.patch(f"/api/v1/namespaces/{ns}/pods/{held}", {"metadata": {"finalizers": None}})
    api.gone(path)
    assert pods_of(api, ns) == []


@spec(
    "[sig-api-machinery] Garbage collector should not delete dependents that have both valid owner and owner "
    "that's waiting for dependents to be deleted [Serial]"
)
def test_a_second_owner_keeps_dependents(api: Api, ns: str, library: RunningCluster) -> None:
    doomed = rc_with_pods(api, ns, 4)
    stay = api.post(RC.format(ns), controller("stay", 0))
    reference = {"apiVersion": "v1", "kind": "ReplicationController", "name": "stay", "uid": stay["metadata"]["uid"]}
    shared = sorted(pods_of(api, ns))[:2]
    for name in shared:
        path = f"/api/v1/namespaces/{ns}/pods/{name}"
        owners = api.get(path)["metadata"]["ownerReferences"]
        api.patch(path, {"metadata": {"ownerReferences": [*owners, reference]}})
    api.delete(doomed, {"propagationPolicy": "Foreground"})
    api.gone(doomed)
    library.clock.advance(seconds=10)
    assert sorted(pods_of(api, ns)) == shared
    for name in shared:
        owners = api.get(f"/api/v1/namespaces/{ns}/pods/{name}")["metadata"]["ownerReferences"]
        assert [owner["name"] for owner in owners] == ["stay"]


@spec("[sig-api-machinery] Garbage collector should not be blocked by dependency circle")
def test_a_circle_of_owners(api: Api, ns: str) -> None:
    at = f"/api/v1/namespaces/{ns}/pods"
    uids = {name: api.post(at, pod(name))["metadata"]["uid"] for name in ("pod1", "pod2", "pod3")}
    for name, owner in (("pod1", "pod3"), ("pod2", "pod1"), ("pod3", "pod2")):
        reference = {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": owner,
            "uid": uids[owner],
            "controller": True,
            "blockOwnerDeletion": True,
        }
        api.patch(f"{at}/{name}", {"metadata": {"ownerReferences": [reference]}})
    api.delete(f"{at}/pod1", {"propagationPolicy": "Foreground"})
    api.until(lambda: not pods_of(api, ns), "the circle to be collected")


def test_owners_that_never_were_and_owners_of_elsewhere(api: Api, ns: str, library: RunningCluster) -> None:
    at = f"/api/v1/namespaces/{ns}/configmaps"
    other = api.post("/api/v1/namespaces/default/configmaps", configmap(f"owner-{ns}"))
    for name, uid in (("ghost", "6d7ab6f5-5d5f-4a4e-9f5e-000000000000"), (f"owner-{ns}", other["metadata"]["uid"])):
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid}
        body = configmap(f"of-{name}")
        body["metadata"]["ownerReferences"] = [reference]
        api.post(at, body)
    api.gone(f"{at}/of-ghost")
    api.gone(f"{at}/of-owner-{ns}")
    assert api.send("GET", f"/api/v1/namespaces/default/configmaps/owner-{ns}").status == 200


# -- namespaces


@spec("[sig-api-machinery] Namespaces [Serial] should patch a Namespace")
@spec("[sig-api-machinery] Namespaces [Serial] should apply an update to a Namespace")
def test_changing_a_namespace(api: Api, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}"
    found = api.patch(path, {"metadata": {"labels": {"testLabel": "testValue"}}})
    assert found["metadata"]["labels"] == {"testLabel": "testValue", "kubernetes.io/metadata.name": ns}
    found["metadata"]["labels"]["updated"] = ns
    assert api.put(path, found)["metadata"]["labels"]["updated"] == ns
    assert api.patch(path, {"metadata": {"labels": None}})["metadata"]["labels"] == {"kubernetes.io/metadata.name": ns}
    assert api.send("PUT", path, found).status == 409


@spec("[sig-api-machinery] Namespaces [Serial] should apply changes to a namespace status")
def test_status_of_a_namespace(api: Api, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/status"
    assert api.get(path)["status"]["phase"] == "Active"
    condition = {"type": "StatusPatch", "status": "True", "reason": "E2E", "message": "Patched by an e2e test"}
    found = api.patch(path, {"metadata": {"annotations": {"x": "y"}}, "status": {"conditions": [condition]}})
    assert found["status"]["conditions"][0]["type"] == "StatusPatch"
    assert found["status"]["phase"] == "Active"
    condition["type"] = "StatusUpdate"
    found["status"]["conditions"].append(condition)
    found = api.put(path, found)
    assert [one["type"] for one in found["status"]["conditions"]] == ["StatusPatch", "StatusUpdate"]


@spec("[sig-api-machinery] Namespaces [Serial] should apply a finalizer to a Namespace")
def test_finalizers_of_a_namespace(api: Api) -> None:
    name = "finalized"
    found = api.post("/api/v1/namespaces", {"metadata": {"name": name}})
    assert found["spec"]["finalizers"] == ["kubernetes"]
    path = f"/api/v1/namespaces/{name}"
    found["spec"]["finalizers"].append("e2e.example.com/fake")
    found = api.put(f"{path}/finalize", found)
    assert found["spec"]["finalizers"] == ["kubernetes", "e2e.example.com/fake"]
    api.delete(path)
    held = api.when(path, lambda one: one["spec"]["finalizers"] == ["e2e.example.com/fake"])
    assert held["status"]["phase"] == "Terminating"
    held["spec"]["finalizers"] = []
    api.put(f"{path}/finalize", held)
    api.gone(path)


@spec("[sig-api-machinery] Namespaces [Serial] should ensure that all pods are removed when a namespace is deleted")
@spec("[sig-api-machinery] Namespaces [Serial] should ensure that all services are removed when a namespace is deleted")
def test_everything_goes_with_its_namespace(api: Api, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}"
    api.post(f"{path}/pods", pod("test-pod"))
    api.post(f"{path}/services", service("test-service", {"a": "b"}))
    api.when(f"{path}/pods/test-pod", lambda found: found["status"].get("phase") == "Running")
    deleted = api.delete(path)
    assert deleted["status"]["phase"] == "Terminating"
    refused = api.send("POST", f"{path}/configmaps", configmap("late"))
    assert refused.status in (403, 404)
    api.gone(path)
    api.post("/api/v1/namespaces", {"metadata": {"name": ns}})
    for plural in ("pods", "services"):
        assert names(api.get(f"{path}/{plural}")) == []


@spec("[sig-api-machinery] OrderedNamespaceDeletion namespace deletion should delete pod first")
def test_pods_go_first(api: Api, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}"
    held = pod("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    api.post(f"{path}/pods", held)
    api.post(f"{path}/configmaps", configmap("later"))
    api.when(f"{path}/pods/held", lambda found: found["status"].get("phase") == "Running")
    api.delete(path)
    api.when(f"{path}/pods/held", lambda found: found["metadata"].get("deletionTimestamp"))

    def told(found: dict) -> object:
        kinds = {one["type"]: one for one in found["status"].get("conditions", [])}
        return kinds.get("NamespaceDeletionContentFailure", {}).get("status") == "True" or (
            kinds.get("NamespaceContentRemaining", {}).get("status") == "True"
        )

    api.when(path, told)
    assert api.send("GET", f"{path}/configmaps/later").status == 200, "only pods are deleted while there are any"
    api.patch(f"{path}/pods/held", {"metadata": {"finalizers": None}})
    api.gone(path)


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public", "kube-node-lease"])
def test_namespaces_that_stay(api: Api, name: str) -> None:
    if name != "kube-node-lease":
        assert api.send("DELETE", f"/api/v1/namespaces/{name}").status == 403
    assert api.get(f"/api/v1/namespaces/{name}")["status"]["phase"] == "Active"


def test_a_deletion_that_is_only_tried_changes_nothing(api: Api, ns: str) -> None:
    path = rc_with_pods(api, ns, 1)
    before = api.get(path)
    for policy in ("Background", "Foreground", "Orphan"):
        api.delete(f"{path}?dryRun=All&propagationPolicy={policy}")
    api.delete(f"/api/v1/namespaces/{ns}?dryRun=All")
    assert api.get(path)["metadata"] == before["metadata"]
    assert api.get(f"/api/v1/namespaces/{ns}")["status"]["phase"] == "Active"
