"""Documents of the older form made into those of the newer: by example, by our own documents, by Hypothesis."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navarch.apiserver import openapi_convert
from navarch.apiserver.openapi import OpenApi
from navarch.apiserver.openapi_convert import convert
from navarch.kinds.registry import DEFAULT
from navarch.wire.message import Request


def operation(**fields: Any) -> Any:
    """What becomes of one operation."""
    document = {"swagger": "2.0", "paths": {"/a": {"post": {"responses": {}, **fields}}}}
    return convert(document)["paths"]["/a"]["post"]


def schema(**fields: Any) -> Any:
    return convert({"definitions": {"A": fields}})["components"]["schemas"]["A"]


A = {"$ref": "#/definitions/A"}
A3 = {"$ref": "#/components/schemas/A"}


def test_references_lead_to_the_components() -> None:
    assert schema(**A) == A3
    assert schema(properties={"a": A}, items=A, additionalProperties=A) == {
        "properties": {"a": A3},
        "items": A3,
        "additionalProperties": A3,
    }
    assert schema(allOf=[A], anyOf=[A], additionalProperties=True) == {
        "allOf": [A3],
        "anyOf": [A3],
        "additionalProperties": True,
    }
    assert schema(properties={"$ref": {"type": "string"}}) == {"properties": {"$ref": {"type": "string"}}}
    assert schema(**{"$ref": "https://elsewhere.example/A"}) == {"$ref": "https://elsewhere.example/A"}


def test_a_reference_does_not_hide_what_stands_beside_it() -> None:
    assert schema(**A, description="said", default={}) == {"allOf": [A3], "description": "said", "default": {}}


def test_what_both_forms_know_stays() -> None:
    said = {
        "type": "object",
        "required": ["a"],
        "x-kubernetes-group-version-kind": [{"group": "g", "version": "v1", "kind": "K"}],
        "x-kubernetes-list-map-keys": ["name"],
        "default": {"$ref": "#/definitions/no reference"},
        "enum": ["a"],
        "maximum": 7,
    }
    assert schema(**said) == said


def test_bodies_and_answers_have_media_types() -> None:
    found = operation(
        operationId="make",
        consumes=["application/json", "*/*"],
        produces=["application/yaml"],
        schemes=["https"],
        parameters=[{"name": "body", "in": "body", "required": True, "schema": A}],
        responses={"200": {"description": "OK", "schema": A}, "401": {"description": "no"}, "x-more": [1]},
        **{"x-kubernetes-action": "post"},
    )
    assert found == {
        "operationId": "make",
        "requestBody": {"content": {"application/json": {"schema": A3}, "*/*": {"schema": A3}}, "required": True},
        "responses": {
            "200": {"description": "OK", "content": {"application/yaml": {"schema": A3}}},
            "401": {"description": "no"},
            "x-more": [1],
        },
        "x-kubernetes-action": "post",
    }


def test_what_the_document_says_of_all_operations() -> None:
    body = {"name": "it", "in": "body", "schema": A}
    said = {"consumes": ["a/b"], "produces": ["c/d"], "responses": {"R": {"description": "r", "schema": A}}}
    item = {"put": {"parameters": [body], "responses": {"200": {"$ref": "#/responses/R"}}}}
    found = convert({**said, "paths": {"/a": item, "x-of-paths": 1}, "externalDocs": {"url": "u"}})
    assert found["paths"]["/a"]["put"]["requestBody"] == {"content": {"a/b": {"schema": A3}}}
    assert found["paths"]["/a"]["put"]["responses"] == {"200": {"$ref": "#/components/responses/R"}}
    assert found["components"] == {"responses": {"R": {"description": "r", "content": {"c/d": {"schema": A3}}}}}
    assert (found["paths"]["x-of-paths"], found["externalDocs"]) == (1, {"url": "u"})


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (
            {"name": "limit", "in": "query", "description": "d", "type": "integer", "uniqueItems": True, "x-a": 1},
            {"description": "d", "schema": {"type": "integer", "uniqueItems": True}, "x-a": 1},
        ),
        (
            {"name": "n", "in": "path", "required": True, "type": "string", "enum": ["a"]},
            {"required": True, "schema": {"type": "string", "enum": ["a"]}},
        ),
        (
            {"name": "n", "in": "query", "type": "array", "items": {"type": "string", "collectionFormat": "csv"}},
            {"schema": {"type": "array", "items": {"type": "string"}}, "explode": False},
        ),
        (
            {"name": "n", "in": "query", "type": "array", "items": {"type": "string"}, "collectionFormat": "multi"},
            {"schema": {"type": "array", "items": {"type": "string"}}},
        ),
    ],
)
def test_parameters(older: dict[str, Any], newer: dict[str, Any]) -> None:
    place = {"name": older["name"], "in": older["in"]}
    assert operation(parameters=[older])["parameters"] == [{**place, **newer}]


def test_shared_parameters_stand_where_they_are_used() -> None:
    shared = {
        "body-1": {"name": "body", "in": "body", "schema": A},
        "force-1": {"name": "force", "in": "query", "type": "boolean"},
    }
    uses = [{"$ref": f"#/parameters/{name}"} for name in shared]
    item = {"patch": {"consumes": ["a/b"], "parameters": uses}, "parameters": uses[1:]}
    found = convert({"parameters": shared, "paths": {"/a": item}})
    force = {"name": "force", "in": "query", "schema": {"type": "boolean"}}
    body = {"content": {"a/b": {"schema": A3}}}
    assert found["paths"]["/a"] == {"patch": {"parameters": [force], "requestBody": body}, "parameters": [force]}


def test_forms_are_bodies() -> None:
    fields = [
        {"name": "file", "in": "formData", "type": "file", "required": True, "description": "d"},
        {"name": "n", "in": "formData", "type": "integer"},
    ]
    form = {
        "type": "object",
        "properties": {"file": {"type": "string", "format": "binary", "description": "d"}, "n": {"type": "integer"}},
        "required": ["file"],
    }
    assert operation(parameters=fields)["requestBody"] == {"content": {"multipart/form-data": {"schema": form}}}
    assert list(operation(parameters=fields[1:])["requestBody"]["content"]) == ["application/x-www-form-urlencoded"]


def test_security() -> None:
    key = {"type": "apiKey", "name": "authorization", "in": "header", "description": "d"}
    oauth = {"type": "oauth2", "flow": "accessCode", "authorizationUrl": "a", "tokenUrl": "t", "scopes": {"s": "d"}}
    found = convert({"securityDefinitions": {"key": key, "basic": {"type": "basic"}, "oauth": oauth}})
    flow = {"authorizationUrl": "a", "tokenUrl": "t", "scopes": {"s": "d"}}
    assert found["components"]["securitySchemes"] == {
        "key": key,
        "basic": {"type": "http", "scheme": "basic"},
        "oauth": {"type": "oauth2", "flows": {"authorizationCode": flow}},
    }


def nested(depth: int) -> Any:
    found: Any = {"type": "string"}
    for _ in range(depth):
        found = {"properties": {"a": found}}
    return found


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"paths": ["/a"]},
        {"definitions": {"A": 1}},
        {"definitions": {"A": {"properties": []}}},
        {"definitions": {"A": {"$ref": 1}}},
        {"definitions": {"A": nested(500)}},
        {"paths": {"/a": {"get": []}}},
        {"paths": {"/a": {"get": {"parameters": [{"$ref": "#/parameters/none"}]}}}},
        {"paths": {"/a": {"get": {"parameters": [{"in": "formData"}]}}}},
        {"paths": {"/a": {"get": {"responses": {"200": []}}}}},
        {"parameters": 1, "paths": {"/a": {"get": {"parameters": [{"$ref": "x"}]}}}},
    ],
)
def test_what_is_no_document(document: Any) -> None:
    with pytest.raises(ValueError, match=r"not a document|there is no parameter"):
        convert(document)


def test_what_is_shared_does_not_make_it_endless() -> None:
    shared = {"p": {"name": "p", "in": "query", "type": "string", "description": "x" * (1 << 20)}}
    item = {"get": {"parameters": [{"$ref": "#/parameters/p"}] * 64}}
    with pytest.raises(ValueError, match="grow too large"):
        convert({"parameters": shared, "paths": {"/a": item}})
    media = [f"a/{number}" for number in range(64)]
    body = {"name": "body", "in": "body", "schema": {"description": "x" * (1 << 20)}}
    with pytest.raises(ValueError, match="grow too large"):
        operation(consumes=media, parameters=[body])


WORDS = (
    *("paths", "/a", "get", "parameters", "in", "name", "body", "schema", "$ref", "definitions", "properties"),
    *("responses", "200", "headers", "items", "allOf", "type", "securityDefinitions", "flow", "consumes"),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(WORDS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(VALUES)
@settings(max_examples=50)
def test_whatever_comes_a_document_or_a_refusal_follows(document: Any) -> None:
    before = orjson.dumps(document)
    try:
        found = convert(document)
    except ValueError:
        found = {"openapi": "3.0.0"}
    assert found["openapi"] == "3.0.0"
    assert b"#/definitions/" not in orjson.dumps(found) or b"#/definitions/" in before
    assert orjson.dumps(document) == before, "it is not changed"


def bare(value: Any) -> Any:
    """Without what version 2 cannot say: defaults of required members, and thus the wrapping of references."""
    if isinstance(value, list):
        return [bare(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    found = {key: bare(inner) for key, inner in value.items() if key != "default" or inner not in ("", 0, {}, [])}
    if isinstance(found.get("allOf"), list) and len(found) == 1 and found["allOf"][0].keys() == {"$ref"}:
        return found["allOf"][0]
    return found


def test_our_own_documents_are_the_same_made_either_way() -> None:
    pages = OpenApi(DEFAULT)

    def get(path: str) -> Any:
        body = pages.answer(Request("GET", path, path, {"accept": "application/json"})).body
        assert isinstance(body, bytes)
        return orjson.loads(body)

    made = convert(get("/openapi/v2"))
    assert made["info"]["title"] == "Kubernetes"
    for place in ("api/v1", "apis/apps/v1", "apis/apiextensions.k8s.io/v1", "version"):
        own = get(f"/openapi/v3/{place}")
        for path, item in own["paths"].items():
            assert bare(made["paths"][path]) == bare(item), path
        twofold = ("IntOrString", "Quantity")
        for name, one in own["components"]["schemas"].items():
            if not name.endswith(twofold):
                assert bare(made["components"]["schemas"][name]) == bare(one), name
        assert made["components"]["securitySchemes"] == own["components"]["securitySchemes"]
    assert openapi_convert.METHODS[0] == "get"
