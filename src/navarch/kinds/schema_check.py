"""Decoding a request's document as strictly as Kubernetes does, with its messages.

Structure and types are checked, unknown and duplicate fields found, nulls and empty lists and maps dropped, and
quantities and times written in their canonical form, as a decode into Go's types and back does. What a field's value
may be is the kinds' rules' business, and so are required fields.

Most documents are fine: `decode` first asks `schema_fast`, which only says yes or no; the walk here finds the messages.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from typing import Any

import orjson

from navarch.base.clock import parse_rfc3339, rfc3339, rfc3339_micro
from navarch.base.errors import BadRequest
from navarch.kinds.schema import Mode
from navarch.kinds.schema_duplicates import duplicates
from navarch.kinds.schema_fast import accepts
from navarch.kinds.typos import meant
from navarch.objects.quantity import WRONG_FORMAT, BadQuantity, canonical
from navarch.objects.shape import Shape
from navarch.objects.value import Document

MAX_REPORTED = 100
"""Go's decoder collects at most so many unknown and duplicate fields."""


def decode(
    shape: Shape, raw: bytes, mode: Mode = "strict", parsed: Document | None = None
) -> tuple[Document, list[str]]:
    """Parse a JSON body; returns the document and the warnings (mode `warn`). parsed: what `parse` made of it.

    Raises:
        BadRequest: no JSON object, a wrong type, or in mode `strict` unknown or duplicate fields.
    """
    document = parse(raw) if parsed is None else parsed
    compact = encoded(document)
    # A compact text that is no longer than its document has no room for a duplicate.
    if accepts(shape, raw) and (mode == "ignore" or len(compact) == len(raw.strip()) or not duplicates(raw)):
        return document, []
    return check(shape, document, mode, raw=raw)


def parse(raw: bytes) -> Document:
    """A JSON object from bytes. Raises: BadRequest."""
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"couldn't get version/kind; json parse error: {error}") from None
    if not isinstance(found, dict):
        message = f"json: cannot unmarshal {_described(found)} into Go value of type struct"
        raise BadRequest(f"couldn't get version/kind; json parse error: {message}")
    return found


def check(shape: Shape, document: Document, mode: Mode = "strict", *, raw: bytes = b"") -> tuple[Document, list[str]]:
    """The document without nulls and unknown fields, sharing what did not change, and the warnings.

    raw: the text it was parsed from, when it should be searched for duplicate fields.

    Raises:
        BadRequest: a wrong type (the first), or in mode `strict` unknown or duplicate fields (all of them).
    """
    if not raw and accepts(shape, encoded(document)):
        return document, []  # encoding and asking the compiled decoder costs a third of the walk
    walk = _Walk()
    checked = walk.value(shape, document)
    if walk.error:
        raise BadRequest(_refusal(document, walk.error))
    if mode == "ignore":
        return checked, []
    found = [f'unknown field "{path}"{meant}' for path, meant in walk.unknown]
    found += [f'duplicate field "{path}"' for path in (duplicates(raw) if raw else ())]
    if found and mode == "strict":
        raise BadRequest(_refusal(document, "strict decoding error: " + ", ".join(found[:MAX_REPORTED])))
    return checked, found[:MAX_REPORTED]


def encoded(document: Document) -> bytes:
    """What cannot be written cannot be stored. Raises: BadRequest."""
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError as error:
        reason = "exceeded max depth" if "ecursion" in str(error) else str(error)
        raise BadRequest(_refusal(document, f"json: {reason}")) from None


def _refusal(document: Document, reason: str) -> str:
    kind, api_version = document.get("kind", ""), str(document.get("apiVersion", ""))
    version = api_version.rpartition("/")[2]
    return f'{kind} in version "{version}" cannot be handled as a {kind}: {reason}'


_LAYOUT = "2006-01-02T15:04:05Z07:00"
_CANONICAL_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII).fullmatch
_CANONICAL_MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII).fullmatch


