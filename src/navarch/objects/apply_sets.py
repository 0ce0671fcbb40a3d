"""Sets of field paths, in the very form in which `managedFields` holds them (FieldsV1).

A set is a tree of dictionaries. A key is a path element: `f:name` (a field), `k:{…}` (a list item by its keys), `v:…`
(an item of a set), `i:3` (an item by its place). What stands below a key is itself such a tree; the path to it is in
the set when the tree is empty or holds the key ".". Sets are never changed in place; results share what they can with
the inputs. Keys are kept in order, so that equal sets have equal bytes.

Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

FieldSet = dict[str, Any]

SELF = "."
LEAF: FieldSet = {}


def is_member(node: FieldSet) -> bool:
    """Whether the path to this node is itself in the set."""
    return not node or SELF in node


def node_of(member: bool, children: FieldSet) -> FieldSet | None:
    """The node for a path that is in the set or not, with these children; None when there is neither."""
    if not children:
        return LEAF if member else None
    return {SELF: LEAF, **children} if member else children


def ordered(tree: FieldSet) -> FieldSet:
    """The same keys, sorted, on this level."""
    return dict(sorted(tree.items()))


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    if not right or left is right:
        return left
    if not left:
        return right
    merged = dict(left)
    for key, node in right.items():
        old = left.get(key)
        merged[key] = node if old is None else _united(old, node)
    return merged if len(merged) == len(left) else ordered(merged)


def _united(left: FieldSet, right: FieldSet) -> FieldSet:
    if left is right or left == right:
        return left
    if not left or not right:
        full = left or right
        return full if SELF in full else {SELF: LEAF, **full}
    return union(left, right)


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """What is in `left` and not in `right`."""
    both = left.keys() & right.keys() if right else ()
    if not both:
        return left
    kept = dict(left)
    for key in both:
        node, other = left[key], right[key]
        found = _without(node, other) if node or other else None
        if found is None:
            del kept[key]
        else:
            kept[key] = found
    return kept


def _without(node: FieldSet, other: FieldSet) -> FieldSet | None:
    return node_of(is_member(node) and not is_member(other), difference(_children(node), _children(other)))


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    kept: FieldSet = {}
    for key, node in left.items():
        other = right.get(key)
        if other is not None:
            both = is_member(node) and is_member(other)
            found = node_of(both, intersection(_children(node), _children(other)))
            if found is not None:
                kept[key] = found
    return kept


def excluding(tree: FieldSet, ignored: FieldSet) -> FieldSet:
    """Without the members of `ignored` and everything below them."""
    if not ignored:
        return tree
    kept: FieldSet = {}
    for key, node in tree.items():
        other = ignored.get(key)
        if other is None:
            kept[key] = node
        elif not is_member(other):
            found = node_of(is_member(node), excluding(_children(node), other))
            if found is not None:
                kept[key] = found
    return kept


def of_paths(paths: Sequence[Sequence[str]]) -> FieldSet:
    """The set of these paths of field names: `[("metadata", "labels"), ("status",)]`."""
    found: FieldSet = {}
    for path in paths:
        tree: FieldSet = LEAF
        for name in reversed(path):
            tree = {f"f:{name}": tree}
        found = union(found, tree)
    return found


def _children(node: FieldSet) -> FieldSet:
    return {key: below for key, below in node.items() if key != SELF} if SELF in node else node


def members(tree: FieldSet, path: str = "") -> Iterator[str]:
    """Every path in the set as Kubernetes writes it: `.spec.containers[name="a"].image`."""
    for key, node in tree.items():
        if key == SELF:
            continue
        here = path + element_text(key)
        if is_member(node):
            yield here
        yield from members(node, here)


def element_text(key: str) -> str:
    """`f:spec` -> `.spec`, `k:{"name":"a"}` -> `[name="a"]`, `v:"x"` -> `[="x"]`, `i:3` -> `[3]`."""
    form, text = key[:2], key[2:]
    if form == "f:":
        return f".{text}"
    if form == "k:":
        pairs = orjson.loads(text).items()
        return "[" + ",".join(f"{name}={orjson.dumps(value).decode()}" for name, value in pairs) + "]"
    return f"[={text}]" if form == "v:" else f"[{text}]"


def is_well_formed(tree: Any) -> bool:
    """Whether a client's tree can be used as a set."""
    return isinstance(tree, dict) and all(_is_element(key, node) for key, node in tree.items())


def _is_element(key: str, node: Any) -> bool:
    if key == SELF:
        return bool(node == {})
    if key[:2] not in ("f:", "k:", "v:", "i:") or not is_well_formed(node):
        return False
    return key[:2] == "f:" or _is_json(key[2:], object if key[:2] != "k:" else dict)


def _is_json(text: str, form: type) -> bool:
    try:
        return isinstance(orjson.loads(text), form)
    except orjson.JSONDecodeError:
        return False
