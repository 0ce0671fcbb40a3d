"""The shape of a document: what stands where, how lists merge, and what Go calls it.

A shape is what patches, field ownership and strict decoding need to know of a schema. `kinds.schema` builds shapes
from the published definitions; `kinds.custom` those of custom resources. Nothing here reads a schema.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

Form = Literal[
    "object",  # fields of their own shapes
    "map",  # any keys, all values of one shape
    "list",
    "string",
    "integer",
    "number",
    "boolean",
    "quantity",
    "int-or-string",
    "time",  # whole seconds
    "micro-time",
    "bytes",  # base64 text
    "any",  # kept as it is
]
ListType = Literal["atomic", "set", "map"]

_NO_FIELDS: Mapping[str, Shape] = {}


class Shape:
    """Treat as frozen; `fields` is made on first use, so that recursive and large schemas cost what is looked at.

    go: Go's name of the type as its decoder says it (`v1.PodSpec`, `[]v1.Container`, `int32`).
    item: of lists and maps. bits: of integers.
    atomic: owned and replaced as a whole by server-side apply (scalars always are).
    list_type, keys: how server-side apply merges a list; keys: of list type map, in the schema's order.
    key_defaults: what a list item's key is taken to be when the item does not say.
    merges: strategic merge patch merges the list's items (by `merge_key`, or as a set of scalars).
    retains_keys: such a patch may say with `$retainKeys` which fields of the object stay.
    replaces: such a patch replaces the object instead of merging it.
    required: fields that must be there; checked by the kinds' rules, not by decoding.
    open: unknown fields are kept (an object with x-kubernetes-preserve-unknown-fields).
    """

    __slots__ = (
        "_fields",
        "_load",
        "atomic",
        "bits",
        "form",
        "go",
        "item",
        "key_defaults",
        "keys",
        "list_type",
        "merge_key",
        "merges",
        "open",
        "replaces",
        "required",
        "retains_keys",
    )

    def __init__(
        self,
        form: Form,
        go: str = "",
        *,
        load: Callable[[], Mapping[str, Shape]] | None = None,
        item: Shape | None = None,
        bits: int = 64,
        atomic: bool = False,
        list_type: ListType = "atomic",
        keys: tuple[str, ...] = (),
        key_defaults: Mapping[str, Any] | None = None,
        merges: bool = False,
        merge_key: str = "",
        retains_keys: bool = False,
        replaces: bool = False,
        required: tuple[str, ...] = (),
        open: bool = False,
    ) -> None:
        self.form = form
        self.go = go
        self._load = load
        self._fields: Mapping[str, Shape] | None = None
        self.item = item
        self.bits = bits
        self.atomic = atomic
        self.list_type = list_type
        self.keys = keys
        self.key_defaults: Mapping[str, Any] = key_defaults or {}
        self.merges = merges
        self.merge_key = merge_key
        self.retains_keys = retains_keys
        self.replaces = replaces
        self.required = required
        self.open = open

    @property
    def fields(self) -> Mapping[str, Shape]:
        """Of an object; empty for every other form."""
        if self._fields is None:
            self._fields = self._load() if self._load else _NO_FIELDS
        return self._fields

    def child(self, key: str) -> Shape | None:
        """The shape below an object's or a map's key; None for a field that does not exist."""
        if self.form == "object":
            fields = self._fields
            return (self.fields if fields is None else fields).get(key) or (ANY if self.open else None)
        if self.form == "map":
            return self.item
        return ANY if self.form == "any" else None

    def leaves_out(self, key: str) -> bool:
        """Whether an empty list or map at this field of an object is no different from none, as for Go's types."""
        below = self.fields[key]
        if below.form not in ("list", "map") or not self.go or key in self.required:
            return False
        return (self.struct, key) not in WRITTEN_EMPTY

    @property
    def struct(self) -> str:
        """Go's name of the struct without its package."""
        return self.go.rpartition(".")[2]

    def __repr__(self) -> str:
        return f"<Shape {self.form} {self.go}>"


WRITTEN_EMPTY = frozenset(
    (("ClusterRole", "rules"), ("EndpointSlice", "endpoints"), ("EndpointSlice", "ports"), ("Role", "rules"))
)
"""Fields of Go's types that are not required and yet always written."""

ANY = Shape("any", "interface {}")
"""What a schema says nothing about; it is also the shape of everything below itself."""


def struct(fields: Mapping[str, Shape], go: str = "", **more: Any) -> Shape:
    """An object whose fields are known at once."""
    return Shape("object", go, load=lambda: fields, **more)
