"""Pruning and defaulting of custom resources: laws that hold for every schema and every document."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from navarch.base.errors import Cause
from navarch.kinds.custom import priority
from navarch.kinds.custom_schema import Structural
from navarch.kinds.custom_values import bad_pattern, causes

NAMES = st.sampled_from(["a", "b", "c", "metadata"])
LEAVES = st.sampled_from(
    [
        {"type": "integer"},
        {"type": "integer", "default": 3},
        {"type": "string", "default": "x"},
        {"type": "string", "nullable": True},
        {"type": "string", "nullable": True, "default": "y"},
        {"x-kubernetes-int-or-string": True},
        {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        {"type": "object", "default": {}, "properties": {"a": {"type": "integer", "default": 1}}},
    ]
)


def schemas() -> st.SearchStrategy[dict[str, Any]]:
    def grown(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
        fields = st.dictionaries(NAMES, inner, max_size=3)
        return st.one_of(
            fields.map(lambda found: {"type": "object", "properties": found}),
            inner.map(lambda found: {"type": "object", "additionalProperties": found}),
            inner.map(lambda found: {"type": "array", "items": found}),
            fields.map(
                lambda found: {"type": "object", "properties": found, "x-kubernetes-preserve-unknown-fields": True}
            ),
        )

    return st.recursive(LEAVES, grown, max_leaves=8)


DOCUMENTS = st.recursive(
    st.one_of(st.none(), st.integers(-2, 2), st.sampled_from(["", "x"]), st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=12,
)


@given(schemas(), DOCUMENTS)
def test_pruning_and_defaulting_are_settled_after_once(schema: dict[str, Any], document: Any) -> None:
    node = Structural(schema)
    before = orjson.dumps(document)
    unknown: list[tuple[str, str]] = []
    settled = node.settle(document, unknown)
    filled = node.fill(settled)
    assert orjson.dumps(document) == before, "the document was changed in place"
    again: list[str] = []
    assert node.settle(settled, again) is settled
    assert again == []
    assert node.fill(filled) is filled
    assert node.settle(filled, again) is filled, "a default was pruned"


@given(schemas(), DOCUMENTS)
def test_pruning_only_takes_away(schema: dict[str, Any], document: Any) -> None:
    assert within(Structural(schema).settle(document, []), document)


def within(small: Any, large: Any) -> bool:
    if isinstance(small, dict) and isinstance(large, dict):
        return all(key in large and within(value, large[key]) for key, value in small.items())
    if isinstance(small, list) and isinstance(large, list):
        return len(small) == len(large) and all(map(within, small, large))
    return bool(small == large)


@given(schemas(), DOCUMENTS, DOCUMENTS)
def test_what_was_stored_is_let_be(schema: dict[str, Any], document: Any, other: Any) -> None:
    node = Structural(schema)
    assert list(causes(node, document, document)) == []
    for cause in causes(node, document, other):
        assert cause.reason.startswith("FieldValue")


def test_nulls_go_where_they_may_not_be() -> None:
    node = Structural(
        {
            "type": "object",
            "properties": {
                "kept": {"type": "string", "nullable": True, "default": "d"},
                "gone": {"type": "string"},
                "filled": {"type": "string", "default": "d"},
            },
        }
    )
    found = node.fill(node.settle({"kept": None, "gone": None, "filled": None}, []))
    assert found == {"kept": None, "filled": "d"}


def test_embedded_resources_keep_what_every_object_has() -> None:
    node = Structural(
        {
            "type": "object",
            "properties": {"template": {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {}}},
        }
    )
    whole = {"template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "other": 1}}
    unknown: list[tuple[str, str]] = []
    assert node.settle(whole, unknown) == {"template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}}}
    assert [path for path, _ in unknown] == ["template.other"]
    assert [cause.field for cause in causes(node, {"template": {}})] == ["template.apiVersion", "template.kind"]


def test_junctors() -> None:
    node = Structural(
        {
            "type": "object",
            "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
            "oneOf": [{"required": ["x"]}, {"required": ["y"]}],
            "not": {"properties": {"x": {"enum": [5]}}, "required": ["x"]},
        }
    )
    assert list(causes(node, {"x": 1})) == []
    (both,) = causes(node, {"x": 1, "y": 1})
    assert both.message.endswith("must validate one and only one schema (oneOf). Found 2 valid alternatives")
    (five,) = causes(node, {"x": 5})
    assert five == Cause("FieldValueInvalid", 'Invalid value: "": "" must not validate the schema (not)', "<nil>")


def test_patterns_are_gos() -> None:
    assert bad_pattern("^[a-z]+$") == ""
    assert bad_pattern("(?=a)")
    node = Structural({"type": "string", "pattern": "^(a+)+$"})
    assert [cause.reason for cause in causes(node, "a" * 50_000 + "b")] == ["FieldValueInvalid"]


def test_versions_are_preferred_as_kubernetes_does() -> None:
    names = ["foo1", "v1alpha1", "v2", "v1", "v11beta2", "v10", "foo10", "v3beta1", "v12alpha1"]
    assert sorted(names, key=priority) == [
        *("v10", "v2", "v1", "v11beta2", "v3beta1", "v12alpha1", "v1alpha1", "foo1", "foo10"),
    ]


def test_a_field_that_was_meant_is_named() -> None:
    node = Structural({"type": "object", "properties": {"replicas": {"type": "integer"}}})
    unknown: list[tuple[str, str]] = []
    node.settle({"replcas": 1, "colour": "red"}, unknown)
    assert unknown == [("replcas", '; did you mean "replicas"?'), ("colour", "")]
