"""Who owns which field where one object has several faces: versions, subresources, and the two ways of applying."""

from __future__ import annotations

import json
from typing import Any

from conformance_api import APPLY, STRATEGIC, Api
from conformance_objects import configmap, replicas

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def entries(found: Any) -> dict[tuple[str, str, str], Any]:
    return {
        (one["manager"], one["operation"], one.get("subresource", "")): one["fieldsV1"]
        for one in found["metadata"].get("managedFields", ())
    }


def scaler(version: str, name: str, **spec: Any) -> dict[str, Any]:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    return {
        "apiVersion": f"autoscaling/{version}",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name},
        "spec": {"scaleTargetRef": target, "maxReplicas": 5, **spec},
    }


def test_applying_in_either_version_of_a_kind(api: Api, ns: str) -> None:
    old, new = (f"/apis/autoscaling/{v}/namespaces/{ns}/horizontalpodautoscalers" for v in ("v1", "v2"))
    made = api.apply(f"{old}/h", scaler("v1", "h", minReplicas=2, targetCPUUtilizationPercentage=60), "one")
    assert made.status == 201, made.body
    assert made.json["apiVersion"] == "autoscaling/v1"
    assert api.get(f"{new}/h")["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 60
    again = api.apply(f"{old}/h", scaler("v1", "h", minReplicas=2, targetCPUUtilizationPercentage=60), "one")
    assert again.json["spec"] == made.json["spec"]
    assert entries(again.json)["one", "Apply", ""] == entries(made.json)["one", "Apply", ""]
    other = api.apply(f"{new}/h", scaler("v2", "h", minReplicas=3), "two")
    assert (other.status, other.reason) == (409, "Conflict")
    assert other.causes == [(".spec.minReplicas", "FieldManagerConflict")]
    assert api.apply(f"{new}/h", scaler("v2", "h", minReplicas=3), "two", force=True).status == 200
    assert "f:minReplicas" not in entries(api.get(f"{old}/h"))["one", "Apply", ""]["f:spec"]
    assert api.apply(f"{new}/h", scaler("v2", "h"), "one").status == 200
    given_up = api.get(f"{old}/h")["spec"]["targetCPUUtilizationPercentage"]
    assert given_up == 80, "given up in the other version, so that it is the default again"
    assert api.get(f"{old}/h")["spec"]["minReplicas"] == 3
    put = api.get(f"{old}/h")
    put["spec"]["maxReplicas"] = 9
    found = api.put(f"{old}/h?fieldManager=three", put)
    assert entries(found)["three", "Update", ""] == {"f:spec": {"f:maxReplicas": {}}}


def test_both_faces_of_an_event(api: Api, ns: str) -> None:
    old, new = f"/api/v1/namespaces/{ns}/events", f"/apis/events.k8s.io/v1/namespaces/{ns}/events"
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "e"},
        "regarding": {"kind": "Pod", "name": "p", "namespace": ns},
        "eventTime": "2026-01-02T03:04:05.000006Z",
        "reportingController": "example.com/tests",
        "reportingInstance": "one",
        "action": "Tried",
        "reason": "Tried",
        "type": "Normal",
        "note": "it was",
    }
    made = api.apply(f"{new}/e", event, "one")
    assert made.status == 201, made.body
    assert api.get(f"{old}/e")["message"] == "it was"
    said = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "message": "it was not"}
    refused = api.apply(f"{old}/e", said, "two")
    assert refused.status == 409
    assert api.apply(f"{old}/e", said, "two", force=True).status == 200
    assert api.get(f"{new}/e")["note"] == "it was not"


def test_versions_of_a_custom_kind(api: Api, ns: str) -> None:
    group = "faces.example.com"
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}},
    }
    versions = [
        {"name": name, "served": True, "storage": name == "v1", "schema": {"openAPIV3Schema": schema}}
        for name in ("v1", "v2")
    ]
    names = {"plural": "masks", "kind": "Mask"}
    api.post(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        {
            "metadata": {"name": f"masks.{group}"},
            "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": versions},
        },
    )
    old, new = (f"/apis/{group}/{version}/namespaces/{ns}/masks/m" for version in ("v1", "v2"))
    api.until(lambda: api.send("GET", new.removesuffix("/m")).status == 200)

    def mask(version: str, **spec: int) -> dict[str, Any]:
        return {"apiVersion": f"{group}/{version}", "kind": "Mask", "metadata": {"name": "m"}, "spec": spec}

    assert api.apply(new, mask("v2", a=1, b=1), "one").status == 201
    assert api.get(old)["spec"] == {"a": 1, "b": 1}
    refused = api.apply(old, mask("v1", a=2), "two")
    assert (refused.status, refused.causes) == (409, [(".spec.a", "FieldManagerConflict")])
    assert api.apply(old, mask("v1", a=2), "two", force=True).status == 200
    assert api.apply(old, mask("v1"), "one").status == 200
    assert api.get(new)["spec"] == {"a": 2}


