"""Strategic merge patch: a merge that knows from the shape which lists are merged and by what key.

Besides values a patch may hold directives: `$patch` (in an object or a list's item), `$retainKeys`,
`$deleteFromPrimitiveList/FIELD` and `$setElementOrder/FIELD`.

Source: https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from navarch.base.errors import BadRequest, Invalid
from navarch.objects.shape import ANY, Shape
from navarch.objects.value import Document

_PATCH = "$patch"
_NO_ITEMS = ("delete", "replace")
"""Directives that say something about a list instead of being an item of it."""
_RETAIN = "$retainKeys"
_DELETE = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"


def strategic(document: Document, patch: Any, shape: Shape) -> Document:
    """The patched document; it shares what the patch does not touch.

    Raises:
        BadRequest: a directive is malformed.
        Invalid: a list's item lacks its merge key.
    """
    if not isinstance(patch, dict):
        raise BadRequest("a strategic merge patch must be a JSON object")
    try:
        return _map(document, patch, shape)
    except RecursionError:
        raise BadRequest(TOO_DEEP) from None


TOO_DEEP = "json: exceeded max depth"


def _map(original: Document, patch: Document, shape: Shape) -> Document:
    directive = patch.get(_PATCH)
    if directive == "replace":
        replaced: Document = _plain(patch)
        return replaced
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise BadRequest(f"unknown patch type: {directive} in map: {_shown(patch)}")
    base = _retained(original, patch)
    orders = {key[len(_ORDER) :]: value for key, value in patch.items() if key.startswith(_ORDER)}
    merged = dict(base)
    for key, order in orders.items():
        _ordered_field(merged, patch, key, order, shape)
    for key, value in patch.items():
        if key in (_PATCH, _RETAIN) or key.startswith((_ORDER, _DELETE)) or key in orders:
            continue
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _value(merged.get(key), value, shape.child(key) or ANY)
    for key, value in patch.items():
        if key.startswith(_DELETE):
            _delete_scalars(merged, key[len(_DELETE) :], value)
    same = len(merged) == len(original) and all(key in original and merged[key] is original[key] for key in merged)
    return original if same else merged


def _value(old: Any, new: Any, shape: Shape) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return _plain(new) if shape.replaces else _map(old, new, shape)
    if isinstance(old, list) and isinstance(new, list):
        return _list(old, new, shape) if shape.merges else new
    return old if type(old) is type(new) and old == new else _plain(new)


def _retained(original: Document, patch: Document) -> Document:
    """The original without the fields that `$retainKeys` does not name."""
    if _RETAIN not in patch:
        return original
    names = patch[_RETAIN]
    if not isinstance(names, list):
        raise BadRequest("invalid patch format of retainKeys")
    kept = frozenset(name for name in names if isinstance(name, str))
    for key, value in patch.items():
        if not key.startswith("$") and value is not None and key not in kept:
            raise BadRequest("the patch content doesn't match the retainKeys list")
    return {key: value for key, value in original.items() if key in kept}


def _delete_scalars(merged: Document, key: str, values: Any) -> None:
    if not isinstance(values, list):
        raise BadRequest("invalid patch format of primitive list")
    old = merged.get(key)
    if isinstance(old, list):
        doomed = {_freeze(value) for value in values}
        merged[key] = [value for value in old if _freeze(value) not in doomed]


def _ordered_field(merged: Document, patch: Document, key: str, order: Any, shape: Shape) -> None:
    """Merge the list at `key` and put it into the order that `$setElementOrder/key` gives."""
    field = shape.child(key) or ANY
    if not isinstance(order, list) or not (field.merges or field is ANY):
        raise BadRequest("invalid patch format of setElementOrder list")
    old, new = merged.get(key), patch.get(key)
    if key in patch and new is None:
        merged.pop(key, None)
        return
    if isinstance(new, list):
        _check_order(new, order, field.merge_key)
        result = _list(old, new, field) if isinstance(old, list) else _plain(new)
    elif isinstance(old, list):
        result = old
    else:
        return
    identity = _identity(field.merge_key)
    wanted = {identity(item) for item in order}
    listed = [item for item in result if identity(item) in wanted]
    others = [item for item in result if identity(item) not in wanted]
    arranged = _arranged(listed, others, order, old if isinstance(old, list) else [], identity)
    if not (isinstance(old, list) and len(arranged) == len(old) and all(map(_is, arranged, old))):
        merged[key] = arranged


def _check_order(items: list[Any], order: list[Any], merge_key: str) -> None:
    """The patch's items must come in the order that it asks for, if it asks for one."""
    if not order:
        return
    identity = _identity(merge_key)
    found = [identity(item) for item in items if not (isinstance(item, dict) and _PATCH in item)]
    to_come = map(identity, order)
    if not all(name in to_come for name in found):  # each `in` goes on where the last one stopped
        raise BadRequest(f"The order in patch list:\n{found}\n doesn't match $setElementOrder list:\n{order}\n")


