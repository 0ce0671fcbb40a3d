"""Pods as documents: their life, their status, their environment by admission, and what stands beside them."""

from __future__ import annotations

from typing import Any

from conformance_api import JSON_PATCH, STRATEGIC, Api, names
from conformance_objects import configmap, pod, service
from conformance_specs import spec

from navarch.testing.cluster import RunningCluster


def core(ns: str, plural: str) -> str:
    return f"/api/v1/namespaces/{ns}/{plural}"


def running(one: Any) -> bool:
    return bool(one["status"].get("phase") == "Running")


@spec("[sig-node] Pods should be submitted and removed [NodeConformance]")
def test_a_pod_comes_and_goes(api: Api, ns: str) -> None:
    at = core(ns, "pods")
    listed = api.get(f"{at}?labelSelector=time%3D1")
    assert listed["items"] == []
    with api.watch(
        f"{at}?watch=1&labelSelector=time%3D1&resourceVersion={listed['metadata']['resourceVersion']}"
    ) as events:
        body = pod("pod-submit-remove", {"name": "foo", "time": "1"})
        api.post(at, body)
        assert events.next()[0] == "ADDED"
        api.when(f"{at}/pod-submit-remove", running)
        deleted = api.delete(f"{at}/pod-submit-remove", {"gracePeriodSeconds": 30})
        assert deleted["metadata"]["deletionTimestamp"]
        assert deleted["metadata"]["deletionGracePeriodSeconds"] == 30
        assert deleted["spec"]["terminationGracePeriodSeconds"] == 30
        last = events.until("DELETED")
        assert last["metadata"]["deletionTimestamp"]


@spec("[sig-node] Pods should be updated [NodeConformance]")
def test_labels_of_a_pod(api: Api, ns: str) -> None:
    at = core(ns, "pods")
    made = api.post(at, pod("pod-update", {"time": "1"}))
    api.when(f"{at}/pod-update", running)
    found = api.patch(f"{at}/pod-update", {"metadata": {"labels": {"time": "2"}}})
    assert names(api.get(f"{at}?labelSelector=time%3D2")) == ["pod-update"]
    assert found["metadata"]["generation"] == made["metadata"]["generation"]


@spec("[sig-node] Pods should allow activeDeadlineSeconds to be updated [NodeConformance]")
def test_a_deadline_that_is_set_later(api: Api, ns: str, library: RunningCluster) -> None:
    path = core(ns, "pods/deadline")
    api.post(core(ns, "pods"), pod("deadline"))
    api.when(path, running)
    assert api.patch(path, {"spec": {"activeDeadlineSeconds": 5}})["spec"]["activeDeadlineSeconds"] == 5
    library.clock.advance(seconds=10)
    found = api.when(path, lambda one: one["status"]["phase"] == "Failed")
    assert found["status"]["reason"] == "DeadlineExceeded"


