"""What a schema of a custom resource may say: it must be structural, and its defaults must fit it.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import eq
from typing import Any

import orjson

from navarch.base.errors import BadRequest, Cause
from navarch.kinds.custom_schema import META_FIELDS, Structural
from navarch.kinds.custom_values import bad_pattern, causes
from navarch.kinds.rules import Faults, repeats
from navarch.kinds.schema import definition
from navarch.kinds.schema_check import check
from navarch.kinds.typos import Unknown
from navarch.objects.value import Document

SCHEMA = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
TYPES = ("array", "boolean", "integer", "number", "object", "string")
JUNCTORS = ("allOf", "anyOf", "oneOf")
NOT_IN_JUNCTORS = {
    **dict.fromkeys(
        (
            "additionalProperties",
            "default",
            "externalDocs",
            "x-kubernetes-list-type",
            "x-kubernetes-map-type",
        ),
        "must be undefined to be structural",
    ),
    **dict.fromkeys(
        ("title", "description", "x-kubernetes-list-map-keys", "x-kubernetes-validations"),
        "must be empty to be structural",
    ),
    **dict.fromkeys(
        (
            "nullable",
            "x-kubernetes-preserve-unknown-fields",
            "x-kubernetes-embedded-resource",
            "x-kubernetes-int-or-string",
        ),
        "must be false to be structural",
    ),
}
"""What says of what structure a value is, and so has no place inside of allOf, anyOf, oneOf and not."""
EITHER = ({"type": "integer"}, {"type": "string"})
DEEPEST = 64
RULES = "x-kubernetes-validations"
MOST_RULES = 1_000
"""Expressions of one schema: each takes its time to be compiled. Kubernetes bounds only what they may cost."""
REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
X_LIST, X_KEYS, X_MAP = "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"
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
            if not schema.get(PRESERVE) and not schema.get(INT_OR_STRING):
                faults.required(f"{at}.type", "must not be empty at the root")
        else:
            faults.invalid(f"{at}.type", schema["type"], "must be object at the root")
    if schema.get("nullable"):
        faults.forbidden(f"{at}.nullable", "nullable cannot be true at the root")
    if schema.get("default"):
        faults.forbidden(f"{at}.default", "must not be set at the root")
    if schema.get("additionalProperties") is not None:
        faults.forbidden(f"{at}.additionalProperties", "must not be used at the root")
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
    if extra or any(value for field, value in schema.items() if field not in ("type", "properties", "default")):
        detail = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        faults.forbidden(at, detail)


def _resource(faults: Faults, schema: Document, at: str, root: bool) -> None:
    """What stands in every object is of the types that it has there."""
    properties: Mapping[str, Document] = schema.get("properties") or {}
    for name, type_ in (("kind", "string"), ("apiVersion", "string"), ("metadata", "object")):
        if name not in properties:
            continue
        where = f"{at}.properties[{name}]"
        if properties[name].get("type") != type_:
            faults.invalid(f"{where}.type", properties[name].get("type") or "", f"must be {type_}")
        if root and properties[name].get("default") is not None:
            faults.forbidden(f"{where}.default", f"must not be set in top-level {name}")


def _node(
    faults: Faults, schema: Document, at: str, depth: int, *, root: bool = False, where: str = "object fields"
) -> None:
    if depth > DEEPEST:
        faults.invalid(at, "", f"a schema must not be nested deeper than {DEEPEST} levels")
        return
    type_ = schema.get("type")
    if not type_ and not root and not any(schema.get(one) for one in (INT_OR_STRING, PRESERVE, EMBEDDED)):
        faults.required(f"{at}.type", f"must not be empty for specified {where}")
    elif type_ and type_ not in TYPES:
        faults.unsupported(f"{at}.type", type_, TYPES)
        if type_ == "null":
            faults.forbidden(f"{at}.type", "type cannot be set to null, use nullable as an alternative")
    _forbidden(faults, schema, at)
    _lists(faults, schema, at)
    if root or schema.get(EMBEDDED):
        _resource(faults, schema, at, root)
    _extensions(faults, schema, at)
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


def _extensions(faults: Faults, schema: Document, at: str) -> None:
    if schema.get(INT_OR_STRING):
        for field in (PRESERVE, EMBEDDED):
            if schema.get(field):
                faults.invalid(f"{at}.{field}", True, f"must be false if {INT_OR_STRING} is true")
    if schema.get(EMBEDDED):
        _typed(faults, schema, at, "object", f"if {EMBEDDED} is true")
        if schema.get("additionalProperties") is not None:
            faults.forbidden(f"{at}.additionalProperties", f"must not be used if {EMBEDDED} is set")
    if schema.get(X_MAP) is not None:
        _typed(faults, schema, at, "object", f"if {X_MAP} is specified")
        if schema[X_MAP] not in ("atomic", "granular"):
            faults.unsupported(f"{at}.{X_MAP}", schema[X_MAP], ("atomic", "granular"))


def _typed(faults: Faults, schema: Document, at: str, wanted: str, why: str) -> None:
    if not schema.get("type"):
        faults.required(f"{at}.type", f"must be {wanted} {why}")
    elif schema["type"] != wanted:
        faults.invalid(f"{at}.type", schema["type"], f"must be {wanted} {why}")


def _forbidden(faults: Faults, schema: Document, at: str) -> None:
    if schema.get("$ref"):
        faults.forbidden(f"{at}.$ref", "$ref is not supported")
    if schema.get("uniqueItems"):
        faults.forbidden(
            f"{at}.uniqueItems", "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        )
    if schema.get("additionalProperties") is False:
        faults.forbidden(f"{at}.additionalProperties", "additionalProperties cannot be set to false")
    if schema.get("additionalProperties") not in (None, True) and schema.get("properties"):
        faults.forbidden(f"{at}.additionalProperties", "additionalProperties and properties are mutual exclusive")
    if schema.get(PRESERVE) is False:
        faults.invalid(f"{at}.{PRESERVE}", False, "must be true or undefined")
    for field in ("id", "patternProperties", "dependencies", "definitions", "additionalItems"):
        if schema.get(field):
            faults.forbidden(f"{at}.{field}", f"{field} is not supported")
    if schema.get("pattern") and (why := bad_pattern(schema["pattern"])):
        faults.invalid(f"{at}.pattern", schema["pattern"], f"must be a valid regular expression, but isn't: {why}")


def _rule(faults: Faults, node: Structural, entry: Document, at: str, apart: str) -> None:
    """One expression and what it says when it does not hold. apart: as in `_defaults_and_rules`."""
    from navarch.cel.syntax import names as free_names
    from navarch.cel.syntax import parse
    from navarch.kinds.custom_types import wrong  # servers without such rules need no expressions

    rule, message = str(entry.get("rule") or "").strip(), str(entry.get("message") or "")
    if not rule:
        faults.required(f"{at}.rule", "rule is not specified")
    elif message and not message.strip():
        faults.invalid(f"{at}.message", message, "message must be non-empty if specified")
    elif _has_breaks(message.strip()):
        faults.invalid(f"{at}.message", message, "message must not contain line breaks")
    elif _has_breaks(rule) and not message.strip():
        faults.required(f"{at}.message", "message must be specified if rule contains line breaks")
    if entry.get("messageExpression") and not entry["messageExpression"].strip():
        faults.required(f"{at}.messageExpression", "messageExpression must be non-empty if specified")
    if (reason := entry.get("reason")) is not None and reason not in REASONS:
        faults.unsupported(f"{at}.reason", reason, REASONS)
    if path := entry.get("fieldPath"):
        if not path.strip():
            faults.invalid(f"{at}.fieldPath", path, "fieldPath must be non-empty if specified")
        if _has_breaks(path):
            faults.invalid(f"{at}.fieldPath", path, "fieldPath must not contain line breaks")
        if not _reaches(node.schema, path):
            faults.invalid(f"{at}.fieldPath", path, "fieldPath must be a valid path")
    if not rule:
        return
    for field in ("rule", "messageExpression"):
        if str(entry.get(field) or "").strip() and (why := wrong(node, entry, field)):
            faults.invalid(f"{at}.{field}", entry[field], why)
            return
    if "oldSelf" in free_names(parse(entry["rule"])):
        if apart:
            detail = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {apart}"
            faults.invalid(f"{at}.rule", entry["rule"], detail)
    elif entry.get("optionalOldSelf") is not None:
        detail = "may not be set if oldSelf is not used in rule"
        faults.invalid(f"{at}.optionalOldSelf", entry["optionalOldSelf"], detail)


def _reaches(schema: Document, path: str) -> bool:
    """Whether a path leads to a field; one with quoted names is believed to."""
    if "[" in path or not path.startswith("."):
        return path.startswith((".", "["))
    here: Any = schema
    for step in path[1:].split("."):
        properties = here.get("properties")
        here = properties.get(step) if properties else here.get("additionalProperties")
        if not isinstance(here, dict):
            return False
    return True


def _has_breaks(text: str) -> bool:
    return "\n" in text or "\r" in text


def _lists(faults: Faults, schema: Document, at: str) -> None:
    kind, keys = schema.get(X_LIST), schema.get(X_KEYS) or ()
    items = schema.get("items")
    if kind is not None and schema.get("type") != "array":
        _typed(faults, schema, at, "array", f"if {X_LIST} is specified")
    elif kind == "set" and isinstance(items, dict):
        _set_items(faults, items, f"{at}.items")
    if kind not in (None, "atomic", "set", "map"):
        faults.unsupported(f"{at}.{X_LIST}", kind, ("atomic", "set", "map"))
    if keys and kind is None:
        faults.required(f"{at}.{X_LIST}", f"must be map if {X_KEYS} is non-empty")
    elif keys and kind != "map":
        faults.invalid(f"{at}.{X_LIST}", kind, f"must be map if {X_KEYS} is non-empty")
    if kind == "map":
        if not keys:
            faults.required(f"{at}.{X_KEYS}", f"must not be empty if {X_LIST} is map")
        if items is None:
            faults.required(f"{at}.items", f"must have a schema if {X_LIST} is map")
    if not isinstance(items, dict):
        return
    if kind == "map":
        _keys(faults, schema, items, at)
    if kind in ("map", "set") and items.get("nullable"):
        faults.forbidden(f"{at}.items.nullable", f"cannot be nullable when {X_LIST} is {kind}")
    if kind == "map":
        _keys_there(faults, schema, items, at)


def _set_items(faults: Faults, items: Document, at: str) -> None:
    """Items of a set are compared as wholes."""
    detail = f"must be atomic as item of a list with {X_LIST}=set"
    if items.get("type") == "array" and items.get(X_LIST) not in (None, "atomic"):
        faults.invalid(f"{at}.{X_LIST}", items[X_LIST], detail)
    if items.get("type") == "object" and items.get(X_MAP) != "atomic":
        faults.invalid(f"{at}.{X_MAP}", items.get(X_LIST), detail)


def _keys(faults: Faults, schema: Document, items: Document, at: str) -> None:
    """Keys of a list that is a map are scalar fields of its items, each named once."""
    if items.get("type") != "object":
        faults.invalid(f"{at}.items.type", items.get("type") or "", f"must be object if parent array's {X_LIST} is map")
        return
    keys = schema.get(X_KEYS) or []
    properties: Mapping[str, Document] = items.get("properties") or {}
    twice = repeats(keys)
    for i, key in enumerate(keys):
        if key not in properties:
            faults.invalid(f"{at}.{X_KEYS}", keys, "entries must all be names of item properties")
        elif properties[key].get("type") in ("array", "object"):
            detail = f"must be a scalar type if parent array's {X_LIST} is map"
            faults.invalid(f"{at}.items.properties[{key}].type", items["type"], detail)
        if i in twice:
            faults.invalid(f"{at}.{X_KEYS}", keys, "must not contain duplicate entries")


def _keys_there(faults: Faults, schema: Document, items: Document, at: str) -> None:
    """Every item has all keys."""
    properties: Mapping[str, Document] = items.get("properties") or {}
    for key in schema.get(X_KEYS) or ():
        if key not in properties:
            continue
        where, of = f"{at}.items.properties[{key}]", f"this property is in {X_KEYS}, so it"
        if key not in (items.get("required") or ()) and properties[key].get("default") is None:
            faults.required(f"{where}.default", f"{of} must have a default or be a required property")
        if properties[key].get("nullable"):
            faults.forbidden(f"{where}.nullable", f"{of} cannot be nullable")


def _junctors(faults: Faults, schema: Document, at: str, depth: int) -> None:
    """What stands inside of allOf, anyOf, oneOf and not is about values only.

    The two types of an integer or string may be named: as all there is in anyOf, or in the first anyOf in allOf.
    """
    for name in JUNCTORS:
        parts = schema.get(name) or ()
        if name == "anyOf" and _either(parts):
            continue
        for i, part in enumerate(parts):
            either = name == "allOf" and i == 0 and _either(part.get("anyOf") or ())
            _value_only(faults, part, f"{at}.{name}[{i}]", depth + 1, either)
    if isinstance(schema.get("not"), dict):
        _value_only(faults, schema["not"], f"{at}.not", depth + 1, False)


def _either(parts: Sequence[Document]) -> bool:
    return len(parts) == len(EITHER) and all(map(eq, parts, EITHER))


def _value_only(faults: Faults, schema: Document, at: str, depth: int, either: bool) -> None:
    """either: its anyOf may name the two types of an integer or string."""
    if depth > DEEPEST:
        faults.invalid(at, "", f"a schema must not be nested deeper than {DEEPEST} levels")
        return
    if schema.get("type"):
        faults.forbidden(f"{at}.type", "must be empty to be structural")
    for field, detail in NOT_IN_JUNCTORS.items():
        if schema.get(field) or (schema.get(field) is not None and "undefined" in detail):
            faults.forbidden(f"{at}.{field}", detail)
    if schema.get("pattern") and (why := bad_pattern(schema["pattern"])):
        faults.invalid(f"{at}.pattern", schema["pattern"], f"must be a valid regular expression, but isn't: {why}")
    for name, below in (schema.get("properties") or {}).items():
        _value_only(faults, below, f"{at}.properties[{name}]", depth + 1, False)
        if name == "metadata":
            faults.forbidden(f"{at}.properties[metadata]", "must not be specified in a nested context")
    if isinstance(schema.get("items"), dict):
        _value_only(faults, schema["items"], f"{at}.items", depth + 1, False)
    for name in JUNCTORS:
        if either and name == "anyOf":
            continue
        for i, part in enumerate(schema.get(name) or ()):
            _value_only(faults, part, f"{at}.{name}[{i}]", depth + 1, False)
    if isinstance(schema.get("not"), dict):
        _value_only(faults, schema["not"], f"{at}.not", depth + 1, False)


def _defaults_and_rules(faults: Faults, node: Structural, at: str, apart: str = "") -> None:
    """Each default is pruned already and fits the schema at its place, and each rule can be evaluated there.

    apart: the path of the list whose items have no former values, "" outside of such lists.
    """
    for number, entry in enumerate(node.schema.get(RULES) or ()):
        _rule(faults, node, entry, f"{at}.{RULES}[{number}]", apart)
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
        _defaults_and_rules(faults, below, f"{at}.properties[{name}]", apart)
    if node.items is not None:
        _defaults_and_rules(faults, node.items, f"{at}.items", apart or ("" if node.list_type == "map" else at))
    if node.additional is not None:
        _defaults_and_rules(faults, node.additional, f"{at}.additionalProperties", apart)
