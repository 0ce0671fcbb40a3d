"""What an object costs grows no faster than the object: no list or map of any kind is compared with itself.

Counted, not timed: every call that Python makes for an object with n, 2n and 4n items in one place, and every
comparison of two of its texts. Twice the items may take twice the steps, not four times as many.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import FrameType
from typing import Any

import orjson
import pytest
from api_driver import ADMIN, HandClock

from navarch.apiserver import decode, metadata, ownership, prepare
from navarch.apiserver.options import Intent
from navarch.apiserver.state import State
from navarch.base.clock import SeededIds
from navarch.base.errors import ApiError
from navarch.kinds.kind import Kind
from navarch.kinds.registry import DEFAULT
from navarch.kinds.schema import schema_for
from navarch.objects.patch_strategic import strategic
from navarch.objects.shape import Shape
from navarch.store.memory import MemoryStore

FEW = 24
GROWTH = 3.0
"""Of the steps that the second doubling adds over those that the first one did: 2 where they are in proportion."""
NOTICED = 600
DEEPEST = 7
SCALARS: dict[str, Any] = {
    "boolean": True,
    "integer": 1,
    "number": 1,
    "int-or-string": 8080,
    "quantity": "1",
    "time": "2026-01-01T00:00:00Z",
    "micro-time": "2026-01-01T00:00:00.000000Z",
    "bytes": "YQ==",
}
Place = tuple[str | int, ...]


class Text(str):
    """Counts how often it is compared."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        Text.compared += 1
        return str.__eq__(self, other)  # type: ignore[arg-type]

    __hash__ = str.__hash__


def counted(value: Any) -> Any:
    """The document with texts that count."""
    if isinstance(value, dict):
        return {key: counted(below) for key, below in value.items()}
    if isinstance(value, list):
        return [counted(below) for below in value]
    return Text(value) if type(value) is str else value


def filled(shape: Shape, tag: str, deeper: int) -> Any:
    """Something of a shape, with every field that there may be."""
    if shape.form == "object":
        return {name: filled(below, tag, deeper - 1) for name, below in shape.fields.items()} if deeper else {}
    if shape.form == "list" and shape.item is not None:
        return [filled(shape.item, tag, deeper - 1)] if deeper else []
    if shape.form == "map" and shape.item is not None:
        return {f"k{tag}": filled(shape.item, tag, deeper - 1)} if deeper else {}
    return f"x{tag}" if shape.form == "string" else SCALARS.get(shape.form, {})


def places(shape: Shape, at: Place, seen: set[Any]) -> Iterator[Place]:
    """Where there are lists and maps; of what several kinds share, the first place."""
    if shape.form == "object" and len(at) < DEEPEST:
        for name, below in shape.fields.items():
            yield from places(below, (*at, name), seen)
    elif shape.form in ("list", "map") and shape.item is not None:
        about = (shape.form, at[-1], shape.item.struct or shape.item.form)
        if about not in seen:
            seen.add(about)
            yield at
            yield from places(shape.item, (*at, 0 if shape.form == "list" else "k"), seen)


def built(shape: Shape, at: Place, count: int, alike: bool, run: int) -> Any:
    """What holds `count` items at the place, and little else. run: so that no two runs have a text in common."""
    if not at:
        assert shape.item is not None
        tags = [f"{run}" if alike else f"{run}-{number}" for number in range(count)]
        if shape.form == "list":
            return [filled(shape.item, tag, 2) for tag in tags]
        return {f"k{run}-{number}": filled(shape.item, tag, 2) for number, tag in enumerate(tags)}
    if shape.form == "object":
        step = str(at[0])
        return {step: built(shape.fields[step], at[1:], count, alike, run)}
    assert shape.item is not None
    inner = built(shape.item, at[1:], count, alike, run)
    return [inner] if shape.form == "list" else {"k": inner}


