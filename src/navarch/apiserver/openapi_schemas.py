"""The published definitions in the two forms that OpenAPI documents want: version 3 and Swagger 2.

Read when a document is asked for and let go again: nothing parsed is kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any, Literal, cast

import msgspec
import orjson

from navarch.kinds import custom_published
from navarch.kinds.metrics_published import DEFINITIONS as METRICS
from navarch.objects.value import Document

Form = Literal["v2", "v3"]

OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
LIST_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
PREFIXES = {"v2": "#/definitions/", "v3": "#/components/schemas/"}
ZEROS: dict[str, Any] = {"string": "", "boolean": False, "integer": 0, "number": 0, "object": {}, "array": []}
DROPPED = ("$schema", "additionalItems")

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read() -> bytes:
    """The file of all definitions."""
    return resources.files("navarch.kinds").joinpath("definitions.json").read_bytes()


def digest() -> str:
    return hashlib.sha256(read()).hexdigest()


class Definitions:
    """The definitions of the file, each parsed when it is needed, those of custom resources and those of metrics."""

    def __init__(self, custom: Mapping[str, Document] | None = None) -> None:
        self._raw = _decode.decode(read())
        self._custom = custom or {}

    def __contains__(self, name: str) -> bool:
        return name in self._raw

    def names(self) -> Iterable[str]:
        return self._raw

    def closure(self, wanted: Iterable[str], form: Form) -> dict[str, Document]:
        """Those definitions and all that they refer to, in the form asked for, by name."""
        found: dict[str, Document] = {}
        waiting = [name for name in wanted if name in self._raw or name in self._custom or name in METRICS]
        while waiting:
            name = waiting.pop()
            if name not in found:
                if name in self._custom:
                    found[name] = custom_published.formed(self._custom[name], form, PREFIXES[form])
                    waiting.extend({OBJECT_META, LIST_META} - found.keys())
                    continue
                references: set[str] = set()
                plain = METRICS.get(name)
                document = plain or cast(Document, orjson.loads(bytes(self._raw[name])))
                found[name] = _top(name, converted(document, form, references), form)
                waiting.extend(references - found.keys())
        return dict(sorted(found.items()))


def _top(name: str, schema: Document, form: Form) -> Document:
    """The two types that are written as one of two JSON types."""
    if name in (INT_OR_STRING, QUANTITY):
        schema.pop("oneOf", None)
        if form == "v2":
            schema["type"] = "string"
        else:
            schema["oneOf"] = [{"type": "string"}, {"type": "integer" if name == INT_OR_STRING else "number"}]
        if name == INT_OR_STRING:
            schema["format"] = "int-or-string"
    return schema


def converted(schema: Document, form: Form, references: set[str]) -> Document:
    """One schema, with everything below it; the names that it refers to are added to `references`."""
    found: Document = {}
    for key, value in schema.items():
        if key in DROPPED:
            continue
        if key == "properties":
            found[key] = {
                name: _member(inner, form, references, name in schema.get("required", ()))
                for name, inner in value.items()
            }
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            found[key] = _member(value, form, references, True) if form == "v3" else converted(value, form, references)
        elif key == "type" and isinstance(value, list):
            found[key] = next(entry for entry in value if entry != "null")
        elif key == "$ref":
            name = value.rpartition("/")[2]
            references.add(name)
            found[key] = PREFIXES[form] + name
        elif key == "enum" and _names_the_kind(value, schema):
            continue
        else:
            found[key] = value
    return found


def _names_the_kind(values: list[Any], schema: Document) -> bool:
    """The file says of `apiVersion` and `kind` which values they have; the published documents do not."""
    return str(schema.get("description", "")).startswith(("APIVersion defines", "Kind is a string value"))


def _member(schema: Document, form: Form, references: set[str], required: bool) -> Document:
    """In version 3 a reference beside which something stands is wrapped, and required members have a zero."""
    found = converted(schema, form, references)
    if form == "v3":
        reference = found.pop("$ref", None)
        if reference is not None:
            found = {"allOf": [{"$ref": reference}], **found}
            if required:
                found["default"] = {}
        elif required and "default" not in found and found.get("type") in ("string", "boolean", "integer", "number"):
            found["default"] = ZEROS[found["type"]]
    return found
