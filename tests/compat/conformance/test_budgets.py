"""Disruption budgets and the evictions that they hold up."""

from __future__ import annotations

from typing import Any

from conformance_api import STRATEGIC, Api, names
from conformance_objects import pod, replicas
from conformance_specs import spec

POLICY = "/apis/policy/v1/namespaces/{}/poddisruptionbudgets"
LABELS = {"foo": "bar"}


def budget(name: str = "foo", **more: Any) -> dict[str, Any]:
    found = {"selector": {"matchLabels": LABELS}, **more}
    return {"metadata": {"name": name, "labels": {"name": name}}, "spec": found}


def observed(found: Any) -> bool:
    return bool(found["status"].get("observedGeneration", 0) >= found["metadata"]["generation"])


def run_pods(api: Api, ns: str, count: int) -> None:
    at = f"/api/v1/namespaces/{ns}/pods"
    for number in range(count):
        api.post(at, pod(f"rs-{number}", LABELS))
    api.when(at, lambda found: sum(one["status"].get("phase") == "Running" for one in found["items"]) == count)


@spec("[sig-apps] DisruptionController should create a PodDisruptionBudget")
def test_life_of_a_budget(api: Api, ns: str) -> None:
    at = POLICY.format(ns)
    api.post(at, budget(minAvailable="1%"))
    assert api.when(f"{at}/foo", observed)["spec"]["minAvailable"] == "1%"
    found = api.get(f"{at}/foo")
    found["spec"]["minAvailable"] = "2%"
    assert api.put(f"{at}/foo", found)["spec"]["minAvailable"] == "2%"
    api.when(f"{at}/foo", observed)
    assert api.patch(f"{at}/foo", {"spec": {"minAvailable": "3%"}}, STRATEGIC)["spec"]["minAvailable"] == "3%"
    api.delete(f"{at}/foo")
    api.gone(f"{at}/foo")


@spec("[sig-apps] DisruptionController should observe PodDisruptionBudget status updated")
def test_status_follows_pods(api: Api, ns: str) -> None:
    api.post(POLICY.format(ns), budget(minAvailable=1))
    run_pods(api, ns, 3)
    found = api.when(f"{POLICY.format(ns)}/foo", lambda one: one["status"].get("disruptionsAllowed", 0) == 2)
    status = found["status"]
    assert (status["currentHealthy"], status["desiredHealthy"], status["expectedPods"]) == (3, 1, 3)
    condition = next(one for one in status["conditions"] if one["type"] == "DisruptionAllowed")
    assert (condition["status"], condition["reason"]) == ("True", "SufficientPods")


@spec("[sig-apps] DisruptionController should update/patch PodDisruptionBudget status")
def test_status_of_a_budget(api: Api, ns: str) -> None:
    path = f"{POLICY.format(ns)}/foo"
    api.post(POLICY.format(ns), budget(minAvailable=1))
    run_pods(api, ns, 1)
    api.when(path, lambda one: one["status"].get("currentHealthy") == 1)
    found = api.get(f"{path}/status")
    found["status"]["observedGeneration"] = 0
    found["status"]["disruptionsAllowed"] = 3
    found["metadata"]["annotations"] = {"patched": "with it"}
    found["spec"]["minAvailable"] = 7
    written = api.put(f"{path}/status", found)
    assert written["status"]["disruptionsAllowed"] == 3
    assert written["metadata"]["annotations"] == {"patched": "with it"}
    assert written["spec"]["minAvailable"] == 1
    patched = api.patch(f"{path}/status", {"status": {"disruptedPods": {"rs-0": "2026-01-01T00:00:00Z"}}})
    assert "rs-0" in patched["status"]["disruptedPods"]
    api.when(path, lambda one: one["status"].get("disruptionsAllowed", 0) == 0 and observed(one))


@spec("[sig-apps] DisruptionController should block an eviction until the PDB is updated to allow it")
def test_evictions_wait_for_the_budget(api: Api, ns: str) -> None:
    at, pods = POLICY.format(ns), f"/api/v1/namespaces/{ns}/pods"
    api.post(at, budget(minAvailable=2))
    run_pods(api, ns, 2)
    api.when(f"{at}/foo", lambda one: one["status"].get("currentHealthy") == 2)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "rs-0", "namespace": ns}}
    refused = api.send("POST", f"{pods}/rs-0/eviction", eviction)
    assert (refused.status, refused.reason) == (429, "TooManyRequests")
    assert refused.message == "Cannot evict pod as it would violate the pod's disruption budget."
    (cause,) = refused.json["details"]["causes"]
    assert cause["reason"] == "DisruptionBudget"
    assert api.send("GET", f"{pods}/rs-0").status == 200
    api.patch(f"{at}/foo", {"spec": {"minAvailable": 1}})
    api.when(f"{at}/foo", lambda one: one["status"].get("disruptionsAllowed", 0) == 1 and observed(one))
    assert api.send("POST", f"{pods}/rs-0/eviction?dryRun=All", eviction).status == 201
    assert api.send("GET", f"{pods}/rs-0").status == 200
    made = api.send("POST", f"{pods}/rs-0/eviction", eviction)
    assert (made.status, made.json["status"]) == (201, "Success")
    api.gone(f"{pods}/rs-0")
    assert api.send("POST", f"{pods}/rs-1/eviction", {**eviction, "metadata": {"name": "rs-1"}}).status == 429
    api.delete(f"{at}/foo")
    api.gone(f"{at}/foo")
    assert api.send("POST", f"{pods}/rs-1/eviction", {**eviction, "metadata": {"name": "rs-1"}}).status == 201
    api.gone(f"{pods}/rs-1")
    assert api.send("POST", f"{pods}/rs-1/eviction", {**eviction, "metadata": {"name": "rs-1"}}).status == 404


@spec(
    "[sig-apps] DisruptionController Listing PodDisruptionBudgets for all namespaces should list and delete a "
    "collection of PodDisruptionBudgets"
)
def test_a_collection_of_budgets(api: Api, ns: str) -> None:
    other = f"{ns}-other"
    api.post("/api/v1/namespaces", {"metadata": {"name": other}})
    api.post(POLICY.format(ns), budget("foo", minAvailable="1%"))
    api.post(POLICY.format(ns), budget("foo2", minAvailable="2%"))
    api.post(POLICY.format(other), budget("foo3", minAvailable="1%"))
    found = api.get("/apis/policy/v1/poddisruptionbudgets")["items"]
    assert {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in found} >= {
        (ns, "foo"),
        (ns, "foo2"),
        (other, "foo3"),
    }
    api.delete(POLICY.format(ns))
    api.until(lambda: not api.get(POLICY.format(ns))["items"])
    assert names(api.get(POLICY.format(other))) == ["foo3"]
    refused = api.send("POST", POLICY.format(ns), budget("both", minAvailable=1, maxUnavailable=1))
    assert (refused.status, refused.causes) == (422, [("spec", "FieldValueInvalid")])


def test_shares_are_of_what_controllers_want(api: Api, ns: str) -> None:
    at = f"/apis/apps/v1/namespaces/{ns}/replicasets"
    api.post(at, replicas("rs", 10, labels=LABELS))
    api.post(POLICY.format(ns), budget(maxUnavailable="30%"))
    found = api.when(f"{POLICY.format(ns)}/foo", lambda one: one["status"].get("disruptionsAllowed") == 3)
    assert (found["status"]["desiredHealthy"], found["status"]["expectedPods"]) == (7, 10)
