"""Documents as Kubernetes' protobuf: what clients in Go are answered with when they ask for it.

A message is written from what its document says, nothing more: a field that is absent is one at its zero for whoever
reads it. For each message a plan is made once: what writes each member, with the bytes of its tag.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cache, lru_cache
from typing import Any

import orjson

from navarch.objects.value import Document
from navarch.wire.protobuf_table import LISTS, MAGIC, Field, fields, message_of

Write = Callable[[Any], bytes]
"""A value as bytes, with neither tag nor length."""

_SMALL = tuple(bytes([number]) for number in range(128))


def varint(number: int) -> bytes:
    """number: negative ones take ten bytes, as Go writes them."""
    if 0 <= number < 128:
        return _SMALL[number]
    number &= (1 << 64) - 1
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)


def _framed(tag: bytes, value: bytes) -> bytes:
    return b"%b%b%b" % (tag, varint(len(value)), value)


# --- whole bodies ---


def envelope(api_version: str, kind: str, message: bytes) -> bytes:
    """What is sent for one object: Kubernetes' four bytes, then a `runtime.Unknown` around the object's message."""
    named = _framed(b"\x0a", api_version.encode()) + _framed(b"\x12", kind.encode())
    return b"%b%b%b\x1a\x00\x22\x00" % (MAGIC, _framed(b"\x0a", named), _framed(b"\x12", message))


def message(document: Document) -> bytes:
    """The message of a document, which says its apiVersion and kind. Raises: LookupError, when its kind has none."""
    name = message_of(document.get("apiVersion", ""), document.get("kind", ""))
    if not name:
        raise LookupError(f"{document.get('apiVersion')} {document.get('kind')} is not known as protobuf")
    try:
        return _writer(name)(document)
    except RecursionError:
        raise LookupError(f"this {document['kind']} is nested too deep for protobuf") from None


def encode(document: Document) -> bytes:
    """The body for a document. Raises: LookupError, when its kind has no message."""
    return envelope(document["apiVersion"], document["kind"], message(document))


def list_parts(metadata: Document, items: Iterable[bytes]) -> list[bytes]:
    """A list's message in pieces. items: those of its items."""
    found = [_framed(b"\x0a", _writer("meta.v1.ListMeta")(metadata))]
    for item in items:
        found.append(b"\x12" + varint(len(item)))
        found.append(item)
    return found


def list_head(api_version: str, kind: str, size_bytes: int) -> bytes:
    """What comes before a list's message of that size; after it comes `LIST_TAIL`."""
    named = _framed(b"\x0a", api_version.encode()) + _framed(b"\x12", kind.encode())
    return b"%b%b\x12%b" % (MAGIC, _framed(b"\x0a", named), varint(size_bytes))


LIST_TAIL = b"\x1a\x00\x22\x00"


def watch_frame(type_: str, body: bytes) -> bytes:
    """One event of a watch: its length in four bytes, then a `WatchEvent` around the object's whole body."""
    event = _framed(b"\x0a", type_.encode()) + _framed(b"\x12", _framed(b"\x0a", body))
    return struct.pack(">I", len(event)) + event


# --- messages ---


@cache
def _writer(name: str) -> Write:
    """What writes a message. The plan behind it is made when it is first used: messages stand in themselves."""
    known = WELL_KNOWN.get(name)
    if known is not None:
        return known
    if name.rpartition(".")[2] in LISTS:
        return _texts
    plan: dict[str, tuple[int, Write]] = {}
    inlined: dict[str, int] = {}
    unmade = True

    def write(document: Mapping[str, Any]) -> bytes:
        nonlocal unmade
        if unmade:
            plan.update(_plan(name))
            inlined.update(_inlined(name))
            unmade = False
        found = []
        nested: dict[int, dict[str, Any]] = {}
        for key, value in document.items():
            step = plan.get(key)
            if step is not None and value is not None:
                found.append((step[0], step[1](value)))
            elif key in inlined:
                nested.setdefault(inlined[key], {})[key] = value
        for number, members in nested.items():
            inner = _writer(fields(name)[number].type)
            found.append((number, _framed(varint(number << 3 | 2), inner(members))))
        found.sort()
        return b"".join([written for _, written in found])

    return write


def _plan(name: str) -> dict[str, tuple[int, Write]]:
    """Member -> number and what writes the whole field."""
    return {field.name: (number, _field(number, field)) for number, field in fields(name).items() if not field.inline}


