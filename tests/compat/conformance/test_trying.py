"""Dry runs of every verb: answered as if it were done, and nothing is stored, reserved or set off."""

from __future__ import annotations

from typing import Any

import pytest
from conformance_api import APPLY, MERGE, Api, names
from conformance_objects import configmap, pod, replicas, service
from test_every_kind import samples

from navarch import kinds
from navarch.kinds.kind import Kind
from navarch.testing.cluster import RunningCluster

BY_NAME = {(kind.api_version, kind.name): kind for kind in kinds.ALL}


def collection(kind: Kind, ns: str) -> str:
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    return f"{root}/namespaces/{ns}/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"


def stored(api: Api, path: str) -> Any:
    """What no controller changes of an object."""
    found = api.get(path)["metadata"]
    foreground = "foregroundDeletion" in found.get("finalizers", [])
    return found["uid"], found.get("labels"), found.get("deletionTimestamp"), foreground


@pytest.mark.parametrize("group", sorted({kind.group for kind in kinds.ALL if not kind.custom}))
def test_every_verb_of_every_kind(api: Api, ns: str, group: str) -> None:
    tried = 0
    for sample in samples(ns):
        kind = BY_NAME.get((sample["apiVersion"], sample["kind"]))
        if kind is None or kind.group != group or "create" not in kind.verbs or "get" not in kind.verbs:
            continue
        tried += 1
        path, name = collection(kind, ns), sample["metadata"]["name"]
        one = f"{path}/{name}"
        there = api.send("GET", one).status == 200
        if not there:
            answer = api.send("POST", f"{path}?dryRun=All", sample)
            assert answer.status == 201, (kind.resource, answer.body[:400])
            assert answer.json["metadata"]["name"] == name
            assert api.send("GET", one).status == 404, f"a dry run of create stored a {kind.name}"
            applied = api.send("PATCH", f"{one}?dryRun=All&fieldManager=tests", sample, content_type=APPLY)
            assert applied.status == 201, (kind.resource, applied.body[:400])
            assert api.send("GET", one).status == 404, f"a dry run of apply stored a {kind.name}"
            api.post(path, sample)
        before = stored(api, one)
        label = {"metadata": {"labels": {"tried": "yes"}}}
        changed = api.send("PATCH", f"{one}?dryRun=All", label, content_type=MERGE)
        assert changed.status == 200, (kind.resource, changed.body[:400])
        assert changed.json["metadata"]["labels"]["tried"] == "yes"
        said = {"apiVersion": kind.api_version, "kind": kind.name, **label}
        applied = api.send("PATCH", f"{one}?dryRun=All&fieldManager=other", said, content_type=APPLY)
        assert applied.status == 200, (kind.resource, applied.body[:400])
        latest = api.get(one)
        latest["metadata"].setdefault("labels", {})["tried"] = "yes"
        latest["metadata"].pop("resourceVersion")
        put = api.send("PUT", f"{one}?dryRun=All", latest)
        assert put.status in (200, 422), (kind.resource, put.body[:400])
        for options in ({"dryRun": ["All"]}, {"dryRun": ["All"], "propagationPolicy": "Foreground"}):
            assert api.send("DELETE", one, options).status == 200, kind.resource
        if "deletecollection" in kind.verbs:
            assert api.send("DELETE", f"{path}?dryRun=All").status == 200, kind.resource
        assert stored(api, one) == before, f"a dry run changed a {kind.name}"
    assert tried or group in (
        "apiregistration.k8s.io",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "metrics.k8s.io",
    )


def test_nothing_is_reserved(api: Api, ns: str) -> None:
    services = f"/api/v1/namespaces/{ns}/services"
    wanted = service("one", {"a": "b"}, clusterIP="10.96.200.7", type="NodePort")
    wanted["spec"]["ports"][0]["nodePort"] = 31777
    for _ in range(2):
        assert api.post(f"{services}?dryRun=All", wanted)["spec"]["clusterIP"] == "10.96.200.7"
    assert api.post(services, wanted)["spec"]["clusterIP"] == "10.96.200.7"
    api.delete(f"{services}/one?dryRun=All")
    taken = service("two", {"a": "b"}, clusterIP="10.96.200.7")
    assert api.send("POST", services, taken).status == 422, "a deletion that is only tried gives no address back"
    assert api.send("POST", f"{services}?dryRun=All", taken).status == 422
    quotas = f"/api/v1/namespaces/{ns}/resourcequotas"
    api.post(quotas, {"metadata": {"name": "q"}, "spec": {"hard": {"count/secrets": "1"}}})
    api.when(f"{quotas}/q", lambda found: found.get("status", {}).get("used"))
    secrets = f"/api/v1/namespaces/{ns}/secrets"
    for number in range(3):
        api.post(f"{secrets}?dryRun=All", {"metadata": {"name": f"s{number}"}})
    assert api.get(f"{quotas}/q")["status"]["used"] == {"count/secrets": "0"}
    api.post(secrets, {"metadata": {"name": "s"}})
    over = api.send("POST", f"{secrets}?dryRun=All", {"metadata": {"name": "t"}})
    assert (over.status, "exceeded quota" in over.message) == (403, True)


