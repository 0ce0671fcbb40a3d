"""Kubernetes' protobuf bodies as documents: what Go's typed clients, kubectl's among them, send instead of JSON.

Go writes every field that is no pointer, zeros too; JSON would not have them, so zeros are left out but where the table
(`protobuf_table`) says that they count. Answers in protobuf are made in `protobuf_encode`.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import orjson

from navarch.base.clock import rfc3339, rfc3339_micro
from navarch.objects.value import Document
from navarch.wire.protobuf_table import LISTS, MAGIC, Field, fields, message_of

DEEPEST = 64
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Malformed(ValueError):
    """The bytes are no protobuf message of Kubernetes, or of a kind that is not known."""


def decode(data: bytes) -> Document:
    """The document in an envelope (`k8s\\0` and a `runtime.Unknown`), with its apiVersion and kind.

    Raises:
        Malformed.
    """
    if not data.startswith(MAGIC):
        raise Malformed("the body does not begin as Kubernetes' protobuf does")
    api_version, kind, raw = _envelope(memoryview(data)[len(MAGIC) :])
    message = message_of(api_version, kind)
    if not message:
        raise Malformed(f"no kind {kind!r} in {api_version!r} is known as protobuf: send it as JSON")
    found = _message(message, raw, 0)
    return {"apiVersion": api_version, "kind": kind, **found}


def _envelope(data: memoryview) -> tuple[str, str, memoryview]:
    api_version = kind = ""
    raw = data[:0]
    for number, value in _parts(data):
        if number == 1:
            for inner, text in _parts(_bytes(value)):
                if inner == 1:
                    api_version = _text(text)
                elif inner == 2:
                    kind = _text(text)
        elif number == 2:
            raw = _bytes(value)
    return api_version, kind, raw


# --- the wire ---


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    if at < len(data) and data[at] < 128:
        return data[at], at + 1
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Malformed("the body ends in the middle of a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _parts(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field: an int, or bytes for everything that is none."""
    at, end = 0, len(data)
    while at < end:
        key = data[at]
        at += 1
        if key > 127:
            key, at = _varint(data, at - 1)
        wire = key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise Malformed(f"wire type {wire} is not used by Kubernetes")
        start, at = at, at + size
        if at > end:
            raise Malformed("the body ends in the middle of a field")
        yield key >> 3, data[start:at]


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise Malformed("a number stands where bytes belong")
    return value


