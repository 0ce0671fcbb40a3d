"""A custom resource's schema as OpenAPI documents show it.

The fields of every object are added, and what Swagger 2 cannot say is left out of that form.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#publish-validation-schema-in-openapi
"""

from __future__ import annotations

from typing import Any, Literal

from navarch.objects.value import Document

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
API_VERSION = "APIVersion and kind say together which schema the object follows: its group and version."
KIND = "Kind names the type of the object, in CamelCase."
METADATA = "Standard object's metadata."
NOT_IN_V2 = ("nullable", "oneOf", "anyOf", "allOf", "not", "default", "x-kubernetes-validations")
PRESERVE, INT_OR_STRING = "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string"


def published(schema: Document, group: str, version: str, kind: str, list_kind: str, full: str) -> dict[str, Document]:
    """The definitions of a kind and its list, by full name; references are written `#/$defs/`."""
    own: Document = {key: value for key, value in schema.items() if key != "properties"}
    own["type"] = "object"
    own["properties"] = {
        **(schema.get("properties") or {}),
        "apiVersion": {"type": "string", "description": API_VERSION},
        "kind": {"type": "string", "description": KIND},
        "metadata": {"$ref": f"#/$defs/{META}ObjectMeta", "description": METADATA},
    }
    own["x-kubernetes-group-version-kind"] = [{"group": group, "version": version, "kind": kind}]
    listed: Document = {
        "description": f"{list_kind} is a list of {kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": API_VERSION},
            "items": {"type": "array", "description": "The objects.", "items": {"$ref": f"#/$defs/{full}"}},
            "kind": {"type": "string", "description": KIND},
            "metadata": {"$ref": f"#/$defs/{META}ListMeta", "description": METADATA},
        },
        "x-kubernetes-group-version-kind": [{"group": group, "version": version, "kind": list_kind}],
    }
    return {full: own, f"{full}List": listed}


def formed(definition: Document, form: Literal["v2", "v3"], prefix: str) -> Document:
    """A definition of `published` as documents of that form have it. prefix: of references."""
    found: Document = dict(for_v2(definition)) if form == "v2" else dict(definition)
    properties: Document = dict(found["properties"])
    properties["metadata"] = _reference(definition["properties"]["metadata"], form, prefix)
    if "$ref" in (properties.get("items") or {}).get("items", {}):
        items = _reference(definition["properties"]["items"]["items"], form, prefix)
        properties["items"] = {**definition["properties"]["items"], "items": items}
    return {**found, "properties": properties}


def _reference(schema: Document, form: Literal["v2", "v3"], prefix: str) -> Document:
    """In version 3 nothing may stand beside a reference."""
    reference = {"$ref": prefix + schema["$ref"].rpartition("/")[2]}
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    return {**reference, **beside} if form == "v2" else {"allOf": [reference], **beside}


def for_v2(schema: Any) -> Any:
    """The schema without what Swagger 2 has no words for; where unknown fields are kept, nothing is said of the known
    ones, for clients would take them for all."""
    if not isinstance(schema, dict):
        return schema
    if schema.get(INT_OR_STRING):
        kept = {key: value for key, value in schema.items() if key in ("description", INT_OR_STRING)}
        return kept
    found = {key: value for key, value in schema.items() if key not in NOT_IN_V2}
    if schema.get("nullable"):
        found.pop("type", None)
        found.pop("items", None)
        found.pop("properties", None)
        return found
    if schema.get(PRESERVE) and "x-kubernetes-group-version-kind" not in schema:
        found.pop("properties", None)
        found.pop("items", None)
        found.pop("type", None)
        return found
    if schema.get(PRESERVE):
        always = ("apiVersion", "kind", "metadata")
        found["properties"] = {key: value for key, value in found["properties"].items() if key in always}
    for key in ("items", "additionalProperties"):
        if key in found:
            found[key] = for_v2(found[key])
    if "properties" in found:
        found["properties"] = {name: for_v2(below) for name, below in found["properties"].items()}
    return found
