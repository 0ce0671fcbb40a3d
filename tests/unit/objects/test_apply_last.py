"""From client-side to server-side apply without conflicts with oneself."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from navarch.base.errors import Conflict
from navarch.objects import apply
from navarch.objects.apply_last import ANNOTATION, MAX_ANNOTATIONS_BYTES
from navarch.objects.shape import Shape, struct

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TEXT = Shape("string", "string")
TEXTS = Shape("map", "map[string]string", item=TEXT)
SHAPE = struct(
    {
        "apiVersion": TEXT,
        "kind": TEXT,
        "metadata": struct({"name": TEXT, "annotations": TEXTS}),
        "spec": struct({"a": TEXT, "b": TEXT, "c": TEXT}),
    }
)


def doc(annotations: dict[str, str] | None = None, **spec: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": "x"} | ({"annotations": annotations} if annotations else {})
    return {"apiVersion": "v1", "kind": "Thing", "metadata": metadata, "spec": spec}


def client_side(*, changed: dict[str, str] | None = None, **spec: str) -> dict[str, Any]:
    """What client-side apply of `spec` leaves; `changed` was changed by somebody else afterwards."""
    live = doc({ANNOTATION: json.dumps(doc(**spec)) + "\n"}, **spec)
    live = apply.with_entries(
        live, apply.updated(None, live, SHAPE, "kubectl-client-side-apply", "Update", "", "v1", NOW)
    )
    if not changed:
        return live
    edited = {**live, "spec": {**live["spec"], **changed}}
    return apply.with_entries(edited, apply.updated(live, edited, SHAPE, "other", "Update", "", "v1", NOW))


def test_kubectl_takes_over_what_it_applied_before() -> None:
    result = apply.merge(client_side(a="1", b="1"), doc(a="2", b="1"), SHAPE, "kubectl", False, NOW)
    assert result["spec"] == {"a": "2", "b": "1"}
    assert json.loads(result["metadata"]["annotations"][ANNOTATION]) == doc(a="2", b="1")


def test_other_managers_are_refused() -> None:
    with pytest.raises(Conflict, match=r"kubectl-client-side-apply.*: \.spec\.a"):
        apply.merge(client_side(a="1"), doc(a="2"), SHAPE, "someone", False, NOW)


def test_what_others_changed_since_is_disputed_alone() -> None:
    live = client_side(a="1", b="1", changed={"b": "9"})
    with pytest.raises(Conflict) as refused:
        apply.merge(live, doc(a="2", b="2"), SHAPE, "kubectl", False, NOW)
    assert [cause.field for cause in refused.value.causes] == [".spec.b"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"apiVersion": "v2"}', '{"apiVersion": "v1", "spec": 3}'])
def test_an_annotation_that_says_nothing_allows_nothing(text: str) -> None:
    live = client_side(a="1")
    live["metadata"]["annotations"] = {ANNOTATION: text}
    with pytest.raises(Conflict):
        apply.merge(live, doc(a="2"), SHAPE, "kubectl", False, NOW)


def test_without_an_annotation_none_is_made_and_a_large_one_is_emptied() -> None:
    live = apply.merge(None, doc(a="1"), SHAPE, "kubectl", False, NOW)
    assert "annotations" not in apply.merge(live, doc(a="2"), SHAPE, "kubectl", False, NOW)["metadata"]
    large = doc(a="x" * MAX_ANNOTATIONS_BYTES)
    result = apply.merge(client_side(a="1"), large, SHAPE, "kubectl", False, NOW)
    assert result["metadata"]["annotations"][ANNOTATION] == ""
