"""A short way to write the schema of a CustomResourceDefinition down: one function for each shape of value.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]
Rule = tuple[str, str]
"""An expression in CEL on `self`, and what is wrong where it does not hold."""


def text(most: int = 0, least: int = 0, pattern: str = "", *, default: str | None = None) -> Schema:
    """most, least: characters, 0 for any."""
    bounds = {"maxLength": most, "minLength": least, "pattern": pattern}
    found: dict[str, Any] = {"type": "string", **{name: bound for name, bound in bounds.items() if bound}}
    return found if default is None else {**found, "default": default}


def choice(*values: str, default: str | None = None) -> Schema:
    found: dict[str, Any] = {"type": "string", "enum": list(values)}
    return found if default is None else {**found, "default": default}


def whole(least: int, most: int | None = None, *, default: int | None = None, bits: int = 32) -> Schema:
    bounds = {"minimum": least, "maximum": most, "default": default}
    given = {name: bound for name, bound in bounds.items() if bound is not None}
    return {"type": "integer", "format": f"int{bits}", **given}


def record(fields: Mapping[str, Schema], *rules: Rule) -> Schema:
    """fields: by their names; a `!` behind a name says that the field must be there."""
    needed = sorted(name.removesuffix("!") for name in fields if name.endswith("!"))
    found: dict[str, Any] = {
        "type": "object",
        "properties": {name.removesuffix("!"): schema for name, schema in fields.items()},
    }
    if needed:
        found["required"] = needed
    return ruled(found, *rules)


def series(
    item: Schema, most: int, *rules: Rule, least: int = 0, keys: Sequence[str] = (), unlike: bool = False
) -> Schema:
    """keys: fields that tell items apart, for who merges. unlike: no two items are equal."""
    form = "map" if keys else "set" if unlike else "atomic"
    found: dict[str, Any] = {"type": "array", "items": item, "maxItems": most, "x-kubernetes-list-type": form}
    if least:
        found["minItems"] = least
    if keys:
        found["x-kubernetes-list-map-keys"] = list(keys)
    return ruled(found, *rules)


def names_to(value: Schema, most: int, *rules: Rule) -> Schema:
    """Any names, each with a value of one shape."""
    return ruled({"type": "object", "additionalProperties": value, "maxProperties": most}, *rules)


def defaulted(schema: Schema, value: Any) -> Schema:
    return {**schema, "default": value}


def about(schema: Schema, said: str) -> Schema:
    return {**schema, "description": said}


def ruled(schema: Schema, *rules: Rule) -> Schema:
    if not rules:
        return schema
    return {**schema, "x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in rules]}


def union(tag: str, members: Mapping[str, str]) -> Iterator[Rule]:
    """members: fields, and for each the value of `tag` that it goes with."""
    for field, value in members.items():
        yield f"has(self.{field}) == (self.{tag} == '{value}')", f"{field} goes with {tag} {value}: both or neither"


def once(tag: str, *values: str) -> Iterator[Rule]:
    """Of a list: at most one item's `tag` has each of the values."""
    for value in values:
        yield f"self.filter(one, one.{tag} == '{value}').size() <= 1", f"{value} may be given once"
