"""`/openapi/v2` as protobuf: the only form in which kubectl and other clients in Go ask for it.

It is written straight from the Swagger document, field by field by the tables below; what a document of this server
never has (files, forms, OAuth) is not in them.

Source: https://github.com/google/gnostic/blob/main/openapiv2/OpenAPIv2.proto
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

MEDIA = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
CONTENT_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

VARINT, FIXED64, LENGTH = 0, 1, 2


def _varint(value: int) -> bytes:
    found = bytearray()
    value &= (1 << 64) - 1
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _field(number: int, content: bytes) -> bytes:
    """A field that has a length."""
    return _varint(number << 3 | LENGTH) + _varint(len(content)) + content


def _text(number: int, value: Any) -> bytes:
    return _field(number, str(value).encode())


def _texts(number: int, values: Iterable[str]) -> bytes:
    return b"".join(_text(number, value) for value in values)


def _truth(number: int, value: Any) -> bytes:
    return _varint(number << 3 | VARINT) + b"\x01" if value else b""


def _whole(number: int, value: Any) -> bytes:
    return _varint(number << 3 | VARINT) + _varint(int(value))


def _real(number: int, value: Any) -> bytes:
    return _varint(number << 3 | FIXED64) + struct.pack("<d", value)


def _any(number: int, value: Any) -> bytes:
    """`Any`: any value, as YAML, which JSON is."""
    return _field(number, _field(2, orjson.dumps(value)))


def _anys(number: int, values: Iterable[Any]) -> bytes:
    return b"".join(_any(number, value) for value in values)


Writer = Callable[[int, Any], bytes]
Fields = Mapping[str, tuple[int, Writer]]


def _members(fields: Fields, extensions: int, document: Mapping[str, Any]) -> bytes:
    """A message. extensions: the number of the field that takes all that begins with `x-`."""
    found = []
    for key, value in document.items():
        if key in fields:
            number, write = fields[key]
            found.append(write(number, value))
        elif key.startswith("x-"):
            found.append(_field(extensions, _text(1, key) + _any(2, value)))
    return b"".join(found)


def _named(number: int, entries: Mapping[str, Any], value: Callable[[Any], bytes]) -> bytes:
    """A map: a message of a name and a value for each entry."""
    return b"".join(_field(number, _text(1, name) + _field(2, value(entry))) for name, entry in entries.items())


def _schema(document: Mapping[str, Any]) -> bytes:
    return _members(SCHEMA, 31, document)


def _properties(number: int, value: Mapping[str, Any]) -> bytes:
    return _field(number, _named(1, value, _schema))


def _additional(number: int, value: Any) -> bytes:
    return _field(number, _truth(2, value) if isinstance(value, bool) else _field(1, _schema(value)))


def _items(number: int, value: Mapping[str, Any]) -> bytes:
    return _field(number, _field(1, _schema(value)))


def _type(number: int, value: Any) -> bytes:
    return _field(number, _texts(1, [value] if isinstance(value, str) else value))


def _all_of(number: int, values: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(_field(number, _schema(value)) for value in values)


def _one_schema(number: int, value: Mapping[str, Any]) -> bytes:
    return _field(number, _schema(value))


def _parameter(document: Mapping[str, Any]) -> bytes:
    """A `ParametersItem`: a body, or what stands in the query or the path."""
    where = document["in"]
    if where == "body":
        return _field(1, _field(1, _members(BODY, 6, document)))
    number, fields, extensions = (3, QUERY, 23) if where == "query" else (4, PATH, 22)
    return _field(1, _field(2, _field(number, _members(fields, extensions, document))))


def _parameters(number: int, values: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(_field(number, _parameter(value)) for value in values)


def _response(document: Mapping[str, Any]) -> bytes:
    return _field(1, _members(RESPONSE, 5, document))


def _operation(number: int, document: Mapping[str, Any]) -> bytes:
    return _field(number, _members(OPERATION, 13, document))


def _path(document: Mapping[str, Any]) -> bytes:
    return _members(PATH_ITEM, 10, document)


def _security(number: int, values: Iterable[Mapping[str, Iterable[str]]]) -> bytes:
    return b"".join(_field(number, _named(1, value, lambda scopes: _texts(1, scopes))) for value in values)


def _security_definition(document: Mapping[str, Any]) -> bytes:
    return _field(2, _members(API_KEY, 5, document))


SCHEMA: Fields = {
    "$ref": (1, _text),
    "format": (2, _text),
    "title": (3, _text),
    "description": (4, _text),
    "default": (5, _any),
    "multipleOf": (6, _real),
    "maximum": (7, _real),
    "exclusiveMaximum": (8, _truth),
    "minimum": (9, _real),
    "exclusiveMinimum": (10, _truth),
    "maxLength": (11, _whole),
    "minLength": (12, _whole),
    "pattern": (13, _text),
    "maxItems": (14, _whole),
    "minItems": (15, _whole),
    "uniqueItems": (16, _truth),
    "maxProperties": (17, _whole),
    "minProperties": (18, _whole),
    "required": (19, _texts),
    "enum": (20, _anys),
    "additionalProperties": (21, _additional),
    "type": (22, _type),
    "items": (23, _items),
    "allOf": (24, _all_of),
    "properties": (25, _properties),
}
BODY: Fields = {
    "description": (1, _text),
    "name": (2, _text),
    "in": (3, _text),
    "required": (4, _truth),
    "schema": (5, _one_schema),
}
PATH: Fields = {
    "required": (1, _truth),
    "in": (2, _text),
    "description": (3, _text),
    "name": (4, _text),
    "type": (5, _text),
    "uniqueItems": (19, _truth),
}
QUERY: Fields = {
    "required": (1, _truth),
    "in": (2, _text),
    "description": (3, _text),
    "name": (4, _text),
    "type": (6, _text),
    "uniqueItems": (20, _truth),
}
RESPONSE: Fields = {
    "description": (1, _text),
    "schema": (2, lambda number, value: _field(number, _one_schema(1, value))),
}
OPERATION: Fields = {
    "tags": (1, _texts),
    "description": (3, _text),
    "operationId": (5, _text),
    "produces": (6, _texts),
    "consumes": (7, _texts),
    "parameters": (8, _parameters),
    "responses": (9, lambda number, value: _field(number, _named(1, value, _response))),
    "schemes": (10, _texts),
}
PATH_ITEM: Fields = {
    "get": (2, _operation),
    "put": (3, _operation),
    "post": (4, _operation),
    "delete": (5, _operation),
    "options": (6, _operation),
    "head": (7, _operation),
    "patch": (8, _operation),
    "parameters": (9, _parameters),
}
API_KEY: Fields = {
    "type": (1, _text),
    "name": (2, _text),
    "in": (3, _text),
    "description": (4, _text),
}
INFO: Fields = {"title": (1, _text), "version": (2, _text), "description": (3, _text)}
DOCUMENT: Fields = {
    "swagger": (1, _text),
    "info": (2, lambda number, value: _field(number, _members(INFO, 7, value))),
    "paths": (8, lambda number, value: _field(number, _named(2, value, _path))),
    "definitions": (9, _properties),
    "security": (12, _security),
    "securityDefinitions": (13, lambda number, value: _field(number, _named(1, value, _security_definition))),
}


def encode(document: Mapping[str, Any]) -> bytes:
    """A Swagger 2 document as the message `openapi.v2.Document`."""
    return _members(DOCUMENT, 16, document)
