"""What a schema of a custom resource may say: it must be structural, and its defaults must fit it.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from navarch.base.errors import BadRequest, Cause
from navarch.kinds.custom_schema import META_FIELDS, Structural
from navarch.kinds.custom_values import bad_pattern, causes
from navarch.kinds.rules import Faults
from navarch.kinds.schema import definition
from navarch.kinds.schema_check import check
from navarch.kinds.typos import Unknown
from navarch.objects.value import Document

SCHEMA = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
TYPES = ("array", "boolean", "integer", "number", "object", "string")
JUNCTORS = ("allOf", "anyOf", "oneOf")
STRUCTURE = (
    "default",
    "additionalProperties",
    "nullable",
    "title",
    "description",
    "x-kubernetes-preserve-unknown-fields",
)
DEEPEST = 64
RULES = "x-kubernetes-validations"
MOST_RULES = 1_000
"""Expressions of one schema: each takes its time to be compiled. Kubernetes bounds only what they may cost."""
REASONS = ("FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate")
X_LIST, X_KEYS = "x-kubernetes-list-type", "x-kubernetes-list-map-keys"
EMBEDDED, INT_OR_STRING = "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string"
PRESERVE = "x-kubernetes-preserve-unknown-fields"


def find_schema(schema: Document, path: str) -> Document | None:
    """The schema of the field at a simple JSON path (`.spec.color`)."""
    here: Any = schema
    for step in path.removeprefix(".").split("."):
        properties = here.get("properties") if isinstance(here, dict) else None
        here = properties.get(step) if isinstance(properties, dict) else None
    return here if isinstance(here, dict) else None


def check_schema(faults: Faults, schema: Document, at: str) -> None:
    """A whole schema, as one that is new."""
    if why := _malformed(schema, at, 0):
        faults.invalid(why[0], "", why[1])
        return
    if schema.get("type") != "object":
        if not schema.get("type"):
            faults.required(f"{at}.type", "must not be empty at the root")
        else:
            faults.invalid(f"{at}.type", schema["type"], "must be object at the root")
    for field in ("nullable", "default"):
        if schema.get(field):
            faults.forbidden(
                f"{at}.{field}",
                "must not be set at the root" if field == "default" else "nullable cannot be true at the root",
            )
    metadata = (schema.get("properties") or {}).get("metadata")
    if isinstance(metadata, dict):
        _metadata(faults, metadata, f"{at}.properties[metadata]")
    before = len(faults.causes)
    _node(faults, schema, at, 0, root=True)
    if len(faults.causes) == before and (count := _count_rules(schema)) > MOST_RULES:
        faults.too_many(at, count, MOST_RULES)
    if len(faults.causes) == before:
        _defaults_and_rules(faults, Structural(schema, root=True), at)
    if len(faults.causes) == before and b'"x-kubernetes-validations"' in orjson.dumps(schema):
        from navarch.kinds.custom_costs import check_costs  # servers without such rules need no expressions

        check_costs(faults, Structural(schema, root=True), at)


def _count_rules(schema: Any) -> int:
    """Of a schema and all below it."""
    below = [schema.get("items"), schema.get("additionalProperties"), *(schema.get("properties") or {}).values()]
    return len(schema.get(RULES) or ()) + sum(_count_rules(one) for one in below if isinstance(one, dict))


def _malformed(schema: Any, at: str, depth: int, known: bool = True) -> tuple[str, str] | None:
    """Where something is no schema, and why: the published one lets anything be `items` and `additionalProperties`.

    known: to be of the right types, but for those.
    """
    if depth > DEEPEST:
        return at, f"a schema must not be nested deeper than {DEEPEST} levels"
    if not isinstance(schema, dict):
        return at, "must be an object"
    try:
        if not known:
            check(definition(SCHEMA), schema, "ignore")
    except BadRequest as refusal:
        return at, refusal.message.rpartition(": json: ")[2]
    inner = [(f"{at}.properties[{name}]", below, True) for name, below in (schema.get("properties") or {}).items()]
    inner += [(f"{at}.not", schema["not"], True)] if schema.get("not") is not None else []
    inner += [(f"{at}.{key}[{i}]", part, True) for key in JUNCTORS for i, part in enumerate(schema.get(key) or ())]
    for key in ("items", "additionalProperties"):
        if not isinstance(schema.get(key), bool | None):
            inner.append((f"{at}.{key}", schema[key], False))
    return next(filter(None, (_malformed(below, where, depth + 1, sure) for where, below, sure in inner)), None)


def _metadata(faults: Faults, schema: Document, at: str) -> None:
    extra = set(schema.get("properties") or {}) - {"name", "generateName"}
    if extra or set(schema) - {"type", "properties", "description"}:
        detail = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        faults.forbidden(at, detail)


def _node(
    faults: Faults, schema: Document, at: str, depth: int, *, root: bool = False, where: str = "object fields"
) -> None:
    if depth > DEEPEST:
        faults.invalid(at, "", f"a schema must not be nested deeper than {DEEPEST} levels")
        return
    type_ = schema.get("type")
    if not type_ and not root and not schema.get(INT_OR_STRING) and not schema.get(PRESERVE):
        faults.required(f"{at}.type", f"must not be empty for specified {where}")
    elif type_ and type_ not in TYPES:
        faults.unsupported(f"{at}.type", type_, TYPES)
    _forbidden(faults, schema, at)
    _lists(faults, schema, at)
    if schema.get(EMBEDDED) and type_ != "object":
        faults.invalid(f"{at}.type", type_ or "", f"must be object if {EMBEDDED} is true")
    if schema.get(EMBEDDED) and not schema.get("properties") and not schema.get(PRESERVE):
        faults.required(f"{at}.properties", f"must not be empty if {EMBEDDED} is true without {PRESERVE}")
    for name, below in (schema.get("properties") or {}).items():
        if root and name in META_FIELDS:
            continue
        _node(faults, below, f"{at}.properties[{name}]", depth + 1)
    if isinstance(schema.get("additionalProperties"), dict):
        _node(faults, schema["additionalProperties"], f"{at}.additionalProperties", depth + 1)
    if isinstance(schema.get("items"), dict):
        _node(faults, schema["items"], f"{at}.items", depth + 1, where="array items")
    elif type_ == "array":
        faults.required(f"{at}.items", "must be specified")
    _junctors(faults, schema, at, depth)


def _forbidden(faults: Faults, schema: Document, at: str) -> None:
    if schema.get("$ref"):
        faults.forbidden(f"{at}.$ref", "$ref is not supported")
    if schema.get("uniqueItems"):
        faults.forbidden(
            f"{at}.uniqueItems", "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        )
    if schema.get("additionalProperties") is False:
        faults.forbidden(f"{at}.additionalProperties", "additionalProperties cannot be set to false")
    if schema.get("additionalProperties") is not None and schema.get("properties"):
        faults.forbidden(f"{at}.additionalProperties", "additionalProperties and properties are mutual exclusive")
    if schema.get(PRESERVE) is False:
        faults.invalid(f"{at}.{PRESERVE}", False, "must be true or undefined")
    for field in ("patternProperties", "dependencies", "definitions", "additionalItems"):
        if schema.get(field):
            faults.forbidden(f"{at}.{field}", f"{field} is not supported")
    if schema.get("pattern") and (why := bad_pattern(schema["pattern"])):
        faults.invalid(f"{at}.pattern", schema["pattern"], f"must be a valid regular expression, but isn't: {why}")


def _rule(faults: Faults, node: Structural, entry: Document, at: str) -> None:
    """One expression and what it says when it does not hold."""
    from navarch.kinds.custom_types import wrong  # servers without such rules need no expressions

    if not str(entry.get("rule") or "").strip():
        faults.required(f"{at}.rule", "rule is not specified")
        return
    for field in ("rule", "messageExpression"):
        if entry.get(field) and (why := wrong(node, entry, field)):
            faults.invalid(f"{at}.{field}", entry[field], why)
    if (reason := entry.get("reason")) is not None and reason not in REASONS:
        faults.unsupported(f"{at}.reason", reason, REASONS)
    if entry.get("message") and "\n" in entry["message"].strip():
        faults.invalid(f"{at}.message", entry["message"], "message must not contain line breaks")
    if entry.get("fieldPath") and not entry["fieldPath"].startswith("."):
        faults.invalid(f"{at}.fieldPath", entry["fieldPath"], "fieldPath must begin with a dot")


def _lists(faults: Faults, schema: Document, at: str) -> None:
    kind, keys = schema.get(X_LIST), schema.get(X_KEYS) or ()
    if kind is not None and schema.get("type") != "array":
        faults.invalid(f"{at}.type", schema.get("type") or "", f"must be array if {X_LIST} is specified")
    if kind not in (None, "atomic", "set", "map"):
        faults.unsupported(f"{at}.{X_LIST}", kind, ("atomic", "set", "map"))
    if keys and kind != "map":
        faults.invalid(f"{at}.{X_LIST}", kind or "", f"must be map if {X_KEYS} is non-empty")
    if kind != "map":
        return
    items = schema.get("items")
    if not keys:
        faults.required(f"{at}.{X_KEYS}", f"must not be empty if {X_LIST} is map")
    if not isinstance(items, dict):
        return
    if items.get("type") != "object":
        faults.invalid(f"{at}.items.type", items.get("type") or "", f"must be object if parent array's {X_LIST} is map")
    properties: Mapping[str, Document] = items.get("properties") or {}
    for i, key in enumerate(keys):
        if key not in properties:
            faults.invalid(f"{at}.{X_KEYS}[{i}]", key, "entries must all be names of item properties")
        elif key not in (items.get("required") or ()) and "default" not in properties[key]:
            detail = f"this property is in {X_KEYS}, so it must have a default or be a required property"
            faults.required(f"{at}.items.properties[{key}].default", detail)


def _junctors(faults: Faults, schema: Document, at: str, depth: int) -> None:
    """What stands inside of allOf, anyOf, oneOf and not is about values only."""
    both = bool(schema.get(INT_OR_STRING))
    for name in JUNCTORS:
        for i, part in enumerate(schema.get(name) or ()):
            _value_only(faults, part, f"{at}.{name}[{i}]", depth + 1, both)
    if isinstance(schema.get("not"), dict):
        _value_only(faults, schema["not"], f"{at}.not", depth + 1, False)


def _value_only(faults: Faults, schema: Document, at: str, depth: int, typed: bool) -> None:
    """typed: the two types of an int-or-string may be named."""
    if depth > DEEPEST:
        faults.invalid(at, "", f"a schema must not be nested deeper than {DEEPEST} levels")
        return
    if schema.get("type") and not (typed and schema["type"] in ("integer", "string")):
        faults.forbidden(f"{at}.type", "must be empty to be structural")
    for field in STRUCTURE:
        if schema.get(field):
            faults.forbidden(f"{at}.{field}", "must be undefined to be structural")
    for name, below in (schema.get("properties") or {}).items():
        _value_only(faults, below, f"{at}.properties[{name}]", depth + 1, False)
    if isinstance(schema.get("items"), dict):
        _value_only(faults, schema["items"], f"{at}.items", depth + 1, False)
    for name in JUNCTORS:
        for i, part in enumerate(schema.get(name) or ()):
            _value_only(faults, part, f"{at}.{name}[{i}]", depth + 1, typed)


def _defaults_and_rules(faults: Faults, node: Structural, at: str) -> None:
    """Each default is pruned already and fits the schema at its place, and each rule can be evaluated there."""
    for number, entry in enumerate(node.schema.get(RULES) or ()):
        _rule(faults, node, entry, f"{at}.{RULES}[{number}]")
    if "default" in node.schema:
        value = node.schema["default"]
        unknown: Unknown = []
        node.settle(value, unknown)
        if unknown:
            faults.invalid(f"{at}.default", value, "must not have unknown fields")
        for cause in causes(node, node.fill(value)):
            field = f"{at}.default" + (f".{cause.field}" if cause.field and cause.field != "<nil>" else "")
            faults.causes.append(Cause(cause.reason, cause.message, field))
    for name, below in node.fields.items():
        _defaults_and_rules(faults, below, f"{at}.properties[{name}]")
    if node.items is not None:
        _defaults_and_rules(faults, node.items, f"{at}.items")
    if node.additional is not None:
        _defaults_and_rules(faults, node.additional, f"{at}.additionalProperties")