class Steps:
    """Calls that Python made, and comparisons, while it was the context."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Steps:
        Text.compared = 0
        sys.setprofile(self._see)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        self.count += Text.compared

    def _see(self, _frame: FrameType, event: str, _about: object) -> None:
        if event in ("call", "c_call"):
            self.count += 1


def steps(state: State, kind: Kind, body: bytes) -> int:
    intent = Intent(kind, ADMIN, "create", "default", "x", "", "me", False, "Warn", [])
    with Steps() as found:
        try:
            draft = prepare._begun(state, intent, decode.decoded(intent, body), "")
            ownership.record(intent, draft, None, state.clock.now(), state.kinds, {})
        except ApiError:
            return found.count
    document = counted(draft.document)
    with Steps() as judged, suppress(ApiError):
        prepare._judged(intent, document, None)
    return found.count + judged.count


def faster(state: State, kind: Kind, at: Place, alike: bool) -> str:
    """What grows faster than the input, "" for nothing."""
    shape = schema_for(kind)
    took = []
    for run, count in enumerate((1, FEW, 2 * FEW, 4 * FEW)):  # the first one only makes what is made once
        document = built(shape, at, count, alike, run)
        document["metadata"] = {"name": "x", "namespace": "default", **document.get("metadata", {})}
        took.append(steps(state, kind, orjson.dumps(document)))
    _, *took = took
    first, second = took[1] - took[0], took[2] - took[1]
    if second < NOTICED or second < GROWTH * first or took[2] <= 2 * took[1]:  # what is too many may be dropped unread
        return ""
    return f"{kind.name} {at}, {'alike' if alike else 'different'}: {took}"


SEEN: set[Any] = set()
CASES = [
    (kind, tuple(places(schema_for(kind), (), SEEN)))
    for kind in DEFAULT.stored()
    if kind.stored_as is None and kind.decode is None
]


@pytest.mark.parametrize(
    ("kind", "where"), [case for case in CASES if case[1]], ids=lambda value: getattr(value, "plural", "")
)
def test_steps_are_in_proportion(kind: Kind, where: tuple[Place, ...]) -> None:
    state = State(MemoryStore(), DEFAULT, HandClock(), SeededIds(1))  # type: ignore[arg-type]
    found = [faster(state, kind, at, alike) for at in where for alike in (False, True)]
    assert not list(filter(None, found))


def test_what_compares_all_with_all_is_seen() -> None:
    """The measure itself."""

    def all_with_all(values: list[str]) -> int:
        with Steps() as found:
            _ = [value for number, value in enumerate(values) if value in values[:number]]
        return found.count

    few, twice, four = (all_with_all([Text(f"x{number:04}") for number in range(FEW * n)]) for n in (1, 2, 4))
    assert four - twice > GROWTH * (twice - few)


SET, KEYED = ("metadata", "finalizers"), ("spec", "containers")


@pytest.mark.parametrize(
    ("plural", "at", "patch"),
    [
        ("configmaps", SET, lambda items: {"metadata": {"finalizers": items}}),
        ("configmaps", SET, lambda items: {"metadata": {"$deleteFromPrimitiveList/finalizers": items[::2]}}),
        ("configmaps", SET, lambda items: {"metadata": {"$setElementOrder/finalizers": items[::-1]}}),
        ("pods", KEYED, lambda items: {"spec": {"containers": [{**one, "image": "x"} for one in items]}}),
        ("pods", KEYED, lambda items: {"spec": {"containers": [{**one, "$patch": "delete"} for one in items]}}),
        ("pods", KEYED, lambda items: {"spec": {"$setElementOrder/containers": items[::-1]}}),
    ],
    ids=["items", "without items", "order", "keyed items", "without keyed items", "order of keyed items"],
)
def test_steps_of_patches_are_in_proportion(plural: str, at: Place, patch: Callable[[list[Any]], Any]) -> None:
    kind = next(kind for kind in DEFAULT.stored() if kind.plural == plural and not kind.group)
    took = []
    for count in (FEW, 2 * FEW, 4 * FEW):
        names = [f"a/b{number}" for number in range(count)]
        items = names if at is SET else [{"name": name} for name in names]
        document = counted({at[0]: {at[1]: items, "deletionTimestamp": "now"}})
        with Steps() as found:
            patched = strategic(document, counted(patch(items)), schema_for(kind))
            list(metadata.rules(kind, {"metadata": {}, **patched}, {"metadata": {}, **document}))
        took.append(found.count)
    assert took[2] - took[1] < GROWTH * (took[1] - took[0])
