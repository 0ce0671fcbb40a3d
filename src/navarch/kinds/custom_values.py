"""Whether a custom resource's values are those that its schema allows, told as Kubernetes tells it.

On an update what was stored before, and did not change, is let be even if the schema has become stricter since
(ratcheting). Rules in CEL are `custom_rules`'.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import orjson

from navarch.base.errors import Cause
from navarch.kinds.custom_formats import FORMATS
from navarch.kinds.custom_schema import Structural
from navarch.kinds.rules import shown
from navarch.objects.value import ABSENT, Document, Path, field_path

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}


def causes(node: Structural, value: Any, old: Any = ABSENT) -> Iterator[Cause]:
    """Every fault of `value`. old: what was stored at the same place, which is forgiven where it stays as it is."""
    yield from _node(node, value, old, ())


def _node(node: Structural, value: Any, old: Any, path: Path) -> Iterator[Cause]:
    if old is not ABSENT and old == value and type(old) is type(value):
        return
    if value is None and node.nullable:
        return
    wrong = _wrong_type(node, value, path)
    if wrong is not None:
        yield wrong
        return
    yield from keywords(node.schema, value, path)
    if isinstance(value, dict):
        yield from _object(node, value, old, path)
    elif isinstance(value, list):
        yield from _list(node, value, old, path)


def _object(node: Structural, value: Document, old: Any, path: Path) -> Iterator[Cause]:
    before = old if isinstance(old, dict) else {}
    for name, one in value.items():
        below = node.below(name)
        if below is not None and not (name == "metadata" and node.resource):
            yield from _node(below, one, before.get(name, ABSENT), (*path, name))
    if node.resource and path:
        yield from _embedded(value, path)


def _embedded(value: Document, path: Path) -> Iterator[Cause]:
    """An embedded resource says what it is."""
    for name in ("apiVersion", "kind"):
        found = value.get(name)
        if not found:
            yield Cause("FieldValueRequired", "Required value: must not be empty", field_path((*path, name)))
        elif not isinstance(found, str):
            yield _cause(f"{shown(found)}: must be a string", (*path, name))


def _list(node: Structural, value: list[Any], old: Any, path: Path) -> Iterator[Cause]:
    known = correlated(node, old) if isinstance(old, list) else {}
    seen: set[bytes] = set()
    for i, one in enumerate(value):
        key = item_key(node, one)
        if key is not None:
            if key in seen:
                same = one if node.list_type == "set" else {name: one[name] for name in node.keys if name in one}
                yield Cause("FieldValueDuplicate", f"Duplicate value: {shown(same)}", field_path((*path, i)))
            seen.add(key)
        if node.items is not None:
            yield from _node(node.items, one, known.get(key, ABSENT) if key is not None else ABSENT, (*path, i))


def item_key(node: Structural, item: Any) -> bytes | None:
    """By what an item of a set or a map of items is the same as another; None in atomic lists."""
    if node.list_type == "set":
        return orjson.dumps(item, option=orjson.OPT_SORT_KEYS)
    if node.list_type == "map" and isinstance(item, dict):
        return orjson.dumps([item.get(name) for name in node.keys])
    return None


def correlated(node: Structural, old: list[Any]) -> dict[bytes, Any]:
    """The items of a stored list by their keys; nothing for atomic lists."""
    found = {}
    for item in old:
        key = item_key(node, item)
        if key is not None:
            found[key] = item
    return found


def _wrong_type(node: Structural, value: Any, path: Path) -> Cause | None:
    if node.int_or_string:
        if _TYPES["integer"](value) or isinstance(value, str):
            return None
        return _type_cause("integer,string", value, path)
    if not node.type:
        return None
    if _TYPES.get(node.type, _anything)(value):
        return None
    if node.type == "integer" and isinstance(value, float) and value.is_integer():
        return None
    return _type_cause(node.type, value, path)


def _anything(value: Any) -> bool:
    return True


def _type_cause(wanted: str, value: Any, path: Path) -> Cause:
    name, has = field_path(path), _type_name(value)
    message = f'Invalid value: "{has}": {name or "."} in body must be of type {wanted}: "{has}"'
    return Cause("FieldValueTypeInvalid", message, name or "<nil>")


def _type_name(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _cause(message: str, path: Path) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {message}", field_path(path) or "<nil>")


# The keywords of one schema, whatever the type that it says.


def keywords(schema: Document, value: Any, path: Path) -> Iterator[Cause]:
    """What the value keywords find, those inside allOf, anyOf, oneOf and not included."""
    if "enum" in schema and value not in schema["enum"]:
        listed = ", ".join(shown(one) for one in schema["enum"])
        message = f"Unsupported value: {shown(value)}: supported values: {listed}"
        yield Cause("FieldValueNotSupported", message, field_path(path))
    if isinstance(value, str):
        yield from _text(schema, value, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number(schema, value, path)
    elif isinstance(value, list):
        yield from _length(schema, len(value), "items", "minItems", "maxItems", path, value)
    elif isinstance(value, dict):
        yield from _length(schema, len(value), "properties", "minProperties", "maxProperties", path, value)
        for name in schema.get("required") or ():
            if name not in value:
                yield Cause("FieldValueRequired", "Required value", field_path((*path, name)))
    yield from _junctors(schema, value, path)


def _text(schema: Document, value: str, path: Path) -> Iterator[Cause]:
    where = f"{shown(value)}: {field_path(path)} in body"
    if (least := schema.get("minLength")) is not None and len(value) < least:
        yield _cause(f"{where} should be at least {least} chars long", path)
    if (most := schema.get("maxLength")) is not None and len(value) > most:
        yield Cause("FieldValueTooLong", f"Too long: may not be more than {most} bytes", field_path(path))
    pattern = schema.get("pattern")
    if pattern and not _pattern(pattern).search(value):
        yield _cause(f"{where} should match '{pattern}'", path)
    form: str = schema.get("format") or ""
    if form in FORMATS and not FORMATS[form](value):
        yield Cause("FieldValueInvalid", f'Invalid value: {where} must be of type {form}: "{value}"', field_path(path))


@lru_cache(maxsize=4096)
def _pattern(text: str) -> Any:
    """In Go's syntax, and matched in linear time: a pattern comes from a client and must not hold up the server."""
    import re2

    options: Any = re2.Options()
    options.log_errors = False
    compile_: Any = re2.compile
    return compile_(text, options)