def _list(old: list[Any], new: list[Any], shape: Shape) -> list[Any]:
    """Merge the items of a list that has the merge strategy."""
    if not any(isinstance(item, dict) for item in (*old, *new)):
        return _scalars(old, new)
    if not shape.merge_key:
        raise Invalid(f"cannot merge lists without merge key for {shape.go}")
    identity = _identity(shape.merge_key)
    base, items = _without_directives(old, new, shape.merge_key)
    if base is None:
        return [_plain(item) for item in items]
    result = list(base)
    places = {identity(item): place for place, item in reversed(list(enumerate(result)))}
    for item in items:
        name = identity(item)
        place = places.get(name)
        if place is None:
            places[name] = len(result)
            result.append(_plain(item))
        else:
            result[place] = _map(result[place], item, shape.item or ANY)
    named = {identity(item) for item in items}
    listed = [item for item in result if identity(item) in named]
    others = [item for item in result if identity(item) not in named]
    arranged = _arranged(listed, others, items, base, identity)
    return old if len(arranged) == len(old) and all(map(_is, arranged, old)) else arranged


def _scalars(old: list[Any], new: list[Any]) -> list[Any]:
    both = {_freeze(item): item for item in reversed((*old, *new))}  # the first of those that are equal
    order = dict.fromkeys(_freeze(item) for item in (*old, *new))
    named = {_freeze(item) for item in new}
    listed = [both[key] for key in order if key in named]
    others = [both[key] for key in order if key not in named]
    arranged = _arranged(listed, others, new, old, _freeze)
    return old if arranged == old else arranged


def _without_directives(old: list[Any], new: list[Any], merge_key: str) -> tuple[list[Document] | None, list[Document]]:
    """(what is left of the old items, the patch's plain items); None when the patch replaces the list."""
    identity = _identity(merge_key)
    base, items, replaces = old, [], False
    doomed: set[Hashable] = set()
    for item in new:
        directive = item.get(_PATCH) if isinstance(item, dict) else None
        if directive is None or directive == "merge":
            items.append(item)
        elif directive == "replace":
            replaces = True
        elif directive == "delete":
            doomed.add(identity(item))
        else:
            raise BadRequest(f"unknown patch type: {directive} in map: {_shown(item)}")
    if doomed:
        base = [kept for kept in base if identity(kept) not in doomed]
    return (None if replaces else base), items


def _identity(merge_key: str) -> Callable[[Any], Hashable]:
    """How items of one list are told apart.

    Raises (the returned function): Invalid, when an item lacks the key.
    """
    if not merge_key:
        return _freeze

    def identity(item: Any) -> Hashable:
        if not isinstance(item, dict) or item.get(merge_key) is None:
            raise Invalid(f"map: {_shown(item)} does not contain declared merge key: {merge_key}")
        return _freeze(item[merge_key])

    return identity


def _shown(item: Any) -> str:
    """As Go prints a map."""
    if not isinstance(item, dict):
        return str(item)
    return "map[" + " ".join(f"{key}:{_shown(item[key])}" for key in sorted(item)) + "]"


def _freeze(value: Any) -> Hashable:
    """A hashable stand-in that tells true from 1."""
    return (type(value).__name__, value if isinstance(value, Hashable) else repr(value))


def _arranged(
    listed: list[Any],
    others: list[Any],
    wanted: Sequence[Any],
    before: Sequence[Any],
    identity: Callable[[Any], Hashable],
) -> list[Any]:
    """The items that the patch names in its order, the others in their old one, woven together.

    Where one of each could come next, the other goes first only if the old list had both and had it first.
    """
    rank = {identity(item): place for place, item in reversed(list(enumerate(wanted)))}
    past = {identity(item): place for place, item in reversed(list(enumerate(before)))}
    mine = sorted(listed, key=lambda item: rank.get(identity(item), len(rank)))
    theirs = sorted(others, key=lambda item: past.get(identity(item), len(past)))
    woven: list[Any] = []
    i = j = 0
    while i < len(theirs) and j < len(mine):
        a, b = past.get(identity(theirs[i])), past.get(identity(mine[j]))
        if a is not None and b is not None and a < b:
            woven.append(theirs[i])
            i += 1
        else:
            woven.append(mine[j])
            j += 1
    return [*woven, *theirs[i:], *mine[j:]]


def _plain(value: Any) -> Any:
    """What a patch brings that was not there before: without directives and nulls."""
    if isinstance(value, dict):
        kept = {
            key: below if not isinstance(below, dict | list) else _plain(below)
            for key, below in value.items()
            if below is not None and not key.startswith((_PATCH, _RETAIN, _DELETE, _ORDER))
        }
        same = len(kept) == len(value) and all(map(_is, kept.values(), value.values()))
        return value if same else kept
    if isinstance(value, list):
        items = [_plain(item) for item in value if not (isinstance(item, dict) and item.get(_PATCH) in _NO_ITEMS)]
        return value if len(items) == len(value) and all(map(_is, items, value)) else items
    return value


def _is(left: Any, right: Any) -> bool:
    return left is right
