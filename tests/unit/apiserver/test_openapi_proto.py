"""The protobuf form of the Swagger document, read back by the numbers of its published definition."""

from __future__ import annotations

import gzip
from typing import Any

import orjson
import pytest

from navarch.apiserver.openapi import OpenApi
from navarch.apiserver.openapi_proto import CONTENT_TYPE, MEDIA, encode
from navarch.base.errors import NotAcceptable
from navarch.kinds.registry import DEFAULT
from navarch.wire.cri import fields
from navarch.wire.message import Request, Response


def asked(openapi: OpenApi, accept: str, **headers: str) -> Response:
    sent = {"accept": accept} | {key.replace("_", "-"): value for key, value in headers.items()}
    return openapi.answer(Request("GET", "/openapi/v2", "/openapi/v2", sent, [], b""))


def parts(data: Any) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for number, value in fields(bytes(data)):
        found.setdefault(number, []).append(value)
    return found


def named(data: Any) -> dict[str, dict[int, list[Any]]]:
    """A message whose fields 1 are pairs of a name and a message."""
    pairs = [parts(pair) for pair in parts(data)[1]]
    return {bytes(pair[1][0]).decode(): parts(pair[2][0]) for pair in pairs}


def test_it_says_what_the_other_form_says() -> None:
    openapi = OpenApi(DEFAULT)
    plain = orjson.loads(asked(openapi, "application/json").body)
    document = parts(asked(openapi, f"{MEDIA},application/json").body)
    assert document[1] == [b"2.0"]
    definitions = named(document[9][0])
    assert definitions.keys() == plain["definitions"].keys()
    for name, schema in plain["definitions"].items():
        ours = definitions[name]
        assert bytes(ours.get(4, [b""])[0]).decode() == schema.get("description", ""), name
        assert [bytes(text).decode() for text in ours.get(19, [])] == schema.get("required", []), name
        assert {bytes(t) for t in parts(ours[22][0])[1]} == {schema["type"].encode()} if "type" in schema else True
        properties = named(ours[25][0]) if 25 in ours else {}
        assert properties.keys() == schema.get("properties", {}).keys(), name
        for key, member in schema.get("properties", {}).items():
            assert bytes(properties[key].get(1, [b""])[0]).decode() == member.get("$ref", ""), (name, key)
    paths = [parts(pair) for pair in parts(document[8][0])[2]]
    assert {bytes(path[1][0]).decode() for path in paths} == plain["paths"].keys()


def test_operations_name_their_kind_and_parameters() -> None:
    operation = {
        "operationId": "patchIt",
        "parameters": [
            {"name": "dryRun", "in": "query", "type": "string", "uniqueItems": True},
            {"name": "name", "in": "path", "type": "string", "required": True},
            {"name": "body", "in": "body", "schema": {"$ref": "#/definitions/it"}},
        ],
        "responses": {"200": {"description": "OK", "schema": {"$ref": "#/definitions/it"}}},
        "x-kubernetes-group-version-kind": {"group": "", "kind": "It", "version": "v1"},
    }
    document = parts(encode({"swagger": "2.0", "paths": {"/it": {"patch": operation}}}))
    path = parts(parts(document[8][0])[2][0])
    found = parts(parts(path[2][0])[8][0])
    assert found[5] == [b"patchIt"]
    extension = parts(found[13][0])
    assert extension[1] == [b"x-kubernetes-group-version-kind"]
    assert orjson.loads(bytes(parts(extension[2][0])[2][0])) == operation["x-kubernetes-group-version-kind"]
    kinds = [parts(parameter)[1][0] for parameter in found[8]]
    query, in_path = (
        parts(parts(parts(kind)[2][0])[number][0]) for kind, number in zip(kinds[:2], (3, 4), strict=True)
    )
    assert (query[2], query[4], query[6], query[20]) == ([b"query"], [b"dryRun"], [b"string"], [1])
    assert (in_path[1], in_path[4]) == ([1], [b"name"])
    body = parts(parts(kinds[2])[1][0])
    assert (body[2], parts(body[5][0])[1]) == ([b"body"], [b"#/definitions/it"])


def test_each_client_gets_the_form_it_takes() -> None:
    openapi = OpenApi(DEFAULT)
    found = asked(openapi, MEDIA, accept_encoding="gzip")
    assert dict(found.headers)["Content-Type"] == CONTENT_TYPE
    assert parts(gzip.decompress(bytes(found.body)))[1] == [b"2.0"]
    assert dict(asked(openapi, f"application/json, {MEDIA}").headers)["Content-Type"] == "application/json"
    assert dict(asked(openapi, "*/*").headers)["Content-Type"] == "application/json"
    assert dict(found.headers)["ETag"] != dict(asked(openapi, "*/*").headers)["ETag"]
    with pytest.raises(NotAcceptable):
        asked(openapi, "application/x-protobuf")