def _number(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise Malformed("bytes stand where a number belongs")
    return value - (1 << 64) if value >= 1 << 63 else value


def _text(value: int | memoryview) -> str:
    try:
        return str(_bytes(value), "utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(f"a text is no UTF-8: {error}") from error


# --- messages ---


Read = Callable[[Any, int], Any]
"""A field's value on the wire, and how deep it stands -> its value in the document."""


def _message(name: str, data: memoryview, depth: int) -> Document:
    if depth > DEEPEST:
        raise Malformed(f"more than {DEEPEST} messages stand in each other")
    known = _readers(name)
    found: Document = {}
    for number, value in _parts(data):
        if number not in known:
            continue  # of a newer version, which JSON's decoder would have warned of; there is no name to tell
        field, read = known[number]
        made = read(value, depth)
        if field.inline:
            found.update(made)
        elif field.type[0] == "{":
            entries = found.setdefault(field.name, {})
            entries.update({key: held for key, held in made.items() if held is not None})
        elif field.repeated:
            found.setdefault(field.name, []).append(made)
        elif made is not None and (field.zero_counts or made not in ("", 0, False) or field.type not in PLAIN):
            found[field.name] = made
    return found


@cache
def _readers(name: str) -> dict[int, tuple[Field, Read]]:
    """The fields of a message by number, each with what reads it."""
    return {number: (field, _reader(field.type)) for number, field in fields(name).items()}


@cache
def _reader(type_: str) -> Read:
    if plain := PLAIN.get(type_):
        return lambda value, _: plain(value)
    if type_.startswith("{"):
        held = type_.strip("{}")
        return lambda value, depth: _entry(held, _bytes(value), depth)
    if well_known := WELL_KNOWN.get(type_):
        return lambda value, _: well_known(_bytes(value))
    if schemas := SCHEMAS.get(type_):
        return lambda value, depth: schemas(_bytes(value), depth)
    if type_.rpartition(".")[2] in LISTS:
        return lambda value, _: [_text(inner) for _, inner in _parts(_bytes(value))]
    return lambda value, depth: _message(type_, _bytes(value), depth + 1)


def _entry(type_: str, data: memoryview, depth: int) -> dict[str, Any]:
    """One entry of a map: key and value, either left out when it is empty."""
    key, held = "", None
    for number, value in _parts(data):
        if number == 1:
            key = _text(value)
        elif number == 2:
            held = _reader(type_)(value, depth)
    if held is None:
        held = "" if type_ in ("string", "bytes") else _reader(type_)(memoryview(b""), depth)
    return {key: held}


def _double(value: int | memoryview) -> float:
    data = _bytes(value)
    if len(data) != 8:
        raise Malformed("a number of another size stands where eight bytes belong")
    return float(struct.unpack("<d", data)[0])


PLAIN: dict[str, Callable[[int | memoryview], Any]] = {
    "string": _text,
    "bytes": lambda value: base64.b64encode(_bytes(value)).decode(),
    "bool": lambda value: bool(_number(value)),
    "int32": _number,
    "int64": _number,
    "double": _double,
}


def _numbers(data: memoryview) -> dict[int, int | memoryview]:
    return dict(_parts(data))


def _moment(data: memoryview) -> datetime | None:
    """None for the empty message, which is Go's zero time."""
    if not data:
        return None
    parts = _numbers(data)
    try:
        return EPOCH + timedelta(seconds=_number(parts.get(1, 0)), microseconds=_number(parts.get(2, 0)) // 1000)
    except OverflowError as error:
        raise Malformed("a time is out of range") from error


def _time(data: memoryview) -> str | None:
    moment = _moment(data)
    return None if moment is None else rfc3339(moment)


def _micro_time(data: memoryview) -> str | None:
    moment = _moment(data)
    return None if moment is None else rfc3339_micro(moment)


def _duration(data: memoryview) -> str:
    """As Go writes it, of which whole seconds are enough here: durations stand in configuration only."""
    return f"{_number(_numbers(data).get(1, 0)) / 1e9:g}s"


def _quantity(data: memoryview) -> str:
    return _text(_numbers(data).get(1, memoryview(b""))) or "0"


def _int_or_string(data: memoryview) -> int | str:
    parts = _numbers(data)
    return _text(parts.get(3, memoryview(b""))) if _number(parts.get(1, 0)) else _number(parts.get(2, 0))


def _json(data: memoryview) -> Any:
    raw = bytes(_bytes(_numbers(data).get(1, memoryview(b""))))
    if not raw:
        return None
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"a JSON value in the body is malformed: {error}") from error


def _schema(value: int | memoryview, depth: int) -> Document:
    return _message("apiextensions.v1.JSONSchemaProps", _bytes(value), depth + 1)


def _schema_or_list(data: memoryview, depth: int) -> Any:
    """One schema, or a list of them."""
    parts = list(_parts(data))
    if parts and parts[0][0] == 1:
        return _schema(parts[0][1], depth)
    return [_schema(value, depth) for number, value in parts if number == 2]


def _schema_or_bool(data: memoryview, depth: int) -> Any:
    parts = _numbers(data)
    return _schema(parts[2], depth) if 2 in parts else bool(_number(parts.get(1, 0)))


def _schema_or_texts(data: memoryview, depth: int) -> Any:
    parts = list(_parts(data))
    if parts and parts[0][0] == 1:
        return _schema(parts[0][1], depth)
    return [_text(value) for number, value in parts if number == 2]


SCHEMAS: dict[str, Callable[[memoryview, int], Any]] = {
    "apiextensions.v1.JSONSchemaPropsOrArray": _schema_or_list,
    "apiextensions.v1.JSONSchemaPropsOrBool": _schema_or_bool,
    "apiextensions.v1.JSONSchemaPropsOrStringArray": _schema_or_texts,
}
WELL_KNOWN: dict[str, Callable[[memoryview], Any]] = {
    "meta.v1.Time": _time,
    "meta.v1.MicroTime": _micro_time,
    "meta.v1.Duration": _duration,
    "meta.v1.FieldsV1": _json,
    "resource.Quantity": _quantity,
    "intstr.IntOrString": _int_or_string,
    "runtime.RawExtension": _json,
    "apiextensions.v1.JSON": _json,
}