def test_applying_subresources(api: Api, ns: str) -> None:
    path = f"/apis/apps/v1/namespaces/{ns}/deployments/d"
    body = {"apiVersion": "apps/v1", "kind": "Deployment", **replicas("d", 0)}
    assert api.apply(path, body, "owner").status == 201
    status = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}}
    mine = [{"type": "Mine", "status": "True"}]
    told = api.apply(f"{path}/status", {**status, "status": {"conditions": mine}}, "teller")
    assert told.status == 200, told.body
    assert 'k:{"type":"Mine"}' in entries(told.json)["teller", "Apply", "status"]["f:status"]["f:conditions"]
    kept = api.apply(path, body, "owner").json
    assert mine[0]["type"] in [one["type"] for one in kept["status"]["conditions"]], "the main resource has no status"
    api.apply(f"{path}/status", status, "teller")
    left = api.get(path)
    assert "Mine" not in [one["type"] for one in left["status"].get("conditions", [])]
    assert ("teller", "Apply", "status") not in entries(left)
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": 1}}
    refused = api.apply(f"{path}/scale", scale, "scaler")
    assert (refused.status, refused.reason) == (409, "Conflict")
    assert api.apply(f"{path}/scale", scale, "scaler", force=True).status == 200
    assert entries(api.get(path))["scaler", "Apply", "scale"] == {"f:spec": {"f:replicas": {}}}
    found = api.apply(path, body, "owner")
    assert (found.status, found.causes) == (409, [(".spec.replicas", "FieldManagerConflict")])
    del body["spec"]["replicas"]
    assert api.apply(path, body, "owner").json["spec"]["replicas"] == 1


def test_from_client_side_to_server_side(api: Api, ns: str) -> None:
    """What kubectl does, one request after the other."""
    path = f"/apis/apps/v1/namespaces/{ns}/deployments"
    body = {"apiVersion": "apps/v1", "kind": "Deployment", **replicas("d", 0)}
    body["metadata"]["namespace"] = ns
    body["spec"]["minReadySeconds"] = 3
    remembered = {**body, "metadata": {**body["metadata"], "annotations": {LAST_APPLIED: json.dumps(body) + "\n"}}}
    api.post(f"{path}?fieldManager=kubectl-client-side-apply", remembered)
    api.patch(f"{path}/d?fieldManager=somebody", {"spec": {"minReadySeconds": 4}}, STRATEGIC)
    body["spec"]["replicas"] = 1
    refused = api.apply(f"{path}/d", body, "other")
    assert refused.status == 409, "only kubectl may take over what its own annotation names"
    assert (".spec.minReadySeconds", "FieldManagerConflict") in refused.causes
    assert '"kubectl-client-side-apply"' in refused.message or "kubectl-client-side-apply" in refused.body.decode()
    refused = api.apply(f"{path}/d", body, "kubectl")
    assert (refused.status, refused.causes) == (409, [(".spec.minReadySeconds", "FieldManagerConflict")])
    body["spec"]["minReadySeconds"] = 4
    taken = api.apply(f"{path}/d", body, "kubectl").json
    assert taken["spec"]["replicas"] == 1
    assert json.loads(taken["metadata"]["annotations"][LAST_APPLIED])["spec"]["minReadySeconds"] == 4, "the way back"
    owned = entries(taken)
    assert "f:minReadySeconds" in owned["somebody", "Update", ""]["f:spec"], "who says the same shares it"
    assert "f:minReadySeconds" in owned["kubectl", "Apply", ""]["f:spec"]


def test_ownership_can_be_edited_as_kubectl_migrates_it(api: Api, ns: str) -> None:
    """kubectl gives what `kubectl-client-side-apply` owns to the applier by a JSON patch that tests the revision."""
    path = f"/api/v1/namespaces/{ns}/configmaps"
    made = api.post(f"{path}?fieldManager=kubectl-client-side-apply", configmap("c", a="1", b="1"))
    mine = {**made["metadata"]["managedFields"][0], "manager": "kubectl", "operation": "Apply"}
    steps = [
        {"op": "replace", "path": "/metadata/managedFields", "value": [mine]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": made["metadata"]["resourceVersion"]},
    ]
    moved = api.patch(f"{path}/c?fieldManager=x", steps, "application/json-patch+json")
    assert list(entries(moved)) == [("kubectl", "Apply", "")]
    stale = api.send("PATCH", f"{path}/c", steps, content_type="application/json-patch+json")
    assert stale.status == 409
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
    assert api.apply(f"{path}/c", body, "kubectl").json["data"] == {"a": "1"}, "what is no longer applied goes"
    wrong = [{**mine, "fieldsV1": {"f:data": 1}}]
    bad = api.send(
        "PATCH", f"{path}/c", {"metadata": {"managedFields": wrong}}, content_type="application/merge-patch+json"
    )
    assert bad.status < 500
    assert api.send("PATCH", f"{path}/c?fieldManager=kubectl", body, content_type=APPLY).status == 200