def test_subresources(api: Api, ns: str) -> None:
    pods, deployments = f"/api/v1/namespaces/{ns}/pods", f"/apis/apps/v1/namespaces/{ns}/deployments"
    api.post(pods, pod("free", nodeSelector={"nobody": "has"}))
    target = {"metadata": {"name": "free"}, "target": {"kind": "Node", "name": "node-0"}}
    assert api.send("POST", f"{pods}/free/binding?dryRun=All", target).status == 201
    assert "nodeName" not in api.get(f"{pods}/free")["spec"]
    eviction = {"metadata": {"name": "free"}}
    assert api.send("POST", f"{pods}/free/eviction?dryRun=All", eviction).status == 201
    assert api.send("POST", f"{pods}/free/eviction", {**eviction, "deleteOptions": {"dryRun": ["All"]}}).status == 201
    assert "deletionTimestamp" not in api.get(f"{pods}/free")["metadata"]
    status = {"status": {"conditions": [{"type": "Mine", "status": "True"}]}}
    tried = api.patch(f"{pods}/free/status?dryRun=All", status)
    assert "Mine" in [one["type"] for one in tried["status"]["conditions"]]
    found = api.get(f"{pods}/free")
    assert "Mine" not in [one["type"] for one in found["status"].get("conditions", [])]
    more = {"spec": {"ephemeralContainers": [{"name": "look", "image": "busybox"}]}}
    api.patch(f"{pods}/free/ephemeralcontainers?dryRun=All", more)
    assert "ephemeralContainers" not in api.get(f"{pods}/free")["spec"]
    api.post(deployments, replicas("d", 0))
    scale = api.get(f"{deployments}/d/scale")
    del scale["metadata"]["resourceVersion"]
    scale["spec"]["replicas"] = 3
    assert api.put(f"{deployments}/d/scale?dryRun=All", scale)["spec"]["replicas"] == 3
    assert api.patch(f"{deployments}/d/scale?dryRun=All", {"spec": {"replicas": 4}})["spec"]["replicas"] == 4
    found = api.get(f"{deployments}/d")
    assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (0, 1)
    made = api.post("/api/v1/namespaces?dryRun=All", {"metadata": {"name": f"{ns}-tried"}})
    assert made["status"]["phase"] == "Active"
    assert api.send("GET", f"/api/v1/namespaces/{ns}-tried/serviceaccounts/default").status == 404
    finalized = {**api.get(f"/api/v1/namespaces/{ns}"), "spec": {"finalizers": []}}
    assert api.send("PUT", f"/api/v1/namespaces/{ns}/finalize?dryRun=All", finalized).status == 200
    assert api.get(f"/api/v1/namespaces/{ns}")["spec"]["finalizers"] == ["kubernetes"]


def definition(group: str) -> dict[str, Any]:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"tabs.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "tabs", "kind": "Tab"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


def test_definitions(api: Api, ns: str, library: RunningCluster) -> None:
    group = "tried.example.com"
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    api.post(f"{path}?dryRun=All", definition(group))
    assert api.send("GET", f"/apis/{group}/v1").status == 404
    assert api.send("GET", f"{path}/tabs.{group}").status == 404
    api.post(path, definition(group))
    tabs = f"/apis/{group}/v1/namespaces/{ns}/tabs"
    api.until(lambda: api.send("GET", tabs).status == 200)
    tab = {"apiVersion": f"{group}/v1", "kind": "Tab", "metadata": {"name": "t"}, "spec": {"a": 1}}
    api.post(f"{tabs}?dryRun=All", tab)
    assert api.send("PATCH", f"{tabs}/t?dryRun=All&fieldManager=x", tab, content_type=APPLY).status == 201
    assert names(api.get(tabs)) == []
    api.post(tabs, tab)
    api.patch(f"{tabs}/t?dryRun=All", {"spec": {"a": 2}})
    api.delete(f"{tabs}/t?dryRun=All")
    api.delete(f"{tabs}?dryRun=All")
    api.delete(f"{path}/tabs.{group}?dryRun=All&propagationPolicy=Foreground")
    gone = {"spec": {"versions": [{**definition(group)["spec"]["versions"][0], "served": False}]}}
    api.patch(f"{path}/tabs.{group}?dryRun=All", gone)
    assert api.get(f"{tabs}/t")["spec"] == {"a": 1}
    assert "deletionTimestamp" not in api.get(f"{path}/tabs.{group}")["metadata"]
    api.delete(f"{path}/tabs.{group}")


def test_collections_are_deleted_page_by_page(api: Api, ns: str) -> None:
    at = f"/api/v1/namespaces/{ns}/configmaps"
    for number in range(5):
        api.post(at, configmap(f"c{number}", {"mine": "yes"}))
    query = f"{at}?labelSelector=mine%3Dyes"
    assert names(api.get(f"{query}&limit=2")) == ["c0", "c1"]
    assert names(api.delete(f"{query}&limit=2")) == ["c0", "c1"]
    assert names(api.get(query)) == ["c2", "c3", "c4"]
    assert names(api.delete(f"{query}&fieldSelector=metadata.name%3Dc3")) == ["c3"]
    held = api.patch(f"{at}/c2", {"metadata": {"finalizers": ["example.com/hold"]}})
    other = {"preconditions": {"uid": held["metadata"]["uid"]}}
    assert api.send("DELETE", query, other).status == 409, "one of them is not the one that was meant"
    api.delete(query, {"propagationPolicy": "Foreground"})
    left = api.get(query)["items"]
    assert names({"items": left}) == ["c2"]
    assert left[0]["metadata"]["deletionTimestamp"]
    assert "example.com/hold" in left[0]["metadata"]["finalizers"]
    api.patch(f"{at}/c2", {"metadata": {"finalizers": None}})
    assert api.send("DELETE", f"{at}?labelSelector=a+in+(").status == 400
    assert api.send("DELETE", f"{at}?dryRun=Some").status == 422
