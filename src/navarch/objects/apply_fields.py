"""From documents to sets of fields: what a document holds, and what differs between two.

The two kinds of write see a document differently. An *applied* one is an opinion: it owns leaves, the items of keyed
lists, and empty objects. A *changed* one owns everything that appeared, down from the first new object or list.

Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

from __future__ import annotations

from typing import Any

import orjson

from navarch.base.errors import BadRequest
from navarch.objects.apply_sets import LEAF, SELF, FieldSet, ordered
from navarch.objects.shape import ANY, Shape
from navarch.objects.value import ABSENT, Document

MAX_REMEMBERED_BYTES = 8 * 1024
"""Larger inputs are computed anew each time, so that memos stay small."""

REMEMBERED = 1024


class _Memo:
    """Field sets of values, by their shapes and bytes; what was not asked for lately is forgotten.

    Unlike `functools.lru_cache` it lets the caller make what is missing of the value that is at hand, which the bytes
    would have to be parsed for again. In two halves: when the younger one is full, the older one goes.
    """

    def __init__(self) -> None:
        self._young: dict[tuple[Shape, bytes], FieldSet] = {}
        self._old: dict[tuple[Shape, bytes], FieldSet] = {}

    def get(self, key: tuple[Shape, bytes]) -> FieldSet | None:
        found = self._young.get(key)
        if found is None and (found := self._old.get(key)) is not None:
            self.put(key, found)
        return found

    def put(self, key: tuple[Shape, bytes], found: FieldSet) -> None:
        if len(self._young) >= REMEMBERED:
            self._old, self._young = self._young, {}
        self._young[key] = found

    def __len__(self) -> int:
        return len(self._young) + len(self._old)


_appearances = _Memo()
"""Objects made from one template are alike below the first levels, so most of what appears is a look-up."""
_embedded = _Memo()
"""Objects that are made from one template have one spec."""

_ALWAYS_THERE = frozenset(
    (
        "metadata",
        "spec",
        "status",
        "template",
        "strategy",
        "updateStrategy",
        "resources",
        "loadBalancer",
        "daemonEndpoints",
        "kubeletEndpoint",
        "nodeInfo",
        "source",
    )
)
"""Objects that upstream embeds by value, so that for it they never appear: only what is in them does."""


def is_granular(shape: Shape, value: Any) -> bool:
    """Whether what is inside is owned on its own (else the value is owned as a whole)."""
    if isinstance(value, dict):
        return not shape.atomic and shape.form in ("object", "map", "any")
    return isinstance(value, list) and shape.form == "list" and not shape.atomic


def element_of(item: Any, shape: Shape) -> str:
    """The path element of an item of a list of type set or map.

    Raises:
        BadRequest: the item lacks every key.
    """
    if shape.list_type == "set":
        return f"v:{orjson.dumps(item).decode()}"
    if not isinstance(item, dict):
        raise BadRequest("associative list with keys may not have non-map elements")
    found = {}
    for name in shape.keys:
        value = item.get(name, shape.key_defaults.get(name))
        if value is not None:
            found[name] = value
    if not found:
        names = " ".join(f'"{name}"' for name in shape.keys)
        raise BadRequest(
            f"associative list with keys has an element that omits all key fields [{names}] "
            "(and doesn't have default values for any key fields)"
        )
    return f"k:{orjson.dumps(found, option=orjson.OPT_SORT_KEYS).decode()}"


def items_by_element(items: list[Any], shape: Shape) -> dict[str, Any]:
    """Path element -> item, in the list's order; of items with the same one the last. Raises: BadRequest."""
    return {element_of(item, shape): item for item in items}


def applied(shape: Shape, document: Document) -> FieldSet:
    """The fields that an applied document has an opinion on. Raises: BadRequest."""
    return _opinion(shape, document)


def _opinion(shape: Shape, value: Any) -> FieldSet:
    """Children only; whether the value's own path belongs to the set is its parent's decision."""
    found: FieldSet = {}
    if isinstance(value, dict):
        for key, below in value.items():
            child = shape.child(key) or ANY
            if not is_granular(child, below):
                found[f"f:{key}"] = LEAF
                continue
            inside = _opinion(child, below)
            if below == {} or (inside and shape.form != "object"):
                found[f"f:{key}"] = {SELF: LEAF, **inside} if inside else LEAF
            elif inside:
                found[f"f:{key}"] = inside
    else:
        item_shape = shape.item or ANY
        for item in value:
            inside = _opinion(item_shape, item) if is_granular(item_shape, item) else LEAF
            found[element_of(item, shape)] = {SELF: LEAF, **inside} if inside else LEAF
    return ordered(found)