def _inlined(name: str) -> dict[str, int]:
    """Members that stand in the document itself and in the message deeper -> the number of the field with them."""
    found: dict[str, int] = {}
    for number, field in fields(name).items():
        if field.inline:
            found |= dict.fromkeys([*_inlined(field.type), *_plan(field.type)], number)
    return found


def _field(number: int, field: Field) -> Write:
    if field.type.startswith("{"):
        return _map(varint(number << 3 | 2), field.type.strip("{}"))
    one = _one(number, field.type)
    if field.repeated:
        return lambda values: b"".join([one(value) for value in values])
    return one


def _one(number: int, type_: str) -> Write:
    """One value with its tag."""
    if type_ in VARINTS:
        tag = varint(number << 3)
        return lambda value: tag + varint(int(value))
    if type_ == "double":
        tag = varint(number << 3 | 1)
        return lambda value: tag + struct.pack("<d", value)
    tag = varint(number << 3 | 2)
    if type_ == "string":
        return lambda value: _framed(tag, value.encode())
    inner = PLAIN.get(type_) or _writer(type_)
    return lambda value: _framed(tag, inner(value))


def _map(tag: bytes, type_: str) -> Write:
    held = _one(2, type_)

    def write(values: Mapping[str, Any]) -> bytes:
        return b"".join([_framed(tag, _framed(b"\x0a", key.encode()) + held(values[key])) for key in sorted(values)])

    return write


def _texts(values: list[str]) -> bytes:
    return b"".join([_framed(b"\x0a", value.encode()) for value in values])


VARINTS = ("int32", "int64", "bool")


# --- what is one value in JSON and a message on the wire ---


@lru_cache(maxsize=4096)
def _moment(text: str | None) -> bytes:
    """Times are many and few are different. None, in a map, is Go's zero time."""
    if text is None:
        return b""
    moment = datetime.fromisoformat(text)
    whole = int(moment.replace(microsecond=0).timestamp())
    return b"\x08%b\x10%b" % (varint(whole), varint(moment.microsecond * 1000))


def _quantity(value: Any) -> bytes:
    return _framed(b"\x0a", str(value).encode())


def _int_or_string(value: int | str) -> bytes:
    if isinstance(value, str):
        return b"\x08\x01\x10\x00" + _framed(b"\x1a", value.encode())
    return b"\x08\x00\x10%b\x1a\x00" % varint(value)


def _json(value: Any) -> bytes:
    return _framed(b"\x0a", orjson.dumps(value))


def _schema() -> Write:
    return _writer("apiextensions.v1.JSONSchemaProps")


def _schema_or_list(value: Any) -> bytes:
    if isinstance(value, list):
        return b"".join([_framed(b"\x12", _schema()(one)) for one in value])
    return _framed(b"\x0a", _schema()(value))


def _schema_or_bool(value: Any) -> bytes:
    if isinstance(value, bool):
        return b"\x08" + _SMALL[value]
    return b"\x08\x01" + _framed(b"\x12", _schema()(value))


def _schema_or_texts(value: Any) -> bytes:
    if isinstance(value, list):
        return b"".join([_framed(b"\x12", text.encode()) for text in value])
    return _framed(b"\x0a", _schema()(value))


_UNITS_NS = {"h": 3_600_000_000_000, "m": 60_000_000_000, "s": 1_000_000_000, "ms": 1_000_000, "us": 1000, "ns": 1}


def _duration(text: str) -> bytes:
    """Such as `1h30m0.5s`."""
    total, number, unit = 0.0, "", ""
    for character in f"{text.lstrip('-')} ":
        if unit and not character.isalpha():
            total += float(number) * _UNITS_NS[unit.replace("µ", "u")]
            number = unit = ""
        if character.isalpha():
            unit += character
        else:
            number += character
    return b"\x08" + varint(-round(total) if text.startswith("-") else round(total))


PLAIN: Mapping[str, Write] = {"bytes": base64.b64decode}

WELL_KNOWN: Mapping[str, Write] = {
    "meta.v1.Time": _moment,
    "meta.v1.MicroTime": _moment,
    "meta.v1.Duration": _duration,
    "meta.v1.FieldsV1": _json,
    "resource.Quantity": _quantity,
    "intstr.IntOrString": _int_or_string,
    "runtime.RawExtension": _json,
    "apiextensions.v1.JSON": _json,
    "apiextensions.v1.JSONSchemaPropsOrArray": _schema_or_list,
    "apiextensions.v1.JSONSchemaPropsOrBool": _schema_or_bool,
    "apiextensions.v1.JSONSchemaPropsOrStringArray": _schema_or_texts,
}
