"""Every kind as a table and as metadata alone; the columns that definitions name."""

from __future__ import annotations

from typing import Any

import pytest
from conformance_api import Api
from test_every_kind import samples
from test_trying import BY_NAME, collection

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIALS = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


def test_every_kind(api: Api, ns: str) -> None:
    for sample in samples(ns):
        kind = BY_NAME.get((sample["apiVersion"], sample["kind"]))
        if kind is None or not {"create", "get", "list"} <= set(kind.verbs):
            continue
        path, name = collection(kind, ns), sample["metadata"]["name"]
        if api.send("GET", f"{path}/{name}").status == 404:
            api.post(path, sample)
        table = api.get(path, accept=TABLE)
        assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1"), kind.resource
        assert table["metadata"]["resourceVersion"]
        columns = table["columnDefinitions"]
        assert all(set(one) == {"name", "type", "format", "description", "priority"} for one in columns), kind.resource
        assert all(one["description"] for one in columns)
        for row in table["rows"]:
            assert len(row["cells"]) == len(columns), kind.resource
            assert all(isinstance(cell, str | int | float) for cell in row["cells"]), (kind.resource, row["cells"])
            assert row["object"]["kind"] == "PartialObjectMetadata"
            assert set(row["object"]) == {"kind", "apiVersion", "metadata"}
        if columns[0]["name"] == "Name":
            assert columns[0]["format"] == "name"
            assert name in [row["cells"][0] for row in table["rows"]]
        one = api.get(f"{path}/{name}?includeObject=Object", accept=TABLE)
        assert [column["name"] for column in one["columnDefinitions"]] == [column["name"] for column in columns]
        (row,) = one["rows"]
        whole = {key: row["object"].get(key) for key in ("kind", "apiVersion")}
        assert whole == {"kind": kind.name, "apiVersion": kind.api_version}
        bare = api.get(f"{path}?includeObject=None", accept=TABLE)["rows"]
        assert bare
        assert all(row["object"] is None for row in bare)
        partial = api.get(f"{path}/{name}", accept=PARTIAL)
        assert (partial["kind"], partial["metadata"]["name"]) == ("PartialObjectMetadata", name)
        assert set(partial) == {"kind", "apiVersion", "metadata"}
        partials = api.get(path, accept=PARTIALS)
        assert partials["kind"] == "PartialObjectMetadataList"
        assert name in [item["metadata"]["name"] for item in partials["items"]]
        if "watch" in kind.verbs:
            with api.watch(f"{path}?watch=1&timeoutSeconds=5", Accept=PARTIAL) as events:
                type_, found = events.next()
                assert (type_, found["kind"], "spec" in found) == ("ADDED", "PartialObjectMetadata", False)


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        ("/api/v1/nodes?includeObject=All", TABLE, 400),
        ("/api/v1/nodes", PARTIAL, 406),
        ("/api/v1/namespaces/default", PARTIALS, 406),
        ("/api/v1/nodes", "application/json;as=Table;v=v2;g=meta.k8s.io", 406),
        ("/api/v1/nodes", f"application/json;as=Table;v=v2;g=meta.k8s.io,{TABLE}", 200),
    ],
)
def test_what_cannot_be_shown(api: Api, path: str, accept: str, status: int) -> None:
    assert api.send("GET", path, accept=accept).status == status


COLUMNS: list[tuple[str, str, str]] = [
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status'),
    ("Size", "integer", ".spec.size"),
    ("Ratio", "number", ".spec.ratio"),
    ("On", "boolean", ".spec.on"),
    ("Since", "date", ".spec.since"),
    ("Tags", "string", ".spec.tags"),
    ("Text", "integer", ".spec.text"),
    ("Label", "string", r".metadata.labels.example\.com/team"),
]


def test_columns_of_definitions(api: Api, ns: str) -> None:
    group = "columns.example.com"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    columns: list[dict[str, Any]] = [{"name": name, "type": type_, "jsonPath": path} for name, type_, path in COLUMNS]
    columns[1] |= {"priority": 1, "format": "int32", "description": "How many."}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    body = {
        "metadata": {"name": f"rows.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "rows", "kind": "Row"},
            "versions": [{**version, "additionalPrinterColumns": columns}],
        },
    }
    api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body)
    path = f"/apis/{group}/v1/namespaces/{ns}/rows"
    api.until(lambda: api.send("GET", path).status == 200)
    conditions = [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}]
    spec = {"size": 3, "ratio": 1.5, "on": True, "since": "2001-01-01T00:00:00Z", "tags": ["a", {"b": 1}], "text": "x"}
    row = {"apiVersion": f"{group}/v1", "kind": "Row"}
    labels = {"example.com/team": "blue"}
    api.post(
        path, {**row, "metadata": {"name": "a", "labels": labels}, "spec": spec, "status": {"conditions": conditions}}
    )
    api.post(path, {**row, "metadata": {"name": "b"}, "spec": {"since": "once", "tags": 1.5, "size": 2.0}})
    table = api.get(path, accept=TABLE)
    shown = {one["name"]: one for one in table["columnDefinitions"]}
    assert list(shown) == ["Name", *(name for name, _, _ in COLUMNS)]
    size = {"name": "Size", "type": "integer", "format": "int32", "description": "How many.", "priority": 1}
    assert shown["Size"] == size
    assert shown["Since"]["type"] == "date"
    assert shown["On"]["description"] == "Custom resource definition column (in JSONPath format): .spec.on"
    first, second = (one["cells"] for one in table["rows"])
    since = first.pop(5)
    assert since.endswith("y")
    assert first == ["a", "True", 3, 1.5, True, '["a",{"b":1}]', None, "blue"]
    assert second == ["b", None, 2, None, None, "<invalid>", "1.5", None, None]
