"""Custom resources in several versions that a webhook makes of one another: a real HTTPS server that converts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from conformance_api import MERGE, Answer, Api, names
from conformance_specs import spec
from hook_server import HookServer

PREFIX = "[sig-api-machinery] CustomResourceConversionWebhook [Privileged:ClusterAdmin] "
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SCALAR = {"type": "string"}
V1 = {"hostPort": SCALAR}
V2 = {"host": SCALAR, "port": SCALAR}
Request = dict[str, Any]


@pytest.fixture(scope="module")
def server() -> Iterator[HookServer]:
    with HookServer() as running:
        running.answers["/convert"] = lambda asked: converted([_convert(asked, one) for one in asked["objects"]])
        yield running


def converted(objects: list[Any]) -> dict[str, Any]:
    return {"convertedObjects": objects, "result": {"status": "Success"}}


def _convert(asked: Request, found: dict[str, Any]) -> dict[str, Any]:
    wanted = asked["desiredAPIVersion"]
    made = {key: value for key, value in found.items() if key not in ("hostPort", "host", "port")}
    made["apiVersion"] = wanted
    if wanted.endswith("/v2") and "hostPort" in found:
        made["host"], _, made["port"] = found["hostPort"].partition(":")
    elif wanted.endswith("/v1") and "host" in found:
        made["hostPort"] = f"{found['host']}:{found.get('port', '')}"
    return made


def version(name: str, fields: dict[str, Any], *, storage: bool = False) -> dict[str, Any]:
    schema = {"openAPIV3Schema": {"type": "object", "properties": fields}}
    columns = [{"name": field.capitalize(), "type": "string", "jsonPath": f".{field}"} for field in fields]
    return {
        "name": name,
        "served": True,
        "storage": storage,
        "schema": schema,
        "additionalPrinterColumns": columns,
        "selectableFields": [{"jsonPath": f".{field}"} for field in fields],
    }


class Resource:
    """A definition that converts by the server, and where its objects are."""

    def __init__(self, api: Api, ns: str, server: HookServer, path: str = "/convert") -> None:
        self.api, self.ns, self.group = api, ns, f"{ns}.example.com"
        self.path = f"{CRDS}/e2e-tests.{self.group}"
        webhook = {"clientConfig": server.client(path), "conversionReviewVersions": ["v1", "v1beta1"]}
        document = {
            "metadata": {"name": f"e2e-tests.{self.group}"},
            "spec": {
                "group": self.group,
                "scope": "Namespaced",
                "names": {"plural": "e2e-tests", "singular": "e2e-test", "kind": "E2eTest", "listKind": "E2eTestList"},
                "versions": [version("v1", V1, storage=True), version("v2", V2)],
                "conversion": {"strategy": "Webhook", "webhook": webhook},
            },
        }
        api.post(CRDS, document)
        api.when(self.path, lambda found: "Established" in str(found["status"].get("conditions")))

    def at(self, version: str, name: str = "") -> str:
        return f"/apis/{self.group}/{version}/namespaces/{self.ns}/e2e-tests" + (f"/{name}" if name else "")

    def make(self, version: str, name: str, **fields: str) -> dict[str, Any]:
        head = {"apiVersion": f"{self.group}/{version}", "kind": "E2eTest", "metadata": {"name": name}}
        made: dict[str, Any] = self.api.post(self.at(version), {**head, **fields})
        return made

    def store(self, name: str) -> None:
        """Store what is written from now on in that version."""
        fields = {"v1": V1, "v2": V2}
        versions = [version(one, fields[one], storage=one == name) for one in fields]
        self.api.patch(self.path, {"spec": {"versions": versions}})


@pytest.fixture
def resource(api: Api, ns: str, server: HookServer) -> Resource:
    return Resource(api, ns, server)


@spec(PREFIX + "should be able to convert from CR v1 to CR v2")
def test_one_object_in_two_versions(api: Api, resource: Resource, server: HookServer) -> None:
    resource.make("v1", "one", hostPort="localhost:8080")
    found = api.get(resource.at("v2", "one"))
    assert (found["apiVersion"], found["host"], found["port"]) == (f"{resource.group}/v2", "localhost", "8080")
    assert "hostPort" not in found
    found["port"] = "9090"
    assert api.put(resource.at("v2", "one"), found)["port"] == "9090"
    assert api.get(resource.at("v1", "one"))["hostPort"] == "localhost:9090"
    merge = json.dumps({"port": "70"}).encode()
    assert api.ask("PATCH", resource.at("v2", "one"), merge, content_type=MERGE)["host"] == "localhost"
    made = resource.make("v2", "two", host="h", port="1")
    assert (made["host"], made["metadata"]["name"]) == ("h", "two")
    assert api.get(resource.at("v1", "two"))["hostPort"] == "h:1"
    asked = len(server.asked)
    assert api.get(resource.at("v2", "two"))["host"] == "h"
    assert len(server.asked) == asked, "what was converted is remembered"


def test_fields_are_owned_in_the_version_that_they_were_written_in(api: Api, resource: Resource) -> None:
    def applied(version: str, manager: str, force: bool = False, **fields: str) -> Answer:
        document = {"apiVersion": f"{resource.group}/{version}", "kind": "E2eTest", "metadata": {"name": "one"}}
        return api.apply(resource.at(version, "one"), {**document, **fields}, manager, force)

    def owners(answer: Answer) -> dict[tuple[str, str], Any]:
        entries = answer.json["metadata"]["managedFields"]
        return {(one["manager"], one["apiVersion"].partition("/")[2]): one["fieldsV1"] for one in entries}

    assert owners(applied("v1", "a", hostPort="h:1")) == {("a", "v1"): {"f:hostPort": {}}}
    refused = applied("v2", "b", port="2")
    assert (refused.status, refused.causes) == (409, [(".hostPort", "FieldManagerConflict")])
    assert owners(applied("v2", "b", host="h")) == {("a", "v1"): {"f:hostPort": {}}, ("b", "v2"): {"f:host": {}}}
    assert owners(applied("v2", "b", force=True, host="h", port="2")) == {("b", "v2"): {"f:host": {}, "f:port": {}}}
    moved = applied("v1", "b", hostPort="h:3")
    assert owners(moved) == {("b", "v1"): {"f:hostPort": {}}}
    found = api.patch(resource.at("v2", "one") + "?fieldManager=c", {"host": "i"})
    assert found["metadata"]["managedFields"][0]["apiVersion"] == f"{resource.group}/v2"
    assert [one["manager"] for one in found["metadata"]["managedFields"]] == ["c"]


@spec(PREFIX + "should be able to convert a non homogeneous list of CRs")
def test_a_list_of_objects_stored_in_two_versions(api: Api, resource: Resource, server: HookServer) -> None:
    resource.make("v1", "a", hostPort="one:1")
    resource.store("v2")
    resource.make("v2", "b", host="two", port="2")
    found = api.get(resource.at("v1"))
    assert found["apiVersion"] == f"{resource.group}/v1"
    assert [one["hostPort"] for one in found["items"]] == ["one:1", "two:2"]
    assert {one["apiVersion"] for one in found["items"]} == {f"{resource.group}/v1"}
    before = len(server.asked)
    found = api.get(resource.at("v2"))
    assert [(one["host"], one["port"]) for one in found["items"]] == [("one", "1"), ("two", "2")]
    assert len(server.asked) <= before + 1, "one question for a list"
    page = api.get(f"{resource.at('v2')}?limit=1")
    assert [one["host"] for one in page["items"]] == ["one"]
    rest = api.get(f"{resource.at('v2')}?limit=1&continue={page['metadata']['continue']}")
    assert [one["host"] for one in rest["items"]] == ["two"]


def test_an_object_moves_to_the_stored_version_when_it_is_written(api: Api, resource: Resource) -> None:
    made = resource.make("v1", "old", hostPort="h:1")
    resource.store("v2")
    same = api.put(resource.at("v1", "old"), api.get(resource.at("v1", "old")))
    moved = same["metadata"]["resourceVersion"]
    assert moved != made["metadata"]["resourceVersion"], "even by a write that changes nothing"
    again = api.put(resource.at("v1", "old"), same)
    assert again["metadata"]["resourceVersion"] == moved


def test_watches_of_both_versions_see_the_same_in_order(api: Api, resource: Resource) -> None:
    resource.make("v1", "first", hostPort="a:0")
    since = api.get(resource.at("v1"))["metadata"]["resourceVersion"]
    for number in range(1, 6):
        api.patch(resource.at("v1", "first"), {"hostPort": f"a:{number}"})
    api.delete(resource.at("v2", "first"))
    query = f"?watch=true&resourceVersion={since}&timeoutSeconds=1"
    events = {
        name: [json.loads(line) for line in api.send("GET", resource.at(name) + query).body.splitlines()]
        for name in ("v1", "v2")
    }
    assert [one["type"] for one in events["v2"]] == ["MODIFIED"] * 5 + ["DELETED"]
    assert [one["object"]["port"] for one in events["v2"]] == ["1", "2", "3", "4", "5", "5"]
    revisions = [[one["object"]["metadata"]["resourceVersion"] for one in events[name]] for name in ("v1", "v2")]
    assert revisions[0] == revisions[1]


def test_fields_select_in_the_version_that_is_asked(api: Api, resource: Resource) -> None:
    resource.make("v1", "a", hostPort="one:1")
    resource.make("v1", "b", hostPort="two:2")
    assert names(api.get(f"{resource.at('v2')}?fieldSelector=host%3Dtwo")) == ["b"]
    since = api.get(resource.at("v2"))["metadata"]["resourceVersion"]
    api.patch(resource.at("v1", "b"), {"hostPort": "three:2"})
    api.patch(resource.at("v1", "a"), {"hostPort": "two:1"})
    query = f"?watch=true&resourceVersion={since}&timeoutSeconds=1&fieldSelector=host%3Dtwo"
    events = [json.loads(line) for line in api.send("GET", resource.at("v2") + query).body.splitlines()]
    assert [(one["type"], one["object"]["metadata"]["name"]) for one in events] == [("DELETED", "b"), ("ADDED", "a")]


def test_tables_have_the_columns_of_the_version(api: Api, resource: Resource) -> None:
    resource.make("v1", "a", hostPort="one:1")
    table = api.ask("GET", resource.at("v2"), accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert [one["name"] for one in table["columnDefinitions"]] == ["Name", "Host", "Port"]
    assert table["rows"][0]["cells"] == ["a", "one", "1"]


def _renames(found: dict[str, Any]) -> dict[str, Any]:
    return {**found, "metadata": {**found["metadata"], "name": "other"}}


BAD: dict[str, tuple[Any, str]] = {
    "/says-no": (lambda _: {"result": {"status": "Failure", "message": "no such luck"}}, "failed: no such luck"),
    "/says-nothing": (lambda _: {}, "failed: response.result.status was '', not 'Success'"),
    "/too-few": (lambda _: converted([]), "returned 0 objects, expected 1"),
    "/unchanged": (lambda asked: converted(asked["objects"]), "invalid groupVersion (expected"),
    "/renames": (
        lambda asked: converted([_renames(_convert(asked, one)) for one in asked["objects"]]),
        "must have the same name: a != other",
    ),
    "/wrong-uid": (lambda _: {"uid": "x", **converted([])}, "failed: expected response.uid="),
    "/bad-labels": (
        lambda asked: converted(
            [{**_convert(asked, one), "metadata": {**one["metadata"], "labels": {"a": 1}}} for one in asked["objects"]]
        ),
        "returned invalid metadata: metadata.labels[a]",
    ),
}


@pytest.mark.parametrize("path", BAD)
def test_converters_that_fail_are_told_of(api: Api, ns: str, server: HookServer, path: str) -> None:
    server.answers[path], why = BAD[path]
    resource = Resource(api, ns, server, path)
    resource.make("v1", "a", hostPort="one:1")
    answer = api.send("GET", resource.at("v2", "a"))
    assert answer.status == 500
    assert answer.message.startswith(f"conversion webhook for {resource.group}/v1, Kind=E2eTest")
    assert why in answer.message
    assert api.send("GET", resource.at("v2")).status == 500
    assert api.get(resource.at("v1", "a"))["hostPort"] == "one:1", "other versions are served all the same"
    assert api.send("GET", "/livez").status == 200
    api.delete(resource.at("v1", "a"))


def test_of_the_metadata_a_converter_writes_labels_and_annotations_alone(api: Api, ns: str, server: HookServer) -> None:
    def answer(asked: Request) -> dict[str, Any]:
        made = [_convert(asked, one) for one in asked["objects"]]
        for one in made:
            one["metadata"] = {**one["metadata"], "labels": {"seen": "yes"}, "finalizers": ["x.y/z"], "generation": 99}
        return converted(made)

    server.answers["/writes"] = answer
    resource = Resource(api, ns, server, "/writes")
    resource.make("v1", "a", hostPort="one:1")
    metadata = api.get(resource.at("v2", "a"))["metadata"]
    assert metadata["labels"] == {"seen": "yes"}
    assert metadata["generation"] == 1
    assert "finalizers" not in metadata


def test_a_converter_that_is_away(api: Api, ns: str) -> None:
    with HookServer() as gone:
        resource = Resource(api, ns, gone)
        resource.make("v1", "a", hostPort="one:1")
    answer = api.send("GET", resource.at("v2", "a"))
    assert answer.status == 500
    assert f'failed: Post "https://127.0.0.1:{gone.port}/convert?timeout=30s": dial tcp' in answer.message
    watched = api.send("GET", f"{resource.at('v2')}?watch=true&timeoutSeconds=1")
    assert watched.status == 500
    api.delete(resource.path)
    api.gone(resource.path)
