"""Server-side apply, slow and obvious: documents and what is owned are flat maps and sets of paths.

Written from the documentation and from what structured-merge-diff promises, without a look at `objects.apply`: a
path is a tuple of steps `f:NAME` (of an object), `k:{...}` (an item by its keys) and `v:...` (an item of a set).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str, ...]
Flat = dict[Path, Any]
"""Path -> value of a leaf (a scalar, an atomic list or object, an empty object or list); `PRESENT` for items of keyed
lists and sets."""

PRESENT = "<present>"


@dataclass(frozen=True)
class Spec:
    """What a document looks like. keys: of a keyed list, with the defaults of those that have one."""

    form: str  # leaf, object, map, set, keyed
    fields: dict[str, Spec] = field(default_factory=dict)
    item: Spec | None = None
    keys: tuple[str, ...] = ()
    defaults: dict[str, Any] = field(default_factory=dict)


LEAF = Spec("leaf")


def flat(spec: Spec, value: Any, at: Path = ()) -> Flat:
    """Every leaf and every item of a document."""
    if spec.form in ("object", "map") and isinstance(value, dict) and value:
        found: Flat = {}
        for name, below in value.items():
            inner = spec.fields[name] if spec.form == "object" else spec.item
            assert inner is not None
            found |= flat(inner, below, (*at, f"f:{name}"))
        return found
    if spec.form == "set" and value:
        return {(*at, f"v:{json.dumps(item)}"): PRESENT for item in value}
    if spec.form == "keyed" and value:
        assert spec.item is not None
        found = {}
        for item in value:
            step = (*at, name_of(spec, item))
            found |= {step: PRESENT} | flat(spec.item, item, step)
        return found
    return {at: value}


def name_of(spec: Spec, item: dict[str, Any]) -> str:
    named = {key: item[key] if key in item else spec.defaults[key] for key in sorted(spec.keys)}
    return "k:" + json.dumps(named, separators=(",", ":"))


def under(path: Path, parents: set[Path]) -> bool:
    """Whether the path or one above it is among the parents."""
    return any(path[:length] in parents for length in range(len(path) + 1))


def named_parents(paths: set[Path]) -> set[Path]:
    """With every object's field on the way to them."""
    return paths | {
        path[:length] for path in paths for length in range(1, len(path)) if path[length - 1].startswith("f:")
    }


Owners = dict[tuple[str, str], set[Path]]
"""(manager, operation) -> what it owns."""


ALWAYS_THERE = {("f:spec",)}
"""Objects that Kubernetes' own types hold by value: they are there before anything is in them."""


class Disputed(Exception):
    """paths: (manager, operation, path) of each conflict."""

    def __init__(self, paths: set[tuple[str, str, Path]]) -> None:
        super().__init__(str(sorted(paths)))
        self.paths = paths


@dataclass
class Live:
    """An object and who owns what of it. exists: whether it was made yet; one that nobody owns is not tracked."""

    leaves: Flat
    owners: Owners
    exists: bool = True

    def differences(self, after: Flat) -> tuple[set[Path], set[Path]]:
        """(what is new or has another value, what is gone): leaves and items, and objects and lists around them."""
        before, now = named_parents(set(self.leaves)), named_parents(set(after))
        other = {path for path, value in after.items() if path in self.leaves and self.leaves[path] != value}
        return (now - before - ALWAYS_THERE) | other, before - now

    def update(self, after: Flat, manager: str) -> Live:
        """A create, an update or a patch."""
        if self.exists and not self.owners:
            return Live(after, {})
        changed, gone = self.differences(after)
        owners = {key: owned - changed - gone for key, owned in self.owners.items()}
        mine = owners.get((manager, "Update"), set()) | changed
        owners[manager, "Update"] = mine
        return Live(after, {key: owned for key, owned in owners.items() if owned})

    def apply(self, wanted: Flat, manager: str, force: bool) -> Live:
        """Raises: Disputed."""
        key = (manager, "Apply")
        before = self.owners.get(key, set())
        owners = self.owners
        if self.exists and not owners:
            owners = {("before-first-apply", "Update"): named_parents(set(self.leaves)) - ALWAYS_THERE}
        owners = {**owners, key: set(wanted)}
        merged = self.leaves | wanted
        merged = {path: value for path, value in merged.items() if not holds(path, merged)}
        claimed = named_parents(set().union(*owners.values()))
        present = named_parents(set(merged))
        doomed = {path for path in named_parents(before) if path in present and path not in claimed}
        after = {path: value for path, value in merged.items() if not under(path, doomed)}
        changed, gone = self.differences(after)
        disputed = {
            (other, operation, path)
            for (other, operation), owned in owners.items()
            if (other, operation) != key
            for path in owned & changed
        }
        if disputed and not force:
            raise Disputed(disputed)
        settled = {other: owned if other == key else owned - changed - gone for other, owned in owners.items()}
        return Live(after, {other: owned for other, owned in settled.items() if owned})


def holds(path: Path, leaves: Flat) -> bool:
    """Whether it is an empty object or list that is none any more."""
    return leaves[path] in ({}, []) and any(len(other) > len(path) and other[: len(path)] == path for other in leaves)