def appeared(shape: Shape, value: Any) -> FieldSet:
    """The node of something new: it, and everything in it. Raises: BadRequest."""
    if not value or not is_granular(shape, value):
        return LEAF
    if shape.form == "object" or (shape.item and shape.item.form == "object"):
        encoded = orjson.dumps(value)
        if len(encoded) <= MAX_REMEMBERED_BYTES:
            known = _appearances.get((shape, encoded))
            if known is None:
                known = _appeared(shape, value)
                _appearances.put((shape, encoded), known)
            return known
    return _appeared(shape, value)


def _appeared(shape: Shape, value: Any) -> FieldSet:
    if not value or not is_granular(shape, value):
        return LEAF
    found: FieldSet = {SELF: LEAF}
    if isinstance(value, dict):
        for key, below in value.items():
            # What is below is looked up again by itself: of a template that is new, most parts are not.
            found[f"f:{key}"] = appeared(shape.child(key) or ANY, below) if isinstance(below, dict | list) else LEAF
    else:
        item_shape = shape.item or ANY
        for item in value:
            found[element_of(item, shape)] = _appeared(item_shape, item)
    return ordered(found)


def compare(shape: Shape, old: Document, new: Document) -> tuple[FieldSet, FieldSet]:
    """(what was added or has another value, what is gone). Raises: BadRequest."""
    changed: FieldSet = {}
    removed: FieldSet = {}
    for key, value in new.items():
        before = old.get(key, ABSENT)
        if before is value:
            continue
        if before is ABSENT:
            if not isinstance(value, dict | list):
                changed[f"f:{key}"] = LEAF
                continue
            node = _new_field(shape, shape.child(key) or ANY, key, value)
            if node is not None:
                changed[f"f:{key}"] = node
        elif before != value:
            _compare_values(shape.child(key) or ANY, f"f:{key}", before, value, changed, removed)
    if old.keys() <= new.keys():
        return (ordered(changed) if changed else changed), removed
    for key, value in old.items():
        if key not in new:
            removed[f"f:{key}"] = appeared(shape.child(key) or ANY, value)
    return (ordered(changed) if changed else changed), removed


def _new_field(parent: Shape, child: Shape, key: str, value: Any) -> FieldSet | None:
    """Fields that upstream always has (embedded objects, required lists) do not themselves appear."""
    if isinstance(value, dict) and is_granular(child, value) and (key in _ALWAYS_THERE or key in parent.required):
        return (compare(child, {}, value)[0] if key == "metadata" else _all_of(child, value)) or None
    node = appeared(child, value)
    if isinstance(value, list) and SELF in node and key in parent.required:
        return {name: below for name, below in node.items() if name != SELF}
    return node


def _all_of(shape: Shape, value: Document) -> FieldSet:
    """What appears of an embedded object. Raises: BadRequest."""
    encoded = orjson.dumps(value)
    if len(encoded) > MAX_REMEMBERED_BYTES:
        return compare(shape, {}, value)[0]
    known = _embedded.get((shape, encoded))
    if known is None:
        known = compare(shape, {}, value)[0]
        _embedded.put((shape, encoded), known)
    return known


def _compare_values(shape: Shape, element: str, old: Any, new: Any, changed: FieldSet, removed: FieldSet) -> None:
    """Compare two values that differ; results go below `element`."""
    same_form = type(old) is type(new) and is_granular(shape, new)
    if not same_form or not (old or new):
        changed[element] = LEAF
        return
    if isinstance(new, dict):
        inside, gone = compare(shape, old, new)
    else:
        inside, gone = _compare_lists(shape, old, new)
    if inside:
        changed[element] = inside
    if gone:
        removed[element] = gone


def _compare_lists(shape: Shape, old: list[Any], new: list[Any]) -> tuple[FieldSet, FieldSet]:
    """The order of items is nobody's."""
    before, after = items_by_element(old, shape), items_by_element(new, shape)
    item_shape = shape.item or ANY
    changed: FieldSet = {}
    removed: FieldSet = {}
    for element, item in after.items():
        if element not in before:
            changed[element] = appeared(item_shape, item)
        elif before[element] is not item and before[element] != item:
            _compare_values(item_shape, element, before[element], item, changed, removed)
    for element, item in before.items():
        if element not in after:
            removed[element] = appeared(item_shape, item)
    return (ordered(changed) if changed else changed), removed