def bad_pattern(text: str) -> str:
    """Why a text is no regular expression, "" for a good one."""
    import re2

    try:
        _pattern(text)
    except re2.error as error:
        return str(error.args[0] if error.args else error)
    return ""


def _number(schema: Document, value: float, path: Path) -> Iterator[Cause]:
    where = f"{shown(value)}: {field_path(path)} in body should be"
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None:
        if schema.get("exclusiveMinimum"):
            if value <= least:
                yield _cause(f"{where} greater than {_plain(least)}", path)
        elif value < least:
            yield _cause(f"{where} greater than or equal to {_plain(least)}", path)
    if most is not None:
        if schema.get("exclusiveMaximum"):
            if value >= most:
                yield _cause(f"{where} less than {_plain(most)}", path)
        elif value > most:
            yield _cause(f"{where} less than or equal to {_plain(most)}", path)
    factor = schema.get("multipleOf")
    if factor and not _is_multiple(value, factor):
        yield _cause(f"{where} a multiple of {_plain(factor)}", path)
    bits = {"int32": 32, "int64": 64}.get(schema.get("format", ""))
    if bits and not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
        form = schema["format"]
        yield _cause(f'{shown(value)}: {field_path(path)} in body must be of type {form}: "{value}"', path)


def _plain(value: float) -> str:
    return str(int(value)) if isinstance(value, int) or value.is_integer() else str(value)


def _is_multiple(value: float, factor: float) -> bool:
    if isinstance(value, int) and isinstance(factor, int):
        return value % factor == 0
    return math.isclose(value / factor, round(value / factor), rel_tol=1e-9)


def _length(
    schema: Document, count: int, what: str, least_key: str, most_key: str, path: Path, value: Any
) -> Iterator[Cause]:
    least, most = schema.get(least_key), schema.get(most_key)
    if least is not None and count < least:
        yield _cause(f"{shown(value)}: {field_path(path)} in body should have at least {least} {what}", path)
    if most is not None and count > most:
        yield Cause("FieldValueTooMany", f"Too many: {count}: must have at most {most} items", field_path(path))


def _junctors(schema: Document, value: Any, path: Path) -> Iterator[Cause]:
    name = field_path(path)
    if parts := schema.get("allOf"):
        found = [cause for part in parts for cause in _nested(part, value, path)]
        if found:
            yield _cause(f'"": "{name}" must validate all the schemas (allOf)', path)
            yield from found
    if parts := schema.get("anyOf"):
        results = [list(_nested(part, value, path)) for part in parts]
        if all(results):
            yield _cause(f'"": "{name}" must validate at least one schema (anyOf)', path)
            yield from min(results, key=len)
    if parts := schema.get("oneOf"):
        results = [list(_nested(part, value, path)) for part in parts]
        valid = sum(not result for result in results)
        if valid != 1:
            why = "Found none valid" if not valid else f"Found {valid} valid alternatives"
            yield _cause(f'"": "{name}" must validate one and only one schema (oneOf). {why}', path)
            if not valid:
                yield from min(results, key=len)
    if (part := schema.get("not")) is not None and not any(True for _ in _nested(part, value, path)):
        yield _cause(f'"": "{name}" must not validate the schema (not)', path)


def _nested(schema: Document, value: Any, path: Path) -> Iterator[Cause]:
    """A schema inside a junctor: it holds values only, and may go down into the document."""
    wanted = schema.get("type")
    if wanted and not _TYPES.get(wanted, _anything)(value):
        yield _type_cause(wanted, value, path)
        return
    yield from keywords(schema, value, path)
    if isinstance(value, dict):
        for name, part in (schema.get("properties") or {}).items():
            if name in value:
                yield from _nested(part, value[name], (*path, name))
        additional = schema.get("additionalProperties")
        if isinstance(additional, dict):
            for name in value.keys() - (schema.get("properties") or {}).keys():
                yield from _nested(additional, value[name], (*path, name))
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for i, one in enumerate(value):
            yield from _nested(schema["items"], one, (*path, i))
