"""Where pods come to stand: predicates, priorities and preemption, limits and quotas of a namespace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conformance_api import JSON_PATCH, STRATEGIC, Api, names
from conformance_objects import configmap, controller, pod, replicas, service
from conformance_specs import spec

import navarch
from navarch.testing.cluster import RunningCluster

CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"


@pytest.fixture(scope="module")
def library() -> Iterator[RunningCluster]:
    """Of two small nodes that scheduling can fill."""
    machine = navarch.testing.machine.Machine(cpu="2", memory="4Gi", extra={"example.com/scarce": "5"})
    with navarch.Cluster(nodes=2, machine=machine) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def api(library: RunningCluster) -> Api:
    return Api(library.kubeconfig)


def core(ns: str, plural: str) -> str:
    return f"/api/v1/namespaces/{ns}/{plural}"


def asking(name: str, labels: Any = None, *, cpu: str = "", scarce: str = "", **spec_: Any) -> Any:
    body = pod(name, labels, **spec_)
    resources = {key: value for key, value in (("cpu", cpu), ("example.com/scarce", scarce)) if value}
    body["spec"]["containers"][0]["resources"] = {"requests": resources, "limits": resources}
    return body


def running(one: Any) -> bool:
    return bool(one["status"].get("phase") == "Running")


def unschedulable(one: Any) -> Any:
    return next(
        (
            found
            for found in one["status"].get("conditions", [])
            if (found["type"], found["status"], found.get("reason")) == ("PodScheduled", "False", "Unschedulable")
        ),
        None,
    )


def clear(api: Api, ns: str) -> None:
    api.delete(core(ns, "pods"), {"gracePeriodSeconds": 0})
    api.until(lambda: not api.get(core(ns, "pods"))["items"])


@spec("[sig-scheduling] SchedulerPredicates [Serial] validates resource limits of pods that are allowed to run")
def test_full_nodes_take_no_more(api: Api, ns: str) -> None:
    for number in range(2):
        api.post(core(ns, "pods"), asking(f"filler-{number}", cpu="1400m"))
    for number in range(2):
        api.when(core(ns, f"pods/filler-{number}"), running)
    api.post(core(ns, "pods"), asking("additional", cpu="700m"))
    found = unschedulable(api.when(core(ns, "pods/additional"), unschedulable))
    assert found["message"].startswith("0/2 nodes are available: 2 Insufficient cpu.")
    events = api.until(
        lambda: [
            one
            for one in api.get(f"{core(ns, 'events')}?fieldSelector=involvedObject.name%3Dadditional")["items"]
            if one["reason"] == "FailedScheduling"
        ]
    )
    assert "2 Insufficient cpu" in (events[0].get("message") or "")
    api.delete(core(ns, "pods/filler-0"), {"gracePeriodSeconds": 0})
    api.when(core(ns, "pods/additional"), running)
    clear(api, ns)


@spec("[sig-scheduling] SchedulerPredicates [Serial] validates that NodeSelector is respected if not matching")
@spec("[sig-scheduling] SchedulerPredicates [Serial] validates that NodeSelector is respected if matching")
def test_node_selectors(api: Api, ns: str) -> None:
    api.post(core(ns, "pods"), pod("restricted", nodeSelector={"label": "nonempty"}))
    found = unschedulable(api.when(core(ns, "pods/restricted"), unschedulable))
    assert "node(s) didn't match Pod's node affinity/selector" in found["message"]
    api.patch("/api/v1/nodes/node-1", {"metadata": {"labels": {"label": "nonempty"}}})
    assert api.when(core(ns, "pods/restricted"), running)["spec"]["nodeName"] == "node-1"
    api.patch("/api/v1/nodes/node-1", {"metadata": {"labels": {"label": None}}})
    clear(api, ns)


@spec(
    "[sig-scheduling] SchedulerPredicates [Serial] validates that there exists conflict between pods with same "
    "hostPort and protocol but one using 0.0.0.0 hostIP"
)
@spec(
    "[sig-network] HostPort validates that there is no conflict between pods with same hostPort but different "
    "hostIP and protocol [LinuxOnly]"
)
def test_ports_of_the_host(api: Api, ns: str) -> None:
    def on_port(name: str, address: str, protocol: str = "TCP") -> Any:
        body = pod(name, nodeSelector={"kubernetes.io/hostname": "node-0"})
        port = {"containerPort": 8080, "hostPort": 54321, "hostIP": address, "protocol": protocol}
        body["spec"]["containers"][0]["ports"] = [port]
        return body

    api.post(core(ns, "pods"), on_port("pod1", "127.0.0.1"))
    api.post(core(ns, "pods"), on_port("pod2", "172.16.0.1"))
    api.post(core(ns, "pods"), on_port("pod3", "172.16.0.1", "UDP"))
    for name in ("pod1", "pod2", "pod3"):
        api.when(core(ns, f"pods/{name}"), running)
    api.post(core(ns, "pods"), on_port("pod4", ""))
    found = unschedulable(api.when(core(ns, "pods/pod4"), unschedulable))
    assert "1 node(s) didn't have free ports for the requested pod ports" in found["message"]
    clear(api, ns)


@spec(
    "[sig-scheduling] SchedulerPreemption [Serial] PriorityClass endpoints verify PriorityClass endpoints can be "
    "operated with different HTTP methods"
)
def test_priority_classes(api: Api, ns: str) -> None:
    for name, value in (("p1", 1), ("p2", 2)):
        api.post(CLASSES, {"metadata": {"name": name}, "value": value})
    assert api.get(f"{CLASSES}/p1")["preemptionPolicy"] == "PreemptLowerPriority"
    assert {"p1", "p2", "system-cluster-critical", "system-node-critical"} <= set(names(api.get(CLASSES)))
    for body, type_ in (({"value": 5}, STRATEGIC), ([{"op": "replace", "path": "/value", "value": 5}], JSON_PATCH)):
        refused = api.send("PATCH", f"{CLASSES}/p1", body, content_type=type_)
        assert (refused.status, refused.causes) == (422, [("value", "FieldValueForbidden")])
    assert api.patch(f"{CLASSES}/p1", {"description": "changed"})["description"] == "changed"
    too_high = api.send("POST", CLASSES, {"metadata": {"name": "high"}, "value": 1_000_000_001})
    assert too_high.status in (403, 422)
    for name in ("p1", "p2"):
        api.delete(f"{CLASSES}/{name}")
    refused = api.send("POST", core(ns, "pods"), pod("p", priorityClassName="p1"))
    assert (refused.status, refused.reason) == (403, "Forbidden")


@pytest.fixture(scope="module")
def classes(api: Api) -> None:
    for name, value in (("low", 1), ("medium", 100), ("high", 1000)):
        api.post(CLASSES, {"metadata": {"name": name}, "value": value})


@pytest.mark.usefixtures("classes")
@spec("[sig-scheduling] SchedulerPreemption [Serial] validates basic preemption works")
def test_preemption(api: Api, ns: str) -> None:
    for number in range(2):
        body = asking(f"victim-{number}", scarce="4", priorityClassName="low" if number == 0 else "medium")
        body["spec"]["nodeSelector"] = {"kubernetes.io/hostname": f"node-{number}"}
        api.post(core(ns, "pods"), body)
        api.when(core(ns, f"pods/victim-{number}"), running)
    api.post(core(ns, "pods"), asking("preemptor", scarce="4", priorityClassName="high"))
    found = api.when(core(ns, "pods/preemptor"), running)
    assert found["spec"]["nodeName"] == "node-0"
    assert found["spec"]["priority"] == 1000
    assert api.send("GET", core(ns, "pods/victim-0")).status == 404
    assert running(api.get(core(ns, "pods/victim-1")))
    clear(api, ns)


@pytest.mark.usefixtures("classes")
@spec("[sig-scheduling] SchedulerPreemption [Serial] validates lower priority pod preemption by critical pod")
def test_critical_pods_preempt(api: Api, ns: str) -> None:
    for number, class_ in enumerate(("medium", "low")):
        api.post(core(ns, "pods"), asking(f"v{number}", scarce="4", priorityClassName=class_))
        api.when(core(ns, f"pods/v{number}"), running)
    critical = asking("critical", scarce="4", priorityClassName="system-cluster-critical")
    api.post(core("kube-system", "pods"), critical)
    api.when(core("kube-system", "pods/critical"), running)
    assert names(api.get(core(ns, "pods"))) == ["v0"]
    api.delete(core("kube-system", "pods/critical"), {"gracePeriodSeconds": 0})
    clear(api, ns)


@pytest.mark.usefixtures("classes")
@spec("[sig-scheduling] SchedulerPreemption [Serial] validates pod disruption condition is added to the preempted pod")
def test_why_a_victim_went(api: Api, ns: str) -> None:
    body = asking("victim", scarce="5", priorityClassName="low", nodeSelector={"kubernetes.io/hostname": "node-1"})
    body["metadata"]["finalizers"] = ["example.com/test-finalizer"]
    api.post(core(ns, "pods"), body)
    api.when(core(ns, "pods/victim"), running)
    preemptor = asking(
        "preemptor", scarce="5", priorityClassName="high", nodeSelector={"kubernetes.io/hostname": "node-1"}
    )
    api.post(core(ns, "pods"), preemptor)

    def disrupted(one: Any) -> Any:
        return next((c for c in one["status"].get("conditions", []) if c["type"] == "DisruptionTarget"), None)

    found = disrupted(
        api.when(core(ns, "pods/victim"), lambda one: one["metadata"].get("deletionTimestamp") and disrupted(one))
    )
    assert (found["status"], found["reason"]) == ("True", "PreemptionByScheduler")
    api.patch(core(ns, "pods/victim"), {"metadata": {"finalizers": None}})
    api.gone(core(ns, "pods/victim"))
    api.when(core(ns, "pods/preemptor"), running)
    clear(api, ns)


@pytest.mark.usefixtures("classes")
@spec(
    "[sig-scheduling] SchedulerPreemption [Serial] PreemptionExecutionPath runs ReplicaSets to verify preemption "
    "running path"
)
def test_sets_that_preempt(api: Api, ns: str) -> None:
    at = f"/apis/apps/v1/namespaces/{ns}/replicasets"
    for name, count, scarce, class_ in (("rs1", 4, "1", "low"), ("rs2", 2, "1", "medium"), ("rs3", 1, "5", "high")):
        body = replicas(name, count)
        template = body["spec"]["template"]["spec"]
        template |= {"priorityClassName": class_, "nodeSelector": {"kubernetes.io/hostname": "node-0"}}
        amounts = {"example.com/scarce": scarce}
        template["containers"][0]["resources"] = {"requests": amounts, "limits": amounts}
        api.post(at, body)
        api.when(f"{at}/{name}", lambda one, count=count: one["status"].get("readyReplicas") == count)
    for name in ("rs1", "rs2"):
        assert api.get(f"{at}/{name}")["status"].get("readyReplicas", 0) == 0
    for name in ("rs1", "rs2", "rs3"):
        api.delete(f"{at}/{name}")
    api.until(lambda: not api.get(core(ns, "pods"))["items"])


# -- taints


@spec("[sig-node] NoExecuteTaintManager Single Pod [Serial] removing taint cancels eviction [Disruptive]")
def test_a_taint_that_is_taken_back(api: Api, ns: str, library: RunningCluster) -> None:
    toleration = {
        "key": "kubernetes.io/e2e-evict-taint-key",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 300,
    }
    api.post(core(ns, "pods"), pod("stays", tolerations=[toleration], nodeName="node-0"))
    api.when(core(ns, "pods/stays"), running)
    taint = {"key": "kubernetes.io/e2e-evict-taint-key", "value": "evictTaintVal", "effect": "NoExecute"}
    api.patch("/api/v1/nodes/node-0", {"spec": {"taints": [taint]}})
    api.post(core(ns, "pods"), pod("goes", nodeName="node-0"))
    api.gone(core(ns, "pods/goes"))
    assert "deletionTimestamp" not in api.get(core(ns, "pods/stays"))["metadata"]
    api.patch("/api/v1/nodes/node-0", {"spec": {"taints": None}})
    library.clock.advance(seconds=310)
    assert running(api.get(core(ns, "pods/stays")))
    clear(api, ns)


@spec("[sig-node] NoExecuteTaintManager Multiple Pods [Serial] evicts pods with minTolerationSeconds [Disruptive]")
def test_pods_go_when_their_patience_ends(api: Api, ns: str) -> None:
    for name, seconds in (("first", 1), ("second", 60)):
        toleration = {"key": "e2e", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}
        api.post(core(ns, "pods"), pod(name, tolerations=[toleration], nodeName="node-1"))
        api.when(core(ns, f"pods/{name}"), running)
    api.patch("/api/v1/nodes/node-1", {"spec": {"taints": [{"key": "e2e", "value": "x", "effect": "NoExecute"}]}})
    api.gone(core(ns, "pods/first"))
    assert "deletionTimestamp" not in api.get(core(ns, "pods/second"))["metadata"]
    api.patch("/api/v1/nodes/node-1", {"spec": {"taints": None}})
    clear(api, ns)


# -- limits and quotas


@spec("[sig-scheduling] LimitRange should create a LimitRange with defaults and ensure pod has those defaults applied.")
def test_limits(api: Api, ns: str) -> None:
    at = core(ns, "limitranges")
    limit = {
        "type": "Container",
        "min": {"cpu": "50m", "memory": "100Mi"},
        "max": {"cpu": "500m", "memory": "500Mi"},
        "default": {"cpu": "500m", "memory": "500Mi"},
        "defaultRequest": {"cpu": "100m", "memory": "200Mi"},
    }
    with api.watch(f"{at}?watch=1") as events:
        api.post(at, {"metadata": {"name": "limit-range"}, "spec": {"limits": [limit]}})
        assert events.next()[0] == "ADDED"
    made = api.post(core(ns, "pods"), pod("no-resources"))
    resources = made["spec"]["containers"][0]["resources"]
    assert resources == {"requests": limit["defaultRequest"], "limits": limit["default"]}
    partial = pod("partial")
    partial["spec"]["containers"][0]["resources"] = {"requests": {"memory": "150Mi"}, "limits": {"cpu": "300m"}}
    resources = api.post(core(ns, "pods"), partial)["spec"]["containers"][0]["resources"]
    assert resources["requests"] == {"cpu": "300m", "memory": "150Mi"}
    assert resources["limits"] == {"cpu": "300m", "memory": "500Mi"}
    for name, amounts in (
        ("small", {"requests": {"cpu": "10m", "memory": "50Mi"}}),
        ("large", {"limits": {"cpu": "600m"}}),
    ):
        wrong = pod(name)
        wrong["spec"]["containers"][0]["resources"] = amounts
        refused = api.send("POST", core(ns, "pods"), wrong)
        assert (refused.status, refused.reason) == (403, "Forbidden"), name
        assert "usage per Container is" in refused.message
    found = api.get(f"{at}/limit-range")
    found["spec"]["limits"][0]["min"] = {"cpu": "9m", "memory": "49Mi"}
    api.put(f"{at}/limit-range", found)
    small = pod("small")
    small["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "10m", "memory": "50Mi"}}
    assert api.send("POST", core(ns, "pods"), small).status == 201
    api.delete(f"{at}/limit-range")
    assert "limits" not in api.post(core(ns, "pods"), pod("free"))["spec"]["containers"][0]["resources"]
    clear(api, ns)


@spec("[sig-scheduling] LimitRange should list, patch and delete a LimitRange by collection")
def test_collections_of_limits(api: Api, ns: str) -> None:
    at = core(ns, "limitranges")
    limit = {"type": "Container", "max": {"cpu": "500m"}}
    for number in range(2):
        api.post(at, {"metadata": {"name": f"l{number}", "labels": {"e2e": "yes"}}, "spec": {"limits": [limit]}})
    patch = {
        "metadata": {"labels": {"l0": "patched"}},
        "spec": {"limits": [{"type": "Container", "default": {"cpu": "400m"}}]},
    }
    found = api.patch(f"{at}/l0", patch, STRATEGIC)
    assert found["spec"]["limits"][0]["default"] == {"cpu": "400m"}
    assert names(api.get("/api/v1/limitranges?labelSelector=e2e%3Dyes")) == ["l0", "l1"]
    api.delete(f"{at}?labelSelector=l0%3Dpatched")
    assert names(api.get(at)) == ["l1"]


def test_quotas_are_held(api: Api, ns: str) -> None:
    hard = {"pods": "2", "services": "1", "configmaps": "2", "requests.cpu": "500m"}
    api.post(core(ns, "resourcequotas"), {"metadata": {"name": "test-quota"}, "spec": {"hard": hard}})
    bare = api.send("POST", core(ns, "pods"), pod("bare"))
    assert (bare.status, bare.reason) == (403, "Forbidden")
    assert "must specify requests.cpu" in bare.message
    api.post(core(ns, "pods"), asking("one", cpu="300m"))
    refused = api.send("POST", core(ns, "pods"), asking("two", cpu="300m"))
    assert refused.status == 403
    assert (
        "exceeded quota: test-quota, requested: requests.cpu=300m, used: requests.cpu=300m, limited: requests.cpu=500m"
        in (refused.message)
    )
    api.post(core(ns, "services"), service("s", {"a": "b"}))
    assert api.send("POST", core(ns, "services"), service("t", {"a": "b"})).status == 403
    api.post(core(ns, "configmaps"), configmap("c"))
    assert api.send("POST", core(ns, "configmaps"), configmap("d")).status == 403
    clear(api, ns)


@spec("[sig-apps] ReplicationController should surface a failure condition on a common issue like exceeded quota")
def test_failures_of_replicas_are_told(api: Api, ns: str) -> None:
    api.post(core(ns, "resourcequotas"), {"metadata": {"name": "condition-test"}, "spec": {"hard": {"pods": "2"}}})
    path = core(ns, "replicationcontrollers/condition-test")
    api.post(core(ns, "replicationcontrollers"), controller("condition-test", 3))

    def failure(one: Any) -> Any:
        return next((c for c in one["status"].get("conditions", []) if c["type"] == "ReplicaFailure"), None)

    found = failure(api.when(path, failure))
    assert (found["status"], found["reason"]) == ("True", "FailedCreate")
    assert "exceeded quota" in found["message"]
    api.patch(path, {"spec": {"replicas": 2}})
    api.when(path, lambda one: not failure(one))
