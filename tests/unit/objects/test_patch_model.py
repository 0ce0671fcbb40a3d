"""The three patches against a slow, obvious model: whatever is drawn, both come to the same or both refuse."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import patch_model as model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from navarch.base.errors import ApiError
from navarch.kinds.deployment import DEPLOYMENT
from navarch.kinds.schema import schema_for
from navarch.objects import patch as patches
from navarch.objects.shape import Shape, struct

TEXT = Shape("string", "string")
TEXTS = Shape("map", "map[string]string", item=TEXT)
PORT = struct({"containerPort": Shape("integer"), "protocol": TEXT, "name": TEXT}, "v1.ContainerPort")
ITEM = struct(
    {
        "name": TEXT,
        "image": TEXT,
        "args": Shape("list", item=TEXT),
        "tags": Shape("list", item=TEXT, merges=True),
        "ports": Shape("list", item=PORT, merges=True, merge_key="containerPort"),
        "map": TEXTS,
    },
    "v1.Item",
)
FIELDS = {
    "text": TEXT,
    "items": Shape("list", item=ITEM, merges=True, merge_key="name"),
    "tags": Shape("list", item=TEXT, merges=True),
    "args": Shape("list", item=TEXT),
    "map": TEXTS,
    "whole": Shape("map", item=TEXT, replaces=True),
    "kept": struct({"text": TEXT, "map": TEXTS}, retains_keys=True),
}
SHAPE = struct({**FIELDS, "below": struct(FIELDS, "v1.Below")}, "v1.Root")
"""Every strategy there is, twice below another."""


def times(count: int) -> settings:
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))


words = st.sampled_from("abcde")
numbers = st.integers(1, 3)
scalars = {"string": words, "integer": numbers}


def documents(shape: Shape) -> st.SearchStrategy[Any]:
    """What may be stored. Two ports may have the same number and another protocol."""
    if shape.form in scalars:
        return scalars[shape.form]
    if shape.form == "map":
        return st.dictionaries(words, words, max_size=3)
    if shape.form == "list":
        assert shape.item
        if shape.item.form == "object":
            unique = (lambda item: (item["containerPort"], item.get("protocol"))) if shape.item is PORT else None
            return st.lists(
                keyed(shape, documents), max_size=4, unique_by=unique or (lambda item: item[shape.merge_key])
            )
        return st.lists(words, max_size=4, unique=shape.merges)
    return st.fixed_dictionaries({}, optional={key: documents(below) for key, below in shape.fields.items()})


def keyed(shape: Shape, below: Any, **more: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    assert shape.item
    fields = {key: below(one) for key, one in shape.item.fields.items() if key != shape.merge_key}
    key = scalars[shape.item.fields[shape.merge_key].form]
    return st.fixed_dictionaries({shape.merge_key: key}, optional={**fields, **more})


def changes(shape: Shape) -> st.SearchStrategy[Any]:
    """What a strategic patch may say at a place, directives and nulls among it."""
    if shape.form in scalars:
        return st.none() | scalars[shape.form]
    if shape.form == "map":
        entries = st.dictionaries(words, st.none() | words, max_size=3)
        return (
            st.none()
            | entries
            | entries.map(lambda found: {"$patch": "replace", **found})
            | st.just({"$patch": "delete"})
            | entries.map(lambda found: {**found, "$patch": "merge"})
        )
    if shape.form == "list":
        assert shape.item
        if shape.item.form == "object":
            return st.lists(item_changes(shape), max_size=4)
        return st.none() | st.lists(words, max_size=3, unique=shape.merges)
    return objects(shape)


def item_changes(shape: Shape) -> st.SearchStrategy[Any]:
    assert shape.item
    key = scalars[shape.item.fields[shape.merge_key].form]
    doomed = key.map(lambda name: {shape.merge_key: name, "$patch": "delete"})
    rare = st.sampled_from([{"$patch": "replace"}, {"$patch": "explode"}, {"note": "without a key"}])
    usual = keyed(shape, changes)
    return st.one_of(usual, usual, usual, usual, doomed, doomed, rare)


@st.composite
def objects(draw: st.DrawFn, shape: Shape) -> Any:
    found: dict[str, Any] = {}
    for key, below in shape.fields.items():
        if not draw(st.booleans()):
            continue
        value = found[key] = draw(changes(below))
        if below.form == "list" and below.merges:
            names = [
                model.name_of(item, below) for item in value or [] if below.merge_key in item or not below.merge_key
            ]
            if not below.merge_key and draw(st.booleans()):
                doomed = draw(st.lists(words, max_size=3, unique=True))
                found[f"$deleteFromPrimitiveList/{key}"] = [word for word in doomed if word not in names]
            if value is not None and draw(st.booleans()):
                others = draw(st.lists(scalars["integer" if below.item is PORT else "string"], max_size=3))
                order = [*names, *others]
                order = model.unique(order) if draw(st.booleans()) else order
                order = draw(st.permutations(order)) if draw(st.booleans()) else order
                found[f"$setElementOrder/{key}"] = [
                    {below.merge_key: name} if below.merge_key else name for name in order
                ]
    if shape.retains_keys and draw(st.booleans()):
        found["$retainKeys"] = draw(st.lists(st.sampled_from(list(shape.fields)), unique=True))
    if draw(st.integers(0, 9)) == 0:
        found["$patch"] = draw(st.sampled_from(["replace", "delete", "merge", "explode"]))
    return found


def outcome(work: Any, *arguments: Any) -> Any:
    before = deepcopy(arguments[:2])
    try:
        found = work(*arguments)
    except (ApiError, model.Refused) as error:
        found = "refused" if isinstance(error, model.Refused) or error.code < 500 else error
    assert arguments[:2] == before, "neither the document nor the patch may be changed"
    return found


@times(150)
@given(documents(SHAPE), objects(SHAPE))
def test_strategic_patches(document: Any, patch: Any) -> None:
    wanted = outcome(model.strategic, document, patch, SHAPE)
    assert outcome(patches.strategic, document, patch, SHAPE) == wanted
    if wanted != "refused" and wanted == document:
        assert patches.strategic(document, {}, SHAPE) is document


DEPLOYMENTS = schema_for(DEPLOYMENT)
container_changes = st.fixed_dictionaries(
    {"name": words},
    optional={
        "image": words,
        "ports": st.lists(
            st.fixed_dictionaries(
                {"containerPort": numbers},
                optional={"protocol": st.sampled_from(["TCP", "UDP"]), "$patch": st.just("delete")},
            ),
            max_size=3,
        ),
        "env": st.lists(st.fixed_dictionaries({"name": words}, optional={"value": words}), max_size=3),
        "$patch": st.just("delete"),
    },
)
deployments = st.fixed_dictionaries(
    {},
    optional={
        "strategy": st.fixed_dictionaries(
            {"type": st.sampled_from(["Recreate", "RollingUpdate"])},
            optional={
                "rollingUpdate": st.just({"maxSurge": 1}),
                "$retainKeys": st.sampled_from([["type"], ["type", "rollingUpdate"]]),
            },
        ),
        "template": st.fixed_dictionaries(
            {"spec": st.fixed_dictionaries({"containers": st.lists(container_changes, max_size=3)})}
        ),
    },
).map(lambda spec: {"metadata": {"finalizers": ["a/b"]}, "spec": spec})


@times(100)
@given(deployments.map(model.plain), deployments)
def test_strategic_patches_of_deployments(document: Any, patch: Any) -> None:
    assert outcome(patches.strategic, document, patch, DEPLOYMENTS) == outcome(
        model.strategic, document, patch, DEPLOYMENTS
    )


values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | words,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(words, below, max_size=3),
    max_leaves=8,
)


def without_null(value: Any) -> Any:
    """Stored documents hold none."""
    if isinstance(value, dict):
        return {key: without_null(below) for key, below in value.items() if below is not None}
    return [without_null(one) for one in value if one is not None] if isinstance(value, list) else value


trees = st.dictionaries(words, values, max_size=4).map(without_null)


@times(150)
@given(trees, st.dictionaries(words, values, max_size=4))
def test_merge_patches(document: Any, patch: Any) -> None:
    wanted = model.merge(document, patch)
    found = outcome(patches.merge_patch, document, patch)
    assert model.exact(found) == model.exact(wanted)
    assert patches.merge_patch(found, {}) is found


steps = st.sampled_from(["a", "b", "c", "d", "0", "1", "2", "-", "-1", "-2", "-9", "01", "x~1y", "x~0y"])
paths = st.lists(steps, max_size=3).map(lambda found: "".join(f"/{step}" for step in found))
odd = st.dictionaries(st.sampled_from(["x/y", "x~y"]), words)
operations = st.one_of(
    st.fixed_dictionaries({"op": st.sampled_from(["add", "add", "replace", "test"]), "path": paths, "value": values}),
    st.fixed_dictionaries({"op": st.just("remove"), "path": paths}),
    st.fixed_dictionaries({"op": st.sampled_from(["move", "copy"]), "path": paths, "from": paths}),
)


@st.composite
def fitting(draw: st.DrawFn, document: Any) -> Any:
    """Operations most of which find what they speak of."""
    found: list[Any] = []
    for _ in range(draw(st.integers(1, 5))):
        operation = draw(operations)
        known = [path for path in places(document) if path]
        for name in ("path", "from"):
            if name in operation and known and draw(st.integers(0, 3)):
                operation[name] = draw(st.sampled_from(known))
        found.append(operation)
    return found


def places(value: Any, at: str = "") -> list[str]:
    below: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        below = [(f"{at}/{key.replace('~', '~0').replace('/', '~1')}", one) for key, one in value.items()]
    elif isinstance(value, list):
        below = [(f"{at}/{place}", one) for place, one in enumerate(value)]
    return [at, *(path for name, one in below for path in places(one, name))]


@times(300)
@given(st.data())
def test_json_patches(data: st.DataObject) -> None:
    document = {**data.draw(trees), **data.draw(odd)}
    asked = data.draw(fitting(document))
    wanted = outcome(model.operate, document, asked)
    found = outcome(patches.json_patch, document, asked)
    assert model.exact(found) == model.exact(wanted)
