"""Fields: unknown and doubled ones, who owns them, and what applying does to them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conformance_api import APPLY, JSON, JSON_PATCH, MERGE, STRATEGIC, Api
from conformance_objects import configmap, pod, replicas
from conformance_specs import spec

DEPLOYMENT = """{
  "apiVersion": "apps/v1",
  "kind": "Deployment",
  "metadata": {"name": "NAME", "labels": {"app": "nginx"}META},
  "spec": {
    "unknown1": "val1",
    "unknownDupe": "valDupe",
    "unknownDupe": "valDupe2",
    "paused": true,
    "paused": false,
    "selector": {"matchLabels": {"app": "nginx"}},
    "template": {
      "metadata": {"labels": {"app": "nginx"}},
      "spec": {
        "containers": [
          {"name": "nginx", "image": "nginx:latest", "unknownNested": "val1",
           "imagePullPolicy": "Always", "imagePullPolicy": "Never"}
        ]
      }
    }
  }
}"""
UNKNOWN = ("spec.unknown1", "spec.unknownDupe", "spec.template.spec.containers[0].unknownNested")
DOUBLE = ("spec.paused", "spec.template.spec.containers[0].imagePullPolicy")


def deployments(ns: str) -> str:
    return f"/apis/apps/v1/namespaces/{ns}/deployments"


def owners(document: Any) -> dict[tuple[str, str, str], Any]:
    """(manager, operation, subresource) -> fields."""
    return {
        (one["manager"], one["operation"], one.get("subresource", "")): one["fieldsV1"]
        for one in document["metadata"].get("managedFields", [])
    }


@spec("[sig-api-machinery] FieldValidation should detect unknown and duplicate fields of a typed object")
def test_unknown_and_doubled_fields(api: Api, ns: str) -> None:
    body = DEPLOYMENT.replace("NAME", "d").replace("META", "").encode()
    strict = api.send("POST", f"{deployments(ns)}?fieldValidation=Strict", body)
    assert (strict.status, strict.reason) == (400, "BadRequest")
    assert "strict decoding error: " in strict.message
    for path in UNKNOWN:
        assert f'unknown field "{path}"' in strict.message
    for path in DOUBLE:
        assert f'duplicate field "{path}"' in strict.message
    assert api.send("GET", f"{deployments(ns)}/d").status == 404
    for query in ("?fieldValidation=Warn", ""):
        warned = api.send("POST", f"{deployments(ns)}{query}", body.replace(b'"d"', b'"d%d"' % len(query)))
        assert warned.status == 201
        told = " ".join(warned.warnings)
        assert all(f'unknown field \\"{path}\\"' in told for path in UNKNOWN)
        assert all(f'duplicate field \\"{path}\\"' in told for path in DOUBLE)
        assert all(one.startswith('299 - "') for one in warned.warnings)
        assert "unknown1" not in warned.json["spec"]
    ignored = api.send("POST", f"{deployments(ns)}?fieldValidation=Ignore", body)
    assert (ignored.status, ignored.warnings) == (201, ())
    assert ignored.json["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] == "Never", (
        "the last one counts"
    )
    refused = api.send("POST", f"{deployments(ns)}?fieldValidation=Loud", body)
    assert refused.status in (400, 422)


@spec("[sig-api-machinery] FieldValidation should detect unknown metadata fields of a typed object")
def test_unknown_metadata(api: Api, ns: str) -> None:
    body = DEPLOYMENT.replace("NAME", "d").replace("META", ', "unknownMeta": "meta", "unknownMeta": "dup"').encode()
    strict = api.send("POST", f"{deployments(ns)}?fieldValidation=Strict", body)
    assert strict.status == 400
    assert 'unknown field "metadata.unknownMeta"' in strict.message
    assert 'duplicate field "metadata.unknownMeta"' in strict.message


@pytest.mark.parametrize("type_", [MERGE, STRATEGIC, JSON_PATCH, APPLY])
def test_unknown_fields_of_patches(api: Api, ns: str, type_: str) -> None:
    path = f"{deployments(ns)}/d"
    api.post(deployments(ns), replicas("d", 0))
    before = api.get(path)["spec"]
    patch: Any = {"spec": {"nonsense": 1, "template": {"spec": {"more": "nonsense"}}}}
    if type_ == JSON_PATCH:
        patch = [{"op": "add", "path": "/spec/nonsense", "value": 1}]
    if type_ == APPLY:
        patch |= {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}}
    strict = api.send("PATCH", f"{path}?fieldValidation=Strict&fieldManager=x", patch, content_type=type_)
    assert strict.status in (400, 422)
    assert "strict decoding error: " in strict.message
    assert 'unknown field "spec.nonsense"' in strict.message
    assert api.get(path)["spec"] == before
    warned = api.send("PATCH", f"{path}?fieldManager=x", patch, content_type=type_)
    assert warned.status == 200
    assert any('unknown field \\"spec.nonsense\\"' in one for one in warned.warnings)


def test_who_owns_what(api: Api, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/configmaps"
    made = api.post(f"{path}?fieldManager=first", configmap("c", {"l": "1"}, a="1", b="1"))
    assert owners(made) == {
        ("first", "Update", ""): {
            "f:data": {".": {}, "f:a": {}, "f:b": {}},
            "f:metadata": {"f:labels": {".": {}, "f:l": {}}},
        }
    }
    patched = api.patch(f"{path}/c?fieldManager=second", {"data": {"b": "2"}})
    assert owners(patched)["second", "Update", ""] == {"f:data": {"f:b": {}}}
    assert "f:b" not in owners(patched)["first", "Update", ""]["f:data"]
    same = api.patch(f"{path}/c?fieldManager=third", {"data": {"b": "2"}})
    assert same["metadata"] == patched["metadata"], "what changes nothing is no write"
    patched["data"]["a"] = "3"
    put = api.send("PUT", f"{path}/c", patched, user_agent="Mozilla/5.0 (x)").json
    assert owners(put)["Mozilla", "Update", ""] == {"f:data": {"f:a": {}}}
    entry = put["metadata"]["managedFields"][-1]
    assert set(entry) == {"manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1"}
    reset = api.patch(f"{path}/c", {"metadata": {"managedFields": [{}]}})
    assert "managedFields" not in reset["metadata"]


def test_subresources_own_their_part(api: Api, ns: str) -> None:
    path = f"{deployments(ns)}/d"
    body = replicas("d", 0)
    body["spec"]["paused"] = True
    api.post(f"{deployments(ns)}?fieldManager=maker", body)
    api.patch(f"{path}/status?fieldManager=teller", {"status": {"conditions": [{"type": "Mine", "status": "True"}]}})
    api.patch(f"{path}/scale?fieldManager=scaler", {"spec": {"replicas": 1}})
    found = owners(api.get(path))
    assert found["scaler", "Update", "scale"] == {"f:spec": {"f:replicas": {}}}
    assert 'k:{"type":"Mine"}' in found["teller", "Update", "status"]["f:status"]["f:conditions"]
    assert "f:replicas" not in found["maker", "Update", ""]["f:spec"]
    api.post(f"/api/v1/namespaces/{ns}/pods", pod("bound", nodeSelector={"nobody": "has"}))
    api.post(f"/api/v1/namespaces/{ns}/pods/bound/binding?fieldManager=binder", {"target": {"name": "node-0"}})
    assert api.get(f"/api/v1/namespaces/{ns}/pods/bound")["spec"]["nodeName"] == "node-0"


def applied(name: str, **data: str) -> Any:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_applying(api: Api, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/configmaps/c"
    made = api.apply(path, applied("c", a="1", b="1"), "one")
    assert made.status == 201
    again = api.apply(path, applied("c", a="1", b="1"), "one")
    assert (again.status, again.json) == (200, made.json)
    conflict = api.apply(path, applied("c", a="2"), "two")
    assert (conflict.status, conflict.reason) == (409, "Conflict")
    assert conflict.causes == [(".data.a", "FieldManagerConflict")]
    assert conflict.message == 'Apply failed with 1 conflict: conflict with "one": .data.a'
    shared = api.apply(path, applied("c", a="1"), "two").json
    assert set(owners(shared)) == {("one", "Apply", ""), ("two", "Apply", "")}
    less = api.apply(path, applied("c"), "one").json
    assert less["data"] == {"a": "1"}, "b was only of one, a is also of two"
    forced = api.apply(path, applied("c", a="5"), "three", force=True).json
    assert forced["data"] == {"a": "5"}
    assert ("two", "Apply", "") not in owners(forced)
    dry = api.send("PATCH", f"{path}?fieldManager=three&dryRun=All", applied("c", a="6"), content_type=APPLY)
    assert (dry.status, dry.json["data"]) == (200, {"a": "6"})
    assert api.get(path)["data"] == {"a": "5"}
    uid = {**applied("new"), "metadata": {"name": "new", "uid": "6d7ab6f5-5d5f-4a4e-9f5e-000000000000"}}
    refused = api.apply(f"{path[:-2]}/new", uid)
    assert refused.status in (409, 422)
    stale = applied("c", a="7")
    stale["metadata"]["resourceVersion"] = made.json["metadata"]["resourceVersion"]
    assert api.apply(path, stale, "three").status == 409


def test_applying_lists_with_keys(api: Api, ns: str) -> None:
    path = f"{deployments(ns)}/d"

    def wanted(*containers: tuple[str, str], **more: Any) -> Any:
        listed = [{"name": name, "image": image} for name, image in containers]
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "d"},
            "spec": {
                "selector": {"matchLabels": {"a": "b"}},
                "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": listed}},
                **more,
            },
        }

    api.apply(path, wanted(("a", "1"), ("b", "1"), replicas=0), "one")
    api.apply(path, wanted(("side", "1")), "two")
    names = [one["name"] for one in api.get(path)["spec"]["template"]["spec"]["containers"]]
    assert names == ["a", "b", "side"]
    left = api.apply(path, wanted(("b", "2")), "one").json
    assert [(one["name"], one["image"]) for one in left["spec"]["template"]["spec"]["containers"]] == [
        ("b", "2"),
        ("side", "1"),
    ]
    assert left["spec"]["replicas"] == 1, "no longer applied, and nobody else's: the default is back"
    twice = api.apply(path, wanted(("b", "2"), ("b", "3")), "one")
    assert twice.status in (400, 422, 500)
    status = api.send(
        "PATCH",
        f"{path}/status?fieldManager=three",
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "d"},
            "status": {"conditions": [{"type": "X", "status": "True"}]},
        },
        content_type=APPLY,
    )
    assert status.status == 200
    assert ("three", "Apply", "status") in owners(status.json)


def test_defaults_are_not_said_twice(api: Api, ns: str) -> None:
    """A document that is read and written back as it is changes nothing: not even its revision."""
    for path, body in (
        (
            f"/api/v1/namespaces/{ns}/services",
            {"metadata": {"name": "s"}, "spec": {"selector": {"a": "b"}, "ports": [{"port": 1}]}},
        ),
        (f"/api/v1/namespaces/{ns}/pods", pod("p", nodeSelector={"nobody": "has"})),
        (f"/api/v1/namespaces/{ns}/configmaps", configmap("c")),
        (f"/api/v1/namespaces/{ns}/secrets", {"metadata": {"name": "x"}, "stringData": {"a": "b"}}),
        (
            f"/apis/policy/v1/namespaces/{ns}/poddisruptionbudgets",
            {"metadata": {"name": "b"}, "spec": {"selector": {}}},
        ),
        (f"/apis/coordination.k8s.io/v1/namespaces/{ns}/leases", {"metadata": {"name": "l"}}),
    ):
        made = api.post(path, body)
        name = made["metadata"]["name"]
        found = api.get(f"{path}/{name}")
        if path.endswith(("pods", "poddisruptionbudgets")):
            wanted = {**found, "metadata": {**found["metadata"], "resourceVersion": ""}}
            assert api.put(f"{path}/{name}", wanted)["metadata"]["generation"] == 1
            continue  # their controllers write too
        assert api.put(f"{path}/{name}", dict(found)) == found, path
        again = json.dumps(found).encode()
        assert api.send("PUT", f"{path}/{name}", again, content_type=JSON).json == found
