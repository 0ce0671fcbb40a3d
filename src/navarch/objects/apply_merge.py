"""Merging an applied document into a live one, and removing fields by their paths.

Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy
"""

from __future__ import annotations

from typing import Any

from navarch.base.errors import BadRequest
from navarch.objects.apply_fields import element_of, is_granular, items_by_element
from navarch.objects.apply_sets import LEAF, SELF, FieldSet, element_text, is_member
from navarch.objects.shape import ANY, Shape
from navarch.objects.value import Document


def merged(shape: Shape, live: Any, applied: Any) -> Any:
    """`applied` laid over `live`: objects and keyed lists are merged, all else is replaced. Shares both.

    Raises:
        BadRequest: a keyed list of `applied` has an item twice, or one without a key.
    """
    if applied is live or type(live) is not type(applied) or not is_granular(shape, applied):
        return applied
    if isinstance(applied, dict):
        changed: Document | None = None
        for key, value in applied.items():
            got = merged(shape.child(key) or ANY, live[key], value) if key in live else value
            if key not in live or got is not live[key]:
                changed = dict(live) if changed is None else changed
                changed[key] = got
        return live if changed is None else changed
    return _merged_list(shape, live, applied)


def check_items(shape: Shape, value: Any, path: str = "") -> None:
    """Refuse keyed lists that hold an item twice. Raises: BadRequest."""
    if not is_granular(shape, value):
        return
    if isinstance(value, dict):
        for key, below in value.items():
            check_items(shape.child(key) or ANY, below, f"{path}.{key}")
        return
    seen: set[str] = set()
    for item in value:
        try:
            element = element_of(item, shape)
        except BadRequest as error:
            raise BadRequest(f"{path}: {error.message}") from None
        if element in seen:
            raise BadRequest(f"{path}: duplicate entries for key {element_text(element)}")
        seen.add(element)
        check_items(shape.item or ANY, item, path + element_text(element))


def _merged_list(shape: Shape, live: list[Any], applied: list[Any]) -> list[Any]:
    """Items of both lists, those of `applied` in its order; items that only `live` has keep their place among them.

    What `live` holds twice (writes other than apply may do so) stays twice, unless `applied` names it.
    """
    item_shape = shape.item or ANY
    left, right = items_by_element(live, shape), items_by_element(applied, shape)
    order, wanted = [element_of(item, shape) for item in live], list(right)
    shared = [element for element in wanted if element in left]
    result: list[Any] = []
    placed: set[str] = set()
    i = j = turn = 0
    while i < len(order) or j < len(wanted):
        if i < len(order) and order[i] not in right:
            result.append(live[i])
            i += 1
        elif i < len(order) and (order[i] in placed or (turn < len(shared) and order[i] != shared[turn])):
            i += 1  # placed already, or its turn comes when `applied` names it
        else:
            element = wanted[j]
            j += 1
            placed.add(element)
            item = right[element]
            result.append(merged(item_shape, left[element], item) if element in left else item)
            if turn < len(shared) and element == shared[turn]:
                turn += 1
    same = len(result) == len(live) and all(new is old for new, old in zip(result, live, strict=True))
    return live if same else result


def without(shape: Shape, value: Any, doomed: FieldSet) -> Any:
    """The value without the fields of the set; None when nothing of it is left. Shares what stays."""
    if not doomed or not is_granular(shape, value):
        return value
    if isinstance(value, dict):
        kept = {}
        for key, below in value.items():
            got = _kept(shape.child(key) or ANY, below, doomed.get(f"f:{key}"))
            if got is not None:
                kept[key] = got
        same = len(kept) == len(value) and all(kept[key] is value[key] for key in kept)
        return value if same else (kept or None)
    items = []
    for item in value:
        got = _kept(shape.item or ANY, item, doomed.get(element_of(item, shape)))
        if got is not None:
            items.append(got)
    same = len(items) == len(value) and all(new is old for new, old in zip(items, value, strict=True))
    return value if same else (items or None)


def _kept(shape: Shape, value: Any, doomed: FieldSet | None) -> Any:
    if doomed is None:
        return value
    return None if is_member(doomed) else without(shape, value, doomed)


def with_named_parents(shape: Shape, tree: FieldSet) -> FieldSet:
    """The set with every declared field in it that has something below it in the set."""
    found: FieldSet = {}
    for key, node in tree.items():
        if not node or key == SELF:
            found[key] = node
            continue
        if key.startswith("f:"):
            child = shape.child(key[2:]) or ANY
            inside = with_named_parents(child, node)
            found[key] = inside if SELF in inside or shape.form != "object" else {SELF: LEAF, **inside}
        else:
            found[key] = with_named_parents(shape.item or ANY, node)
    return found
