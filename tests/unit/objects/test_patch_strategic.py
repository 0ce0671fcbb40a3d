"""Strategic merge patch: every directive, merge keys, the order of lists, sharing, refusals."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.base.errors import BadRequest, Invalid
from navarch.objects.patch import strategic
from navarch.objects.shape import Shape, struct

TEXT = Shape("string", "string")
TEXTS = Shape("map", "map[string]string", item=TEXT)
PORT = struct({"port": Shape("integer"), "name": TEXT}, "v1.Port")
CONTAINER = struct(
    {
        "name": TEXT,
        "image": TEXT,
        "args": Shape("list", item=TEXT),
        "ports": Shape("list", item=PORT, merges=True, merge_key="port"),
    },
    "v1.Container",
)
SHAPE = struct(
    {
        "containers": Shape("list", item=CONTAINER, merges=True, merge_key="name"),
        "finalizers": Shape("list", item=TEXT, merges=True),
        "strategy": struct({"type": TEXT, "rolling": TEXTS}, retains_keys=True),
        "labels": TEXTS,
        "whole": Shape("map", item=TEXT, replaces=True),
        "keyless": Shape("list", item=CONTAINER, merges=True),
    },
    "v1.Spec",
)
A, B, C = ({"name": name, "image": f"{name}:1"} for name in "abc")


def patched(document: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    before = deepcopy((document, patch))
    result = strategic(document, patch, SHAPE)
    assert (document, patch) == before
    return result


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        ({"labels": {"a": "1"}}, {"labels": {"b": "2"}}, {"labels": {"a": "1", "b": "2"}}),
        ({"labels": {"a": "1", "b": "2"}}, {"labels": {"a": None}}, {"labels": {"b": "2"}}),
        ({}, {"labels": {"a": "1", "b": None}}, {"labels": {"a": "1"}}),
        ({"labels": {"a": "1"}}, {"labels": None}, {}),
        ({"labels": {"a": "1"}}, {"labels": {"$patch": "replace", "b": "2"}}, {"labels": {"b": "2"}}),
        ({"labels": {"a": "1"}}, {"labels": {"$patch": "delete"}}, {"labels": {}}),
        ({"labels": {"a": "1"}}, {"labels": {"$patch": "merge", "b": "2"}}, {"labels": {"a": "1", "b": "2"}}),
        ({"whole": {"a": "1"}}, {"whole": {"b": "2"}}, {"whole": {"b": "2"}}),
        ({"unknown": [1]}, {"unknown": [2]}, {"unknown": [2]}),
        (
            {"containers": [A, B]},
            {"containers": [{"name": "b", "image": "n"}]},
            {"containers": [A, {**B, "image": "n"}]},
        ),
        ({"containers": [A]}, {"containers": [B]}, {"containers": [B, A]}),
        ({"containers": [A, B]}, {"containers": [{"name": "a", "$patch": "delete"}]}, {"containers": [B]}),
        ({"containers": [A, B]}, {"containers": [C, {"$patch": "replace"}]}, {"containers": [C]}),
        (
            {"containers": [{**A, "args": ["x"]}]},
            {"containers": [{"name": "a", "args": ["y"]}]},
            {"containers": [{**A, "args": ["y"]}]},
        ),
        ({"finalizers": ["a", "b"]}, {"finalizers": ["c"]}, {"finalizers": ["c", "a", "b"]}),
        ({"finalizers": ["a", "b"]}, {"finalizers": ["b", "c"]}, {"finalizers": ["a", "b", "c"]}),
        (
            {"finalizers": ["a", "b", "c"]},
            {"$deleteFromPrimitiveList/finalizers": ["b", "x"]},
            {"finalizers": ["a", "c"]},
        ),
        ({}, {"$deleteFromPrimitiveList/finalizers": ["b"]}, {}),
        (
            {"finalizers": ["a", "b"]},
            {
                "$setElementOrder/finalizers": ["c", "b"],
                "$deleteFromPrimitiveList/finalizers": ["a"],
                "finalizers": ["c"],
            },
            {"finalizers": ["c", "b"]},
        ),
        (
            {"containers": [A, B, C]},
            {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]},
            {"containers": [B, C, A]},
        ),
        (
            {"containers": [A, B]},
            {"$setElementOrder/containers": [{"name": "b"}, {"name": "c"}, {"name": "a"}], "containers": [C]},
            {"containers": [B, C, A]},
        ),
        ({}, {"$setElementOrder/containers": [{"name": "a"}], "containers": [A]}, {"containers": [A]}),
        ({"containers": [A]}, {"$setElementOrder/containers": [], "containers": [B]}, {"containers": [A, B]}),
        (
            {"finalizers": ["a", "b"]},
            {
                "finalizers": ["c", "a"],
                "$deleteFromPrimitiveList/finalizers": ["a"],
                "$setElementOrder/finalizers": ["c", "a"],
            },
            {"finalizers": ["c", "b"]},
        ),
        ({}, {"$setElementOrder/containers": [{"name": "a"}]}, {}),
        ({}, {"containers": [{"$patch": "replace"}, A, {"name": "b", "$patch": "delete"}]}, {"containers": [A]}),
        ({"labels": {"a": "1"}}, {"labels": {"$patch": "replace", "b": None}}, {"labels": {}}),
        (
            {"strategy": {"type": "RollingUpdate", "rolling": {"max": "1"}}},
            {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}},
            {"strategy": {"type": "Recreate"}},
        ),
        ({}, {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}, {"strategy": {"type": "Recreate"}}),
        (
            {"containers": [{**A, "ports": [{"port": 80, "name": "x"}]}]},
            {"containers": [{"name": "a", "ports": [{"port": 81}, {"port": 80, "name": None}]}]},
            {"containers": [{**A, "ports": [{"port": 81}, {"port": 80}]}]},
        ),
    ],
)
def test_patches(document: dict[str, Any], patch: dict[str, Any], result: dict[str, Any]) -> None:
    assert patched(document, patch) == result


def test_a_long_list_of_names_takes_no_longer_than_its_length_asks_for() -> None:
    """Each compared with each other, these would take hours."""
    names = [f"n{number}" for number in range(150_000)]
    assert patched({"finalizers": names}, {"finalizers": names[::-1]}) == {"finalizers": names[::-1]}


def test_what_is_not_touched_is_shared() -> None:
    document = {"containers": [A, B], "labels": {"a": "1"}}
    result = patched(document, {"containers": [{"name": "b", "image": "new"}]})
    assert result["labels"] is document["labels"]
    assert result["containers"][0] is A
    assert patched(document, {"containers": [{"name": "b", "image": "b:1"}], "labels": {"a": "1"}}) is document
    same_order = {"$setElementOrder/containers": [{"name": "a"}, {"name": "b"}], "labels": {"z": None}}
    assert patched(document, same_order) is document


@pytest.mark.parametrize(
    ("patch", "error", "message"),
    [
        ([], BadRequest, "must be a JSON object"),
        ({"labels": {"$patch": "explode"}}, BadRequest, "unknown patch type: explode"),
        ({"containers": [{"name": "a", "$patch": "explode"}]}, BadRequest, "unknown patch type: explode"),
        ({"containers": [{"image": "x"}]}, Invalid, r"map: map\[image:x\] does not contain declared merge key: name"),
        ({"keyless": [{"image": "x"}]}, Invalid, "cannot merge lists without merge key"),
        ({"$deleteFromPrimitiveList/finalizers": "a"}, BadRequest, "primitive list"),
        ({"$setElementOrder/containers": "a"}, BadRequest, "setElementOrder"),
        ({"strategy": {"$retainKeys": "type"}}, BadRequest, "retainKeys"),
        ({"strategy": {"$retainKeys": ["type"], "rolling": {"a": "1"}}}, BadRequest, "doesn't match the retainKeys"),
        (
            {"$setElementOrder/containers": [{"name": "a"}, {"name": "b"}], "containers": [B, A]},
            BadRequest,
            "The order in patch list",
        ),
    ],
)
def test_refusals(patch: Any, error: type[Exception], message: str) -> None:
    document = {"containers": [A], "labels": {}, "finalizers": ["a"], "keyless": [{"image": "y"}], "strategy": {}}
    with pytest.raises(error, match=message):
        strategic(document, patch, SHAPE)


names = st.sampled_from("abcde")
containers = st.lists(
    st.fixed_dictionaries({"name": names}, optional={"image": st.sampled_from("xyz")}), unique_by=lambda c: c["name"]
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "containers": containers,
        "finalizers": st.lists(names, unique=True),
        "labels": st.dictionaries(names, names, max_size=3),
    },
)


@given(documents, documents)
def test_a_patch_applied_twice_changes_nothing_more(document: dict[str, Any], patch: dict[str, Any]) -> None:
    once = patched(document, patch)
    assert patched(once, patch) == once


@given(documents, documents)
def test_nothing_is_lost_and_everything_patched_is_there(document: dict[str, Any], patch: dict[str, Any]) -> None:
    result = patched(document, patch)
    for field in ("containers", "finalizers"):
        given = [c["name"] if isinstance(c, dict) else c for c in (*document.get(field, []), *patch.get(field, []))]
        found = [c["name"] if isinstance(c, dict) else c for c in result.get(field, [])]
        assert sorted(set(given)) == sorted(found)
    for container in patch.get("containers", []):
        assert any(container.items() <= found.items() for found in result["containers"])