@spec("[sig-node] Pods should get a host IP [NodeConformance]")
def test_addresses(api: Api, ns: str) -> None:
    api.post(core(ns, "pods"), pod("addressed"))
    status = api.when(core(ns, "pods/addressed"), running)["status"]
    node = api.get(f"/api/v1/nodes/{api.get(core(ns, 'pods/addressed'))['spec']['nodeName']}")
    internal = next(one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP")
    assert status["hostIP"] == internal
    assert status["hostIPs"] == [{"ip": internal}]
    assert status["podIPs"] == [{"ip": status["podIP"]}]


@spec("[sig-node] Pods should delete a collection of pods")
def test_a_collection_of_pods(api: Api, ns: str) -> None:
    at = core(ns, "pods")
    for number in range(3):
        api.post(at, pod(f"test-pod-{number}", {"type": "Testing"}))
    api.post(at, pod("stays"))
    answer = api.delete(f"{at}?labelSelector=type%3DTesting", {"gracePeriodSeconds": 0})
    assert (answer["kind"], len(answer["items"])) == ("PodList", 3)
    api.until(lambda: names(api.get(at)) == ["stays"])


@spec("[sig-node] Pods should patch a pod status")
def test_status_of_a_pod_is_patched(api: Api, ns: str) -> None:
    path = core(ns, "pods/pod-patch")
    api.post(core(ns, "pods"), pod("pod-patch", nodeSelector={"nobody": "has"}))
    patch = {
        "metadata": {"annotations": {"no": "matter"}},
        "status": {"message": "Patched by e2e test", "reason": "E2E"},
    }
    found = api.patch(f"{path}/status", patch)
    assert (found["status"]["message"], found["status"]["reason"]) == ("Patched by e2e test", "E2E")
    assert api.get(path)["status"]["message"] == "Patched by e2e test"


@spec("[sig-node] Pods should run through the lifecycle of Pods and PodStatus")
def test_life_of_a_pod(api: Api, ns: str) -> None:
    at = core(ns, "pods")
    labels = {"test-pod-static": "true"}
    with api.watch(f"{at}?watch=1&labelSelector=test-pod-static%3Dtrue") as events:
        api.post(at, pod("pod-test", labels, terminationGracePeriodSeconds=1))
        events.until("ADDED")
        events.until("MODIFIED", holds=running)
        patch = {
            "metadata": {"labels": {"test-pod": "patched"}},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "main", "image": "other:1"}]},
        }
        api.patch(f"{at}/pod-test", patch, STRATEGIC)
        found = events.until("MODIFIED", holds=lambda one: one["metadata"]["labels"].get("test-pod") == "patched")
        assert found["spec"]["containers"][0]["image"] == "other:1"
        status = api.get(f"{at}/pod-test/status")
        now = {
            "type": "Ready",
            "status": "False",
            "reason": "E2E",
            "message": "Set from e2e test",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        status["status"]["conditions"] = [
            now if one["type"] == "Ready" else one for one in status["status"]["conditions"]
        ]
        del status["metadata"]["resourceVersion"]
        written = api.put(f"{at}/pod-test/status", status)
        assert next(one for one in written["status"]["conditions"] if one["type"] == "Ready")["reason"] == "E2E"
        listed = api.get("/api/v1/pods?labelSelector=test-pod-static%3Dtrue")
        assert (ns, "pod-test") in [(one["metadata"]["namespace"], one["metadata"]["name"]) for one in listed["items"]]
        api.delete(f"{at}?labelSelector=test-pod-static%3Dtrue")
        events.until("DELETED")
    assert api.send("GET", f"{at}/pod-test").status == 404


@spec(
    "[sig-node] Pods Extended Pods Set QOS Class should be set on Pods with matching resource requests and "
    "limits for memory and cpu"
)
def test_classes_of_service(api: Api, ns: str) -> None:
    both = {"cpu": "100m", "memory": "100Mi"}
    for name, resources, wanted in (
        ("guaranteed", {"requests": both, "limits": both}, "Guaranteed"),
        ("limits-only", {"limits": both}, "Guaranteed"),
        ("burstable", {"requests": {"cpu": "100m"}}, "Burstable"),
        ("best", {}, "BestEffort"),
    ):
        body = pod(name)
        body["spec"]["containers"][0]["resources"] = resources
        assert api.post(core(ns, "pods"), body)["status"]["qosClass"] == wanted, name


@spec(
    "[sig-node] Pods Extended (pod generation) Pod Generation pod generation should start at 1 and increment per "
    "update [MinimumKubeletVersion:1.34]"
)
def test_generations(api: Api, ns: str) -> None:
    at, path = core(ns, "pods"), core(ns, "pods/counted")
    made = api.post(at, pod("counted", activeDeadlineSeconds=5000))
    assert made["metadata"]["generation"] == 1
    api.when(path, running)
    steps: list[tuple[dict[str, Any], int]] = [
        ({"spec": {"containers": [{"name": "main", "image": "second:1"}]}}, 2),
        ({"spec": {"activeDeadlineSeconds": 4000}}, 3),
        ({"metadata": {"annotations": {"x": "y"}}}, 3),
        ({"metadata": {"generation": 77}}, 3),
    ]
    for patch, wanted in steps:
        assert api.patch(path, patch, STRATEGIC)["metadata"]["generation"] == wanted
    tolerations = api.get(path)["spec"]["tolerations"]
    tolerations.append({"key": "foo", "operator": "Exists", "effect": "NoSchedule"})
    assert api.patch(path, {"spec": {"tolerations": tolerations}})["metadata"]["generation"] == 4
    api.when(path, lambda one: one["status"].get("observedGeneration") == 4)


@spec("[sig-node] Pods Extended (pod generation) Pod Generation custom-set generation on new pods and graceful delete")
def test_generations_that_clients_set(api: Api, ns: str) -> None:
    at = core(ns, "pods")
    body = pod("own")
    body["metadata"]["generation"] = 100
    body["metadata"]["finalizers"] = ["example.com/hold"]
    assert api.post(at, body)["metadata"]["generation"] == 1
    api.when(f"{at}/own", running)
    assert api.delete(f"{at}/own")["metadata"]["generation"] == 2
    api.patch(f"{at}/own", {"metadata": {"finalizers": None}})
    api.gone(f"{at}/own")


@spec(
    "[sig-node] Pods Extended (pod generation) Pod Generation issue 500 podspec updates and verify generation "
    "and observedGeneration eventually converge [MinimumKubeletVersion:1.34]"
)
def test_many_generations(api: Api, ns: str) -> None:
    path = core(ns, "pods/many")
    api.post(core(ns, "pods"), pod("many"))
    for number in range(500):
        patch = {"spec": {"containers": [{"name": "main", "image": f"x:{number}"}]}}
        found = api.patch(path, patch, STRATEGIC)
    assert found["metadata"]["generation"] == 501
    api.when(path, lambda one: one["status"].get("observedGeneration") == 501)


@spec("[sig-node] Ephemeral Containers [NodeConformance] will start an ephemeral container in an existing pod")
@spec("[sig-node] Ephemeral Containers [NodeConformance] should update the ephemeral containers in an existing pod")
def test_ephemeral_containers(api: Api, ns: str) -> None:
    path = core(ns, "pods/debugged")
    api.post(core(ns, "pods"), pod("debugged"))
    api.when(path, running)
    patch = {
        "spec": {
            "ephemeralContainers": [
                {"name": "debugger", "image": "busybox", "command": ["/bin/sh"], "stdin": True, "tty": True}
            ]
        }
    }
    found = api.patch(f"{path}/ephemeralcontainers", patch, STRATEGIC)
    assert found["spec"]["ephemeralContainers"][0]["terminationMessagePolicy"] == "File"
    api.when(
        path, lambda one: any("running" in s["state"] for s in one["status"].get("ephemeralContainerStatuses", []))
    )
    more = [{"op": "add", "path": "/spec/ephemeralContainers/-", "value": {"name": "second", "image": "busybox"}}]
    found = api.patch(f"{path}/ephemeralcontainers", more, JSON_PATCH)
    assert [one["name"] for one in found["spec"]["ephemeralContainers"]] == ["debugger", "second"]
    for wrong in (
        [{"op": "remove", "path": "/spec/ephemeralContainers/0"}],
        [{"op": "replace", "path": "/spec/ephemeralContainers/0/image", "value": "other"}],
    ):
        assert api.send("PATCH", f"{path}/ephemeralcontainers", wrong, content_type=JSON_PATCH).status == 422
    assert api.send("PATCH", path, patch | {"spec": {"ephemeralContainers": []}}, content_type=STRATEGIC).status in (
        200,
        422,
    )
    assert len(api.get(path)["spec"]["ephemeralContainers"]) == 2


@spec("[sig-node] Pods should contain environment variables for services [NodeConformance]")
def test_links_are_asked_for(api: Api, ns: str) -> None:
    api.post(core(ns, "services"), service("fooservice", {"name": "srv"}, ports=[{"port": 8765, "targetPort": 8080}]))
    made = api.post(core(ns, "pods"), pod("client"))
    assert made["spec"]["enableServiceLinks"] is True


# -- what stands beside pods


@spec("[sig-node] PodTemplates should run the lifecycle of PodTemplates")
@spec("[sig-node] PodTemplates should replace a pod template")
@spec("[sig-node] PodTemplates should delete a collection of pod templates")
def test_podtemplates(api: Api, ns: str) -> None:
    at = core(ns, "podtemplates")
    body = {
        "metadata": {"name": "nginx", "labels": {"set": "one"}},
        "template": {"spec": {"containers": [{"name": "nginx", "image": "nginx"}]}},
    }
    api.post(at, body)
    assert "nginx" in names(api.get("/api/v1/podtemplates?labelSelector=set%3Done"))
    found = api.patch(f"{at}/nginx", {"metadata": {"labels": {"podtemplate": "patched"}}}, STRATEGIC)
    assert found["metadata"]["labels"] == {"set": "one", "podtemplate": "patched"}
    assert found["template"]["spec"]["restartPolicy"] == "Always"
    found["metadata"]["annotations"] = {"updated": "true"}
    assert api.put(f"{at}/nginx", found)["metadata"]["annotations"] == {"updated": "true"}
    api.delete(f"{at}/nginx")
    assert api.send("GET", f"{at}/nginx").status == 404
    for number in range(3):
        api.post(at, {**body, "metadata": {"name": f"t{number}", "labels": {"set": "two"}}})
    api.delete(f"{at}?labelSelector=set%3Dtwo")
    assert names(api.get(at)) == []


@spec("[sig-node] Lease lease API should be available")
def test_leases(api: Api, ns: str) -> None:
    at = f"/apis/coordination.k8s.io/v1/namespaces/{ns}/leases"
    times = {"acquireTime": "2026-01-01T00:00:00.000000Z", "renewTime": "2026-01-01T00:00:05.000000Z"}
    wanted = {"holderIdentity": "holder", "leaseDurationSeconds": 30, "leaseTransitions": 0, **times}
    assert api.post(at, {"metadata": {"name": "lease", "labels": {"a": "b"}}, "spec": wanted})["spec"] == wanted
    found = api.get(f"{at}/lease")
    assert found["spec"] == wanted
    found["spec"] |= {"holderIdentity": "holder2", "leaseDurationSeconds": 20, "leaseTransitions": 1}
    assert api.put(f"{at}/lease", found)["spec"]["holderIdentity"] == "holder2"
    patched = api.patch(f"{at}/lease", {"spec": {"leaseTransitions": 2, "leaseDurationSeconds": 42}}, STRATEGIC)
    assert (patched["spec"]["leaseDurationSeconds"], patched["spec"]["holderIdentity"]) == (42, "holder2")
    api.post(at, {"metadata": {"name": "lease2", "labels": {"a": "b"}}, "spec": wanted})
    assert names(api.get(f"{at}?labelSelector=a%3Db")) == ["lease", "lease2"]
    api.delete(f"{at}?labelSelector=a%3Db")
    assert api.get(at)["items"] == []
    refused = api.send("POST", at, {"metadata": {"name": "bad"}, "spec": {"leaseDurationSeconds": 0}})
    assert (refused.status, refused.causes) == (422, [("spec.leaseDurationSeconds", "FieldValueInvalid")])


@spec("[sig-node] ConfigMap should run through a ConfigMap lifecycle")
@spec("[sig-node] ConfigMap should update ConfigMap successfully [NodeConformance]")
def test_life_of_a_configmap(api: Api, ns: str) -> None:
    at = core(ns, "configmaps")
    with api.watch(f"{at}?watch=1&labelSelector=test-configmap-static%3Dtrue") as events:
        made = api.post(at, configmap("test-configmap", {"test-configmap-static": "true"}, valueName="value"))
        assert events.next()[0] == "ADDED"
        patched = api.patch(
            f"{at}/test-configmap",
            {"metadata": {"labels": {"test-configmap": "patched"}}, "data": {"valueName": "value1"}},
            STRATEGIC,
        )
        assert events.next() == ("MODIFIED", patched)
        assert patched["data"]["valueName"] == "value1"
        listed = api.get("/api/v1/configmaps?labelSelector=test-configmap-static%3Dtrue")
        assert (ns, "test-configmap") in [(o["metadata"]["namespace"], o["metadata"]["name"]) for o in listed["items"]]
        assert api.send("PUT", f"{at}/test-configmap", made).status == 409
        patched["data"] = {"data": "value"}
        assert api.put(f"{at}/test-configmap", patched)["data"] == {"data": "value"}
        assert events.next()[0] == "MODIFIED"
        api.delete(f"{at}?labelSelector=test-configmap-static%3Dtrue")
        assert events.next()[0] == "DELETED"


@spec("[sig-node] ConfigMap should fail to create ConfigMap with empty key")
@spec("[sig-node] Secrets should fail to create secret due to empty secret key")
def test_empty_keys(api: Api, ns: str) -> None:
    for plural, value in (("configmaps", "value-1"), ("secrets", "dmFsdWU=")):
        for key in ("", "a/b", "..", "x" * 254):
            refused = api.send("POST", core(ns, plural), {"metadata": {"name": "empty"}, "data": {key: value}})
            assert refused.status == 422, (plural, key)
            assert refused.causes[0][0].startswith("data[")
        assert api.send("GET", core(ns, f"{plural}/empty")).status == 404


@spec("[sig-node] Secrets should patch a secret")
def test_life_of_a_secret(api: Api, ns: str) -> None:
    at = core(ns, "secrets")
    api.post(
        at,
        {
            "metadata": {"name": "test", "labels": {"testsecret-constant": "true"}},
            "data": {"key": "dmFsdWU="},
            "type": "Opaque",
        },
    )
    assert "test" in names(api.get("/api/v1/secrets?labelSelector=testsecret-constant%3Dtrue"))
    patch = {"metadata": {"labels": {"testsecret": "true"}}, "data": {"key": "dmFsdWUtMQ=="}}
    found = api.patch(f"{at}/test", patch, STRATEGIC)
    assert (found["metadata"]["labels"]["testsecret"], found["data"]["key"]) == ("true", "dmFsdWUtMQ==")
    found = api.patch(f"{at}/test", {"stringData": {"plain": "text"}})
    assert "stringData" not in found
    assert found["data"]["plain"] == "dGV4dA=="
    refused = api.send("PATCH", f"{at}/test", {"type": "other"}, content_type=STRATEGIC)
    assert (refused.status, refused.causes) == (422, [("type", "FieldValueInvalid")])
    assert names(api.get(f"{at}?fieldSelector=type%3DOpaque")) == ["test"]
    api.delete(f"{at}?labelSelector=testsecret%3Dtrue")
    assert names(api.get(at)) == []


@spec("[sig-storage] ConfigMap should be immutable if `immutable` field is set")
@spec("[sig-storage] Secrets should be immutable if `immutable` field is set")
def test_what_is_immutable(api: Api, ns: str) -> None:
    for plural, one, two in (("configmaps", "a", "b"), ("secrets", "YQ==", "Yg==")):
        path = core(ns, f"{plural}/frozen")
        api.post(core(ns, plural), {"metadata": {"name": "frozen"}, "data": {"k": one}})
        api.patch(path, {"data": {"k": two}})
        api.patch(path, {"immutable": True})
        for patch in ({"data": {"k": one}}, {"data": {"more": one}}, {"immutable": False}, {"immutable": None}):
            refused = api.send("PATCH", path, patch, content_type=STRATEGIC)
            assert (refused.status, refused.reason) == (422, "Invalid"), (plural, patch)
        assert api.patch(path, {"metadata": {"labels": {"x": "y"}}})["metadata"]["labels"] == {"x": "y"}
        api.delete(path)
        api.gone(path)


@spec("[sig-node] Sysctls [LinuxOnly] [NodeConformance] should reject invalid sysctls")
def test_sysctls(api: Api, ns: str) -> None:
    found = [("foo-", "bar"), ("kernel.shmmax", "100000000"), ("safe-and-unsafe", "100000000"), ("bar..", "42")]
    sysctls = [{"name": name, "value": value} for name, value in found]
    refused = api.send("POST", core(ns, "pods"), pod("sysctl", securityContext={"sysctls": sysctls}))
    assert refused.status == 422
    assert [field for field, _ in refused.causes] == [
        f"spec.securityContext.sysctls[{number}].name" for number in (0, 3)
    ]
    for name in ("foo-", "bar.."):
        assert f'Invalid value: "{name}"' in refused.message


RUNTIMES = "/apis/node.k8s.io/v1/runtimeclasses"


@spec("[sig-node] RuntimeClass should reject a Pod requesting a non-existent RuntimeClass [NodeConformance]")
@spec("[sig-node] RuntimeClass should reject a Pod requesting a deleted RuntimeClass [NodeConformance]")
def test_runtime_classes_that_are_not_there(api: Api, ns: str) -> None:
    refused = api.send("POST", core(ns, "pods"), pod("p", runtimeClassName="nonexistent"))
    assert (refused.status, refused.reason) == (403, "Forbidden")
    assert 'RuntimeClass "nonexistent" not found' in refused.message
    api.post(RUNTIMES, {"metadata": {"name": "gone"}, "handler": "runc"})
    api.delete(f"{RUNTIMES}/gone")
    api.gone(f"{RUNTIMES}/gone")
    assert api.send("POST", core(ns, "pods"), pod("p", runtimeClassName="gone")).status == 403


@spec(
    "[sig-node] RuntimeClass should schedule a Pod requesting a RuntimeClass and initialize its Overhead "
    "[NodeConformance]"
)
@spec("[sig-node] RuntimeClass should schedule a Pod requesting a RuntimeClass without PodOverhead [NodeConformance]")
def test_what_a_runtime_costs(api: Api, ns: str) -> None:
    overhead = {"cpu": "10m", "memory": "1Mi"}
    api.post(RUNTIMES, {"metadata": {"name": "costly"}, "handler": "runc", "overhead": {"podFixed": overhead}})
    api.post(RUNTIMES, {"metadata": {"name": "free"}, "handler": "runc"})
    assert api.post(core(ns, "pods"), pod("costly", runtimeClassName="costly"))["spec"]["overhead"] == overhead
    assert "overhead" not in api.post(core(ns, "pods"), pod("free", runtimeClassName="free"))["spec"]
    for name in ("costly", "free"):
        api.when(core(ns, f"pods/{name}"), running)


@spec("[sig-node] RuntimeClass should support RuntimeClasses API operations")
def test_life_of_a_runtime_class(api: Api, ns: str) -> None:
    labels = {"test": f"rc-{ns}"}
    group = api.get("/apis/node.k8s.io")
    assert "node.k8s.io/v1" in [one["groupVersion"] for one in group["versions"]]
    api.post(RUNTIMES, {"metadata": {"name": f"a-{ns}", "labels": labels}, "handler": "h"})
    assert api.send("POST", RUNTIMES, {"metadata": {"name": f"a-{ns}"}, "handler": "h"}).status == 409
    listed = api.get(f"{RUNTIMES}?labelSelector=test%3Drc-{ns}")
    with api.watch(f"{RUNTIMES}?watch=1&resourceVersion={listed['metadata']['resourceVersion']}") as events:
        patched = api.patch(f"{RUNTIMES}/a-{ns}", {"metadata": {"annotations": {"patched": "true"}}})
        patched["metadata"]["annotations"]["updated"] = "true"
        api.put(f"{RUNTIMES}/a-{ns}", patched)
        assert [one["metadata"]["annotations"] for _, one in events.take(2)] == [
            {"patched": "true"},
            {"patched": "true", "updated": "true"},
        ]
    refused = api.send("PATCH", f"{RUNTIMES}/a-{ns}", {"handler": "other"}, content_type=STRATEGIC)
    assert refused.status == 422
    api.delete(f"{RUNTIMES}?labelSelector=test%3Drc-{ns}")
    assert api.get(f"{RUNTIMES}?labelSelector=test%3Drc-{ns}")["items"] == []


@spec("[sig-node] Node Lifecycle should run through the lifecycle of a node")
def test_life_of_a_node(api: Api) -> None:
    body = {"metadata": {"name": "e2e-fake-node"}, "spec": {"unschedulable": True}}
    made = api.post("/api/v1/nodes", body)
    path = "/api/v1/nodes/e2e-fake-node"
    assert made["metadata"]["name"] == "e2e-fake-node"
    assert api.patch(path, {"metadata": {"labels": {"e2e-fake-node": "patched"}}}, STRATEGIC)["metadata"]["labels"]

    def update() -> Any:
        found = api.get(path)
        found["metadata"]["labels"]["e2e-fake-node"] = "updated"
        return api.send("PUT", path, found).status == 200

    api.until(update)
    condition = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}

    def status() -> Any:
        found = api.get(f"{path}/status")
        found["status"].setdefault("conditions", []).append(condition)
        return api.send("PUT", f"{path}/status", found).status == 200

    api.until(status)
    assert names(api.get("/api/v1/nodes?labelSelector=e2e-fake-node%3Dupdated")) == ["e2e-fake-node"]
    api.delete("/api/v1/nodes?labelSelector=e2e-fake-node%3Dupdated")
    api.gone(path)
    assert len(api.get("/api/v1/nodes")["items"]) == 2


@spec("[sig-architecture] Conformance Tests should have at least two untainted nodes")
def test_two_nodes(api: Api) -> None:
    nodes = api.get("/api/v1/nodes")["items"]
    assert len([node for node in nodes if not node["spec"].get("taints")]) >= 2
