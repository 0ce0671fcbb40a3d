"""A custom resource's structural schema, ready for use: what is pruned and what is filled in.

Documents are never changed: `settle` and `fill` share what they leave alone. Whether values are allowed is told by
`custom_values`; what the schema of a schema may say by `customresourcedefinition_rules`.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from navarch.kinds import schema as schema_definitions
from navarch.kinds.typos import MOST, Unknown, meant
from navarch.objects.value import ABSENT, Document

META_FIELDS = frozenset(("apiVersion", "kind", "metadata"))
_NO_FIELDS: Mapping[str, Structural] = {}


class Structural:
    """One node of a schema. Treat as frozen.

    schema: the node as it was written. open: unknown fields are kept. resource: apiVersion, kind and metadata are kept
    without being named (the root, and embedded resources). fills: something at or below has a default.
    """

    __slots__ = (
        "additional",
        "default",
        "embedded",
        "fields",
        "fills",
        "int_or_string",
        "items",
        "keys",
        "list_type",
        "nullable",
        "open",
        "resource",
        "schema",
        "type",
    )

    def __init__(self, schema: Document, *, root: bool = False) -> None:
        self.schema = schema
        self.type: str = schema.get("type") or ""
        self.nullable: bool = bool(schema.get("nullable"))
        self.default: Any = schema.get("default", ABSENT)
        self.int_or_string: bool = bool(schema.get("x-kubernetes-int-or-string"))
        self.embedded = not root and bool(schema.get("x-kubernetes-embedded-resource"))
        self.resource = root or self.embedded
        self.list_type: str = schema.get("x-kubernetes-list-type") or "atomic"
        self.keys: tuple[str, ...] = tuple(schema.get("x-kubernetes-list-map-keys") or ())
        properties = schema.get("properties") or {}
        self.fields = {name: Structural(below) for name, below in properties.items()} or _NO_FIELDS
        additional = schema.get("additionalProperties")
        self.additional = Structural(additional) if isinstance(additional, dict) else None
        self.open = bool(schema.get("x-kubernetes-preserve-unknown-fields")) or additional is True
        self.items = Structural(schema["items"]) if isinstance(schema.get("items"), dict) else None
        below = [*self.fields.values(), *filter(None, (self.additional, self.items))]
        self.fills: bool = any(node.fills or node.default is not ABSENT for node in below)

    def below(self, name: str) -> Structural | None:
        """The node of a field of an object."""
        return self.fields.get(name) or self.additional

    # pruning

    def settle(self, value: Any, unknown: Unknown, path: str = "") -> Any:
        """The value without the fields that no schema names and without nulls where none may be.

        unknown: paths of what was pruned are added, each with what may have been meant.
        """
        if isinstance(value, dict):
            return self._settle_object(value, unknown, path)
        if isinstance(value, list) and self.items is not None:
            items = [self.items.settle(one, unknown, f"{path}[{i}]") for i, one in enumerate(value)]
            return value if all(map(_is, items, value)) else items
        return value

    def _settle_object(self, value: Document, unknown: Unknown, path: str) -> Document:
        kept: Document | None = None
        for name, one in value.items():
            where = f"{path}.{name}" if path else name
            if self.resource and name in META_FIELDS:
                if self.embedded and name == "metadata" and isinstance(one, dict):
                    known = _known_metadata(one, unknown, where)
                    if known is not one:
                        kept = dict(value) if kept is None else kept
                        kept[name] = known
                continue
            node = self.below(name)
            if node is None:
                if not self.open:
                    kept = dict(value) if kept is None else kept
                    del kept[name]
                    like = meant(name, self.fields) if len(unknown) < MOST else ""
                    unknown.append((where, like))
                continue
            if one is None:
                if not node.nullable:
                    kept = dict(value) if kept is None else kept
                    del kept[name]
                continue
            settled = node.settle(one, unknown, where)
            if settled is not one:
                kept = dict(value) if kept is None else kept
                kept[name] = settled
        return value if kept is None else kept

    # defaulting

    def fill(self, value: Any) -> Any:
        """The value with the defaults of what is absent."""
        if not self.fills:
            return value
        if isinstance(value, dict):
            return self._fill_object(value)
        if isinstance(value, list) and self.items is not None:
            items = [self.items.fill(one) for one in value]
            return value if all(map(_is, items, value)) else items
        return value

    def _fill_object(self, value: Document) -> Document:
        filled: Document | None = None
        for name, node in self.fields.items():
            one = value.get(name, ABSENT)
            if (one is ABSENT or (one is None and not node.nullable)) and node.default is not ABSENT:
                filled = dict(value) if filled is None else filled
                filled[name] = node.fill(node.default)
            elif node.fills and one is not ABSENT:
                below = node.fill(one)
                if below is not one:
                    filled = dict(value) if filled is None else filled
                    filled[name] = below
        if self.additional is not None and self.additional.fills:
            for name, one in value.items():
                below = self.additional.fill(one)
                if below is not one:
                    filled = dict(value) if filled is None else filled
                    filled[name] = below
        return value if filled is None else filled


def _known_metadata(value: Document, unknown: Unknown, path: str) -> Document:
    """The metadata of an embedded object without what no object's metadata has."""
    fields = schema_definitions.definition("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta").fields
    strange = [name for name in value if name not in fields]
    for name in strange:
        unknown.append((f"{path}.{name}", meant(name, fields) if len(unknown) < MOST else ""))
    return {name: one for name, one in value.items() if name in fields} if strange else value


def _is(left: Any, right: Any) -> bool:
    return left is right