class _Walk:
    """One pass over one document. Keeps going after an error, as Go does, but remembers only the first."""

    def __init__(self) -> None:
        self.error = ""
        self.unknown: list[tuple[str, str]] = []  # where, and what may have been meant
        self._path: list[str] = []  # with list indices and map keys: how unknown fields are named
        self._names: list[str] = []  # names of struct fields only: how wrong types are named
        self._struct = ""

    def value(self, shape: Shape, value: Any) -> Any:
        form = shape.form
        if form == "string":
            return value if type(value) is str else self._mismatch(shape.go, value)
        if form == "object":
            return self._object(shape, value)
        if form == "list":
            return self._list(shape, value)
        if form == "map":
            return self._map(shape, value)
        if form == "integer":
            return self._integer(shape, value)
        if form == "any":
            return _without_nulls(value)
        return _SCALARS[form](self, shape, value)

    def _object(self, shape: Shape, value: Any) -> Any:
        if type(value) is not dict:
            return self._mismatch(shape.go, value)
        fields, outer = shape.fields, self._struct
        changed: Document | None = None
        for key, below in value.items():
            field = fields.get(key)
            if field is None:
                if shape.open:
                    continue
                like = meant(key, fields) if len(self.unknown) < MAX_REPORTED else ""
                self.unknown.append(("".join(self._path) + f".{key}" if self._path else key, like))
            if field is None or below is None:
                changed = dict(value) if changed is None else changed
                del changed[key]
                continue
            self._struct = shape.struct
            self._names.append(key)
            self._path.append(f".{key}" if self._path else key)
            got = self.value(field, below)
            self._names.pop()
            self._path.pop()
            if not got and shape.leaves_out(key):
                changed = dict(value) if changed is None else changed
                del changed[key]
            elif got is not below:
                changed = dict(value) if changed is None else changed
                changed[key] = got
        self._struct = outer
        return value if changed is None else changed

    def _map(self, shape: Shape, value: Any) -> Any:
        if type(value) is not dict:
            return self._mismatch(shape.go, value)
        item = shape.item
        assert item is not None
        changed: Document | None = None
        for key, below in value.items():
            self._path.append(f".{key}" if self._path else key)
            got = _zero(item) if below is None else self.value(item, below)
            self._path.pop()
            if got is not below:
                changed = dict(value) if changed is None else changed
                changed[key] = got
                if got is None:
                    del changed[key]
        return value if changed is None else changed

    def _list(self, shape: Shape, value: Any) -> Any:
        if type(value) is not list:
            return self._mismatch(shape.go, value)
        item = shape.item
        assert item is not None
        changed: list[Any] | None = None
        for i, below in enumerate(value):
            self._path.append(f"[{i}]")
            got = _zero(item) if below is None else self.value(item, below)
            self._path.pop()
            if got is not below:
                changed = list(value) if changed is None else changed
                changed[i] = got
        return value if changed is None else changed

    def _integer(self, shape: Shape, value: Any) -> Any:
        if type(value) is int:
            limit = 1 << (shape.bits - 1)
            return value if -limit <= value < limit else self._mismatch(shape.go, value, exact=True)
        return self._mismatch(shape.go, value, exact=True)

    def _boolean(self, shape: Shape, value: Any) -> Any:
        return value if type(value) is bool else self._mismatch(shape.go, value)

    def _number(self, shape: Shape, value: Any) -> Any:
        return value if type(value) in (int, float) else self._mismatch(shape.go, value)

    def _int_or_string(self, shape: Shape, value: Any) -> Any:
        if type(value) is str or (type(value) is int and -(1 << 31) <= value < 1 << 31):
            return value
        return self._mismatch("int32", value, exact=True)

    def _quantity(self, shape: Shape, value: Any) -> Any:
        try:
            text = canonical(value) if type(value) in (str, int, float) else None
        except BadQuantity as error:
            return self._fail(str(error), value)
        if text is None:
            return self._fail(WRONG_FORMAT, value)
        return value if text == value else text

    def _time(self, shape: Shape, value: Any) -> Any:
        if type(value) is not str:
            return self._mismatch("string", value)
        micro = shape.form == "micro-time"
        try:
            moment = parse_rfc3339(value)
        except ValueError:
            return self._fail(f'parsing time "{value}" as "{_LAYOUT}": cannot parse "{value}" as "2006"', value)
        if (_CANONICAL_MICRO_TIME if micro else _CANONICAL_TIME)(value):
            return value
        return rfc3339_micro(moment) if micro else rfc3339(moment)

    def _bytes(self, shape: Shape, value: Any) -> Any:
        if type(value) is not str:
            return self._mismatch(shape.go, value)
        try:
            text = value.replace("\n", "").replace("\r", "")
            b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            at = re.match(r"[A-Za-z0-9+/]*", value)
            return self._fail(f"illegal base64 data at input byte {at.end() if at else 0}", value)
        return value if text == value else text

    def _mismatch(self, go: str, value: Any, *, exact: bool = False) -> Any:
        """exact: Go shows a number that does not fit an integer."""
        shown = _described(value)
        if exact and shown == "number":
            shown = f"number {orjson.dumps(value).decode() if isinstance(value, float) else value}"
        where = f"struct field {self._struct}.{'.'.join(self._names)}" if self._names else "value"
        return self._fail(f"json: cannot unmarshal {shown} into Go {where} of type {go}", value)

    def _fail(self, message: str, value: Any) -> Any:
        self.error = self.error or message
        return value


_SCALARS: dict[str, Any] = {
    "boolean": _Walk._boolean,
    "number": _Walk._number,
    "int-or-string": _Walk._int_or_string,
    "quantity": _Walk._quantity,
    "time": _Walk._time,
    "micro-time": _Walk._time,
    "bytes": _Walk._bytes,
}


def _described(value: Any) -> str:
    """As Go's decoder names the type of a JSON value."""
    match value:
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case None:
            return "null"
        case _:
            return "object"


def _zero(shape: Shape) -> Any:
    """What a null in a list or a map decodes to."""
    match shape.form:
        case "object" | "map" | "any":
            return {}
        case "list":
            return []
        case "integer" | "number" | "int-or-string":
            return 0
        case "boolean":
            return False
        case "quantity":
            return "0"
        case "time" | "micro-time":
            return None  # written as null again, which nothing may be stored as
        case _:
            return ""


def _without_nulls(value: Any) -> Any:
    """Objects below without keys whose value is null; nulls in lists stay what they are worth: nothing else can be
    told about what has no schema."""
    if type(value) is dict:
        kept = {key: got for key, below in value.items() if (got := _without_nulls(below)) is not None}
        same = len(kept) == len(value) and all(kept[key] is value[key] for key in kept)
        return value if same else kept
    if type(value) is list:
        items = [_without_nulls(below) for below in value]
        return value if all(map(_is, items, value)) else items
    return value


def _is(left: Any, right: Any) -> bool:
    return left is right
