"""Custom resource definitions: served as soon as they are there, with schemas, defaults, versions and selectors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
from conformance_api import APPLY, JSON_PATCH, Api, names
from conformance_specs import spec
from test_discovering import V2

Body = dict[str, Any]
NUMBERS = count()
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ANYTHING: Body = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
FOO: Body = {
    "description": "Foo CRD for Testing",
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "description": "Specification of Foo",
            "properties": {
                "bars": {
                    "description": "List of Bars and their specs.",
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {
                            "name": {"description": "Name of Bar.", "type": "string"},
                            "age": {"description": "Age of Bar.", "type": "string"},
                            "feeling": {"type": "string", "enum": ["Great", "Down"]},
                        },
                    },
                }
            },
        },
        "status": {"type": "object", "description": "Status of Foo", "properties": {"ok": {"type": "boolean"}}},
    },
}


def version(name: str = "v1", schema: Body | None = None, **more: Any) -> Body:
    return {
        "name": name,
        "served": True,
        "storage": False,
        "schema": {"openAPIV3Schema": schema or ANYTHING},
        **more,
    }


def definition(group: str, plural: str, kind: str, *versions: Body, scope: str = "Namespaced", **more: Any) -> Body:
    found = list(versions) or [version()]
    found[0]["storage"] = True
    return {
        "metadata": {"name": f"{plural}.{group}", "labels": {"of": group}},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
            "versions": found,
            **more,
        },
    }


@pytest.fixture
def group() -> str:
    return f"group-{next(NUMBERS)}.example.com"


@contextmanager
def defined(api: Api, *bodies: Body) -> Iterator[None]:
    """While it lasts the definitions are established, and served."""
    for body in bodies:
        api.post(DEFINITIONS, body)
    for body in bodies:
        api.when(f"{DEFINITIONS}/{body['metadata']['name']}", established)
        spec_ = body["spec"]
        for one in spec_["versions"]:
            if one["served"]:
                path = f"/apis/{spec_['group']}/{one['name']}/{spec_['names']['plural']}"
                api.until(lambda path=path: api.send("GET", path).status == 200)
    try:
        yield
    finally:
        for body in bodies:
            api.send("DELETE", f"{DEFINITIONS}/{body['metadata']['name']}")
        for body in bodies:
            api.gone(f"{DEFINITIONS}/{body['metadata']['name']}")


def established(found: Body) -> bool:
    conditions = {one["type"]: one["status"] for one in found.get("status", {}).get("conditions", [])}
    return conditions.get("Established") == "True"


def of(group: str, kind: str, name: str, version: str = "v1", **parts: Any) -> Body:
    return {"apiVersion": f"{group}/{version}", "kind": kind, "metadata": {"name": name}, **parts}


@spec(
    "[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] Simple CustomResourceDefinition "
    "creating/deleting custom resource definition objects works"
)
@spec(
    "[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] Simple CustomResourceDefinition "
    "listing custom resource definition objects works"
)
def test_definitions_are_made_listed_and_deleted(api: Api, group: str) -> None:
    bodies = [definition(group, f"things{n}", f"Thing{n}") for n in range(4)]
    with defined(api, *bodies):
        listed = api.get(f"{DEFINITIONS}?labelSelector=of%3D{group}")
        assert names(listed) == sorted(body["metadata"]["name"] for body in bodies)
        api.delete(f"{DEFINITIONS}?labelSelector=of%3D{group}")
        api.until(lambda: api.get(f"{DEFINITIONS}?labelSelector=of%3D{group}")["items"] == [])
    assert api.send("GET", f"/apis/{group}/v1/things0").status == 404


@spec(
    "[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] Simple CustomResourceDefinition "
    "getting/updating/patching custom resource definition status sub-resource works"
)
def test_status_of_a_definition(api: Api, group: str) -> None:
    body = definition(group, "things", "Thing")
    path = f"{DEFINITIONS}/things.{group}"
    with defined(api, body):
        found = api.get(f"{path}/status")
        assert found["status"]["acceptedNames"]["plural"] == "things"
        mine = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "set by a test"}

        def update() -> bool:
            newest = api.get(f"{path}/status")
            newest["status"]["conditions"].append(mine)
            return api.send("PUT", f"{path}/status", newest).status == 200

        api.until(update)
        types = [one["type"] for one in api.get(path)["status"]["conditions"]]
        assert types[-1] == "StatusUpdate"
        conditions = [*api.get(path)["status"]["conditions"], {**mine, "type": "StatusPatched"}]
        patched = api.patch(f"{path}/status", {"status": {"conditions": conditions}})
        assert patched["status"]["conditions"][-1]["type"] == "StatusPatched"
        assert patched["spec"]["group"] == group


@spec(
    "[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] should include custom resource "
    "definition resources in discovery documents"
)
def test_definitions_in_discovery(api: Api) -> None:
    (found,) = [one for one in api.get("/apis")["groups"] if one["name"] == "apiextensions.k8s.io"]
    assert [one["groupVersion"] for one in found["versions"]] == ["apiextensions.k8s.io/v1"]
    assert api.get("/apis/apiextensions.k8s.io")["versions"] == found["versions"]
    resources = [one["name"] for one in api.get("/apis/apiextensions.k8s.io/v1")["resources"]]
    assert "customresourcedefinitions" in resources


@spec("[sig-api-machinery] AggregatedDiscovery should support aggregated discovery interface for CRDs")
@spec("[sig-api-machinery] AggregatedDiscovery should support raw aggregated discovery request for CRDs")
def test_custom_kinds_in_discovery(api: Api, group: str) -> None:
    with defined(api, definition(group, "things", "Thing", scope="Cluster")):
        found = {one["metadata"]["name"]: one for one in api.get("/apis", accept=V2)["items"]}[group]
        (served,) = found["versions"]
        assert served["version"] == "v1"
        (resource,) = served["resources"]
        assert resource["resource"] == "things"
        assert resource["responseKind"] == {"group": group, "version": "v1", "kind": "Thing"}
        assert (resource["scope"], resource["singularResource"]) == ("Cluster", "thing")
        (plain,) = api.get(f"/apis/{group}/v1")["resources"]
        assert (plain["name"], plain["kind"], plain["namespaced"]) == ("things", "Thing", False)
    assert group not in [one["name"] for one in api.get("/apis")["groups"]]


@spec(
    "[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] custom resource defaulting for "
    "requests and from storage works"
)
def test_defaults_of_requests_and_of_what_is_stored(api: Api, ns: str, group: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
    path = f"/apis/{group}/v1/namespaces/{ns}/things"
    with defined(api, definition(group, "things", "Thing", version(schema=schema))):
        assert "a" not in api.post(path, of(group, "Thing", "one"))
        at = "/spec/versions/0/schema/openAPIV3Schema/properties"
        api.patch(f"{DEFINITIONS}/things.{group}", [{"op": "add", "path": f"{at}/a/default", "value": "A"}], JSON_PATCH)
        api.when(f"{path}/one", lambda found: found.get("a") == "A")
        assert api.post(path, of(group, "Thing", "two"))["a"] == "A"
        changes = [
            {"op": "remove", "path": f"{at}/a/default"},
            {"op": "add", "path": f"{at}/b/default", "value": "B"},
        ]
        api.patch(f"{DEFINITIONS}/things.{group}", changes, JSON_PATCH)
        found = api.when(f"{path}/two", lambda found: found.get("b") == "B")
        assert found["a"] == "A", "it was stored with it"
        assert "a" not in api.get(f"{path}/one"), "this one never was"


@spec(
    "[sig-api-machinery] CustomResourceDefinition Watch [Privileged:ClusterAdmin] CustomResourceDefinition Watch "
    "watch on custom resource definition objects"
)
def test_custom_resources_are_watched(api: Api, group: str) -> None:
    path = f"/apis/{group}/v1/things"
    with defined(api, definition(group, "things", "Thing", scope="Cluster")), api.watch(f"{path}?watch=1") as events:
        for name in ("first", "second"):
            api.post(path, of(group, "Thing", name))
            events.until("ADDED", name)
        for name in ("first", "second"):
            api.patch(f"{path}/{name}", {"dummy": "test"})
            events.until("MODIFIED", name, lambda found: found["dummy"] == "test")
        for name in ("first", "second"):
            api.delete(f"{path}/{name}")
            events.until("DELETED", name)


@spec(
    "[sig-api-machinery] CustomResourceFieldSelectors [Privileged:ClusterAdmin] CustomResourceFieldSelectors MUST list "
    "and watch custom resources matching the field selector"
)
def test_custom_field_selectors(api: Api, ns: str, group: str) -> None:
    text = {"type": "string"}
    schemas = [{"type": "object", "properties": {"host": text, "port": text}} for _ in range(2)]
    fields = [[{"jsonPath": ".host"}], [{"jsonPath": ".host"}, {"jsonPath": ".port"}]]
    versions = [version(f"v{n + 1}", schemas[n], selectableFields=fields[n]) for n in range(2)]
    with defined(api, definition(group, "things", "Thing", *versions)):
        first, second = (f"/apis/{group}/v{n}/namespaces/{ns}/things" for n in (1, 2))
        asked = "fieldSelector=host%3Dhost1"
        with (
            api.watch(f"{first}?watch=1&{asked}") as hosts,
            api.watch(f"{second}?watch=1&{asked},port%3D80") as both,
        ):
            for name, host, port in (("a", "host1", "80"), ("b", "host1", "8080"), ("c", "host2", "80")):
                api.post(first, of(group, "Thing", name, host=host, port=port))
            assert [hosts.until("ADDED")["metadata"]["name"] for _ in range(2)] == ["a", "b"]
            both.until("ADDED", "a")
            assert names(api.get(f"{first}?{asked}")) == ["a", "b"]
            assert names(api.get(f"{second}?{asked},port%3D80")) == ["a"]
            assert names(api.get(f"{second}?fieldSelector=port%3D80")) == ["a", "c"]
            refused = api.send("GET", f"{first}?fieldSelector=port%3D80")
            assert (refused.status, refused.reason) == (400, "BadRequest")
            api.patch(f"{first}/a", {"host": "host2"})
            hosts.until("DELETED", "a")
            both.until("DELETED", "a")
            api.patch(f"{first}/c", {"host": "host1"})
            hosts.until("ADDED", "c")
            api.send("DELETE", f"{second}?{asked}")
            assert {hosts.until("DELETED")["metadata"]["name"] for _ in range(2)} == {"b", "c"}
        assert names(api.get(first)) == ["a"]


def published(api: Api) -> Body:
    found: Body = api.get("/openapi/v2")["definitions"]
    return found


def model(group: str, kind: str, version: str = "v1") -> str:
    return ".".join([*reversed(group.split(".")), version, kind])


@spec("[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD with validation schema")
def test_published_with_a_schema(api: Api, ns: str, group: str) -> None:
    with defined(api, definition(group, "foos", "Foo", version(schema=FOO))):
        found = api.until(lambda: published(api).get(model(group, "Foo")))
        assert found["description"] == "Foo CRD for Testing"
        assert found["properties"]["spec"]["properties"]["bars"]["items"]["required"] == ["name"]
        assert found["x-kubernetes-group-version-kind"] == [{"group": group, "version": "v1", "kind": "Foo"}]
        assert set(found["properties"]) == {"apiVersion", "kind", "metadata", "spec", "status"}
        path = f"/apis/{group}/v1/namespaces/{ns}/foos?fieldValidation=Strict"
        good = of(group, "Foo", "good", spec={"bars": [{"name": "b", "age": "10", "feeling": "Great"}]})
        api.post(path, good)
        unknown = api.send("POST", path, of(group, "Foo", "bad", spec={"bars": [{"name": "b", "unknownField": 1}]}))
        assert unknown.status == 400
        assert 'unknown field "spec.bars[0].unknownField"' in unknown.message
        missing = api.send("POST", path, of(group, "Foo", "bad", spec={"bars": [{"age": "10"}]}))
        assert (missing.status, missing.causes) == (422, [("spec.bars[0].name", "FieldValueRequired")])
        feeling = api.send("POST", path, of(group, "Foo", "bad", spec={"bars": [{"name": "b", "feeling": "So"}]}))
        assert (feeling.status, feeling.causes) == (422, [("spec.bars[0].feeling", "FieldValueNotSupported")])


@spec(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD without validation schema"
)
@spec(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD preserving unknown "
    "fields at the schema root"
)
def test_published_with_anything_at_its_root(api: Api, ns: str, group: str) -> None:
    bare: Body = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    with defined(api, definition(group, "things", "Thing", version(schema=bare))):
        found = api.until(lambda: published(api).get(model(group, "Thing")))
        assert found["x-kubernetes-preserve-unknown-fields"] is True
        path = f"/apis/{group}/v1/namespaces/{ns}/things?fieldValidation=Strict"
        made = api.post(path, of(group, "Thing", "one", a=1, b={"c": [True]}))
        assert (made["a"], made["b"]) == (1, {"c": [True]})
        applied = of(group, "Thing", "one", a=2)
        answer = api.send(
            "PATCH",
            f"/apis/{group}/v1/namespaces/{ns}/things/one?fieldManager=x&force=true",
            applied,
            content_type=APPLY,
        )
        assert answer.json["a"] == 2


@spec(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD preserving unknown "
    "fields in an embedded object"
)
def test_published_with_anything_below(api: Api, ns: str, group: str) -> None:
    schema = {"type": "object", "properties": {"spec": dict(ANYTHING), "status": dict(ANYTHING)}}
    with defined(api, definition(group, "things", "Thing", version(schema=schema))):
        found = api.until(lambda: published(api).get(model(group, "Thing")))
        assert found["properties"]["spec"]["x-kubernetes-preserve-unknown-fields"] is True
        path = f"/apis/{group}/v1/namespaces/{ns}/things?fieldValidation=Strict"
        assert api.post(path, of(group, "Thing", "one", spec={"any": {"thing": 1}}))["spec"] == {"any": {"thing": 1}}
        assert api.send("POST", path, of(group, "Thing", "two", other=1)).status == 400


@spec(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for multiple CRDs of different "
    "groups"
)
@spec(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for multiple CRDs of same group "
    "and version but different kinds"
)
def test_published_side_by_side(api: Api, group: str) -> None:
    other = f"other-{group}"
    bodies = (
        definition(group, "foos", "Foo", version(schema=FOO)),
        definition(group, "bars", "Bar"),
        definition(other, "foos", "Foo", version(schema=FOO)),
    )
    wanted = {model(group, "Foo"), model(group, "Bar"), model(other, "Foo")}
    with defined(api, *bodies):
        api.until(lambda: wanted <= set(published(api)))
        third = api.get(f"/openapi/v3/apis/{group}/v1")["components"]["schemas"]
        assert {model(group, "Foo"), model(group, "Bar")} <= set(third)
    api.until(lambda: not wanted & set(published(api)))


@spec(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for multiple CRDs of same group "
    "but different versions"
)
@spec(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] updates the published spec when one "
    "version gets renamed"
)
@spec(
    "[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] removes definition from spec when one "
    "version gets changed to not be served"
)
def test_published_versions_come_and_go(api: Api, group: str) -> None:
    path = f"{DEFINITIONS}/foos.{group}"
    two, three, four = (model(group, "Foo", name) for name in ("v2", "v3", "v4"))
    with defined(api, definition(group, "foos", "Foo", version("v2", FOO), version("v3", FOO))):
        before = api.until(lambda: {two, three} <= set(published(api)) and published(api))
        api.patch(path, [{"op": "replace", "path": "/spec/versions/1/name", "value": "v4"}], JSON_PATCH)
        api.until(lambda: four in published(api) and three not in published(api))
        assert published(api)[two] == before[two], "the other one stays as it was"
        api.patch(path, [{"op": "replace", "path": "/spec/versions/1/served", "value": False}], JSON_PATCH)
        api.until(lambda: four not in published(api))
        assert published(api)[two] == before[two]
        assert api.send("GET", f"/apis/{group}/v4/foos").status == 404


CR = """{"apiVersion": "GROUP/v1", "kind": "Foo", "metadata": {"name": "NAME"META}, "spec": {SPEC}}"""


def text(group: str, name: str, spec_: str, meta: str = "") -> bytes:
    made = CR.replace("GROUP", group).replace("NAME", name).replace("META", meta).replace("SPEC", spec_)
    return made.encode()


@spec(
    "[sig-api-machinery] FieldValidation should create/apply a CR with unknown fields for CRD with no validation schema"
)
@spec("[sig-api-machinery] FieldValidation should create/apply a valid CR for CRD with validation schema")
@spec(
    "[sig-api-machinery] FieldValidation should create/apply an invalid CR with extra properties for CRD with "
    "validation schema"
)
@spec("[sig-api-machinery] FieldValidation should detect duplicates in a CR when preserving unknown fields")
def test_fields_of_custom_resources(api: Api, ns: str, group: str) -> None:
    strict = "fieldValidation=Strict"
    port = {"type": "integer", "minimum": 1}
    known = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"port": port}}}}
    open_ = {"type": "object", "properties": {"spec": dict(ANYTHING)}}
    with defined(
        api,
        definition(group, "foos", "Foo", version(schema=known)),
        definition(f"open-{group}", "foos", "Foo", version(schema=open_)),
    ):
        path = f"/apis/{group}/v1/namespaces/{ns}/foos"
        free = f"/apis/open-{group}/v1/namespaces/{ns}/foos"
        assert api.send("POST", f"{path}?{strict}", text(group, "valid", '"port": 80')).status == 201
        valid = text(group, "applied", '"port": 81')
        assert api.send("PATCH", f"{path}/applied?{strict}&fieldManager=x", valid, content_type=APPLY).status == 201
        extra = '"port": 80, "extra": 1'
        for answer in (
            api.send("POST", f"{path}?{strict}", text(group, "bad", extra)),
            api.send("PATCH", f"{path}/bad?{strict}&fieldManager=x", text(group, "bad", extra), content_type=APPLY),
        ):
            assert answer.status in (400, 422, 500)
            assert '"spec.extra"' in answer.message or ".spec.extra" in answer.message
        assert api.send("GET", f"{path}/bad").status == 404
        anything = text(f"open-{group}", "free", extra)
        assert api.send("POST", f"{free}?{strict}", anything).status == 201
        assert (
            api.send("PATCH", f"{free}/free?{strict}&fieldManager=x&force=true", anything, content_type=APPLY).status
            == 200
        )
        doubled = api.send("POST", f"{free}?{strict}", text(f"open-{group}", "twice", '"a": {"b": 1, "b": 2}, "a": 3'))
        assert doubled.status == 400
        assert 'duplicate field "spec.a"' in doubled.message
        assert 'duplicate field "spec.a.b"' in doubled.message


@spec(
    "[sig-api-machinery] FieldValidation should detect unknown metadata fields in both the root and embedded object "
    "of a CR"
)
def test_unknown_metadata_of_custom_resources(api: Api, ns: str, group: str) -> None:
    template = {
        "type": "object",
        "x-kubernetes-embedded-resource": True,
        "properties": {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}},
    }
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"template": template}}}}
    embedded = (
        '"template": {"apiVersion": "foo/v1", "kind": "Sub", '
        '"metadata": {"name": "sub", "unknownSubMeta": "unknown", "namespace": "my-ns"}}'
    )
    with defined(api, definition(group, "foos", "Foo", version(schema=schema))):
        path = f"/apis/{group}/v1/namespaces/{ns}/foos"
        body = text(group, "bad", embedded, ', "unknownMeta": "unknown"')
        answer = api.send("POST", f"{path}?fieldValidation=Strict", body)
        assert answer.status == 400
        assert 'unknown field "metadata.unknownMeta"' in answer.message
        assert 'unknown field "spec.template.metadata.unknownSubMeta"' in answer.message
        warned = api.send("POST", path, body)
        assert warned.status == 201
        assert any("spec.template.metadata.unknownSubMeta" in one for one in warned.warnings)
        assert warned.json["spec"]["template"]["metadata"] == {"name": "sub", "namespace": "my-ns"}
