"""JSON patch and JSON merge patch: the RFCs' examples, their laws, sharing, limits."""

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.base.errors import BadRequest, Invalid, TooLarge
from navarch.objects.patch import MAX_OPERATIONS, json_patch, merge_patch, strategic
from navarch.objects.shape import ANY

values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=10,
)
documents = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": 1}, {"a": True}, {"a": True}),
        ({"a": {"b": False}}, {"a": {"b": 0}}, {"a": {"b": 0}}),
        ({"a": [1]}, {"a": [True]}, {"a": [True]}),
        ({"a": 1}, {"a": {}}, {"a": {}}),
    ],
)
def test_merge_patch(document: dict[str, Any], patch: dict[str, Any], result: dict[str, Any]) -> None:
    assert json.dumps(merge_patch(document, patch)) == json.dumps(result)


def reference_merge(target: Any, patch: Any) -> Any:
    """The pseudocode of RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    target = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        else:
            target[name] = reference_merge(target.get(name), value)
    return target


@given(documents, documents)
def test_merge_patch_is_that_of_the_rfc_and_changes_no_input(document: Any, patch: Any) -> None:
    before = deepcopy((document, patch))
    result = merge_patch(document, patch)
    assert result == reference_merge(document, patch)
    assert (document, patch) == before
    assert merge_patch(result, patch) is result


def test_merge_patch_shares_what_it_does_not_touch() -> None:
    document = {"a": {"x": 1}, "b": {"y": 2}}
    result = merge_patch(document, {"b": {"y": 3}})
    assert result["a"] is document["a"]
    assert merge_patch(document, {"b": {"y": 2}, "c": None}) is document


@pytest.mark.parametrize("patch", [[], None, "x", 1])
def test_a_merge_patch_must_be_an_object(patch: Any) -> None:
    with pytest.raises(BadRequest, match="must be a JSON object"):
        merge_patch({}, patch)


@pytest.mark.parametrize(
    ("document", "operation", "result"),
    [
        ({"foo": "bar"}, {"op": "add", "path": "/baz", "value": "qux"}, {"foo": "bar", "baz": "qux"}),
        ({"foo": ["a", "c"]}, {"op": "add", "path": "/foo/1", "value": "b"}, {"foo": ["a", "b", "c"]}),
        ({"foo": ["a"]}, {"op": "add", "path": "/foo/-", "value": ["b"]}, {"foo": ["a", ["b"]]}),
        ({"foo": ["a"]}, {"op": "add", "path": "/foo/1", "value": "b"}, {"foo": ["a", "b"]}),
        ({"a": 1, "b": 2}, {"op": "remove", "path": "/a"}, {"b": 2}),
        ({"a": [1, 2, 3]}, {"op": "remove", "path": "/a/1"}, {"a": [1, 3]}),
        ({"a": [1, 2, 3]}, {"op": "remove", "path": "/a/-1"}, {"a": [1, 2]}),
        ({"a": [1, 2, 3]}, {"op": "replace", "path": "/a/-3", "value": 0}, {"a": [0, 2, 3]}),
        ({"a": [1, 2]}, {"op": "add", "path": "/a/-1", "value": 3}, {"a": [1, 2, 3]}),
        ({"a": [1, 2]}, {"op": "add", "path": "/a/-3", "value": 0}, {"a": [0, 1, 2]}),
        ({"a": [1, 2]}, {"op": "remove", "path": "/a/01"}, {"a": [1]}),
        ({"a": 1}, {"op": "replace", "path": "/a", "value": {"x": 1}}, {"a": {"x": 1}}),
        ({"a": {"b": 1}, "c": {}}, {"op": "move", "from": "/a/b", "path": "/c/d"}, {"a": {}, "c": {"d": 1}}),
        ({"a": [1, 2, 3]}, {"op": "move", "from": "/a/0", "path": "/a/2"}, {"a": [2, 3, 1]}),
        ({"a": {"b": 1}}, {"op": "copy", "from": "/a", "path": "/c"}, {"a": {"b": 1}, "c": {"b": 1}}),
        ({"a": [1, {"b": None}]}, {"op": "test", "path": "/a", "value": [1, {"b": None}]}, {"a": [1, {"b": None}]}),
        ({"a": 1}, {"op": "test", "path": "/absent", "value": None}, {"a": 1}),
        ({"a/b": 1, "m~n": 2}, {"op": "remove", "path": "/a~1b"}, {"m~n": 2}),
        ({"a/b": 1, "m~n": 2}, {"op": "remove", "path": "/m~0n"}, {"a/b": 1}),
        ({"": 1}, {"op": "remove", "path": "/"}, {}),
        ({"a": 1}, {"op": "replace", "path": "", "value": {"b": 2}}, {"b": 2}),
    ],
)
def test_json_patch(document: dict[str, Any], operation: dict[str, Any], result: dict[str, Any]) -> None:
    before = deepcopy(document)
    assert json_patch(document, [operation]) == result
    assert document == before


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ({"op": "remove", "path": "/x"}, 'remove operation does not apply: doc is missing path: "/x"'),
        ({"op": "replace", "path": "/x", "value": 1}, "replace operation does not apply"),
        ({"op": "add", "path": "/x/y", "value": 1}, "add operation does not apply"),
        ({"op": "add", "path": "/list/3", "value": 1}, "add operation does not apply"),
        ({"op": "add", "path": "/list/-4", "value": 1}, "add operation does not apply"),
        ({"op": "remove", "path": "/list/-3"}, "remove operation does not apply"),
        ({"op": "add", "path": "/list/x", "value": 1}, "add operation does not apply"),
        ({"op": "add", "path": "/text/x", "value": 1}, "add operation does not apply"),
        ({"op": "remove", "path": "/list/-"}, "remove operation does not apply"),
        ({"op": "remove", "path": ""}, "cannot be removed"),
        ({"op": "test", "path": "/text", "value": "b"}, "testing value /text failed"),
        ({"op": "test", "path": "/one", "value": True}, "testing value /one failed"),
        ({"op": "move", "from": "/list", "path": "/list/0"}, "cannot move into itself"),
        ({"op": "move", "path": "/list/0"}, "move operation has no from"),
        ({"op": "copy", "from": "/x", "path": "/y"}, "copy operation does not apply"),
        ({"op": "add", "path": "/x"}, "add operation has no value"),
        ({"op": "add", "value": 1}, "add operation has no path"),
        ({"op": "add", "path": "x", "value": 1}, 'must be empty or start with "/"'),
        ({"op": "frob", "path": "/x"}, "Unexpected kind: frob"),
        ({"op": ["add"], "path": "/x"}, "Unexpected kind"),
        ({"op": "replace", "path": "", "value": 1}, "no object"),
    ],
)
def test_operations_that_do_not_apply(operation: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid) as refused:
        json_patch({"list": [1, 2], "text": "a", "one": 1}, [operation])
    assert message in refused.value.message


@pytest.mark.parametrize("operations", [{}, "x", None, [1]])
def test_a_json_patch_must_be_a_list_of_objects(operations: Any) -> None:
    with pytest.raises(BadRequest):
        json_patch({}, operations)


def test_the_number_of_operations_and_the_size_of_copies_are_limited() -> None:
    operation = {"op": "add", "path": "/a", "value": 1}
    assert json_patch({}, [operation] * MAX_OPERATIONS) == {"a": 1}
    with pytest.raises(TooLarge, match="maximum operations in a JSON patch is 10000, got 10001"):
        json_patch({}, [operation] * (MAX_OPERATIONS + 1))
    doubling = [{"op": "copy", "from": "/a", "path": "/a/-"}] * 100
    with pytest.raises(TooLarge, match="accumulated size"):
        json_patch({"a": ["x" * 100]}, doubling)


def test_patches_that_are_nested_too_deeply_are_refused() -> None:
    deep: Any = 1
    for _ in range(2000):
        deep = {"a": deep}
    for patched in (
        lambda: merge_patch({}, deep),
        lambda: strategic(deep, deep, ANY),
        lambda: json_patch(
            {}, [{"op": "add", "path": "/x", "value": deep}, {"op": "copy", "from": "/x", "path": "/y"}]
        ),
    ):
        with pytest.raises(BadRequest, match="exceeded max depth"):
            patched()


def test_json_patch_shares_what_it_does_not_touch() -> None:
    document = {"a": {"x": [1]}, "b": {"y": 2}}
    result = json_patch(
        document, [{"op": "add", "path": "/b/z", "value": 3}, {"op": "add", "path": "/b/w", "value": 4}]
    )
    assert result["a"] is document["a"]
    assert document["b"] == {"y": 2}


def test_an_edit_after_a_copy_changes_one_place_only() -> None:
    operations = [
        {"op": "add", "path": "/a/x", "value": 1},
        {"op": "copy", "from": "/a", "path": "/b"},
        {"op": "add", "path": "/b/y", "value": 2},
        {"op": "add", "path": "/a/z", "value": 3},
    ]
    assert json_patch({"a": {}}, operations) == {"a": {"x": 1, "z": 3}, "b": {"x": 1, "y": 2}}


@given(documents, st.lists(st.tuples(st.sampled_from(["/a", "/b", "/a/b", "/a/0", "/a/-"]), values), max_size=5))
def test_added_values_are_found_where_they_were_put(document: Any, additions: list[tuple[str, Any]]) -> None:
    before = deepcopy((document, additions))
    for path, value in additions:
        try:
            document_after = json_patch(document, [{"op": "add", "path": path, "value": value}])
        except Invalid:
            continue
        if not path.endswith("-"):
            json_patch(document_after, [{"op": "test", "path": path, "value": value}])
    assert (document, additions) == before
