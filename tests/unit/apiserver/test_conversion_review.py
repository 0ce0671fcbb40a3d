"""What conversion webhooks answer, and what may come of it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.apiserver.conversion_review import ConversionFailed, converted, kept_metadata, review
from navarch.apiserver.outgoing import Answered

OLD = {"apiVersion": "g/v1", "kind": "Thing", "metadata": {"name": "a", "namespace": "n", "uid": "u", "generation": 3}}
NEW = {**OLD, "apiVersion": "g/v2", "x": 1}


def answered(*objects: Any, **response: Any) -> Answered:
    found = {"uid": "1", "convertedObjects": list(objects), "result": {"status": "Success"}, **response}
    document = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": found}
    return Answered(200, (), orjson.dumps(document))


def ask(answer: Answered, *documents: dict[str, Any], told: str = "g/v1, Kind=Thing") -> list[dict[str, Any]]:
    return converted(answer, "v1", "1", "g/v2", documents or (OLD,), told)


def test_the_question_names_the_version() -> None:
    asked = review("v1", "7", "g/v2", [OLD])
    assert asked["apiVersion"] == "apiextensions.k8s.io/v1"
    assert asked["request"] == {"uid": "7", "desiredAPIVersion": "g/v2", "objects": [OLD]}


def test_objects_come_back_in_their_order() -> None:
    other = {**OLD, "metadata": {"name": "b"}}
    assert ask(answered(NEW, {**NEW, "metadata": other["metadata"]}), OLD, other) == [
        NEW,
        {**NEW, "metadata": other["metadata"]},
    ]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answered(500, (), b"x"), "g/v1, Kind=Thing failed: an error on the server"),
        (Answered(200, (), b"<html>"), "failed: couldn't get version/kind"),
        (Answered(200, (), b"{}"), "failed: expected webhook response of apiextensions.k8s.io/v1"),
        (answered(NEW, uid="2"), 'failed: expected response.uid="1", got "2"'),
        (answered(NEW, result={"status": "Failure", "message": "no"}), "failed: no"),
        (answered(NEW, result=3), "response.result.status was ''"),
        (answered(), "returned 0 objects, expected 1"),
        (answered(NEW, NEW), "returned 2 objects, expected 1"),
        (answered(3), "Object 'Kind' is missing"),
        (answered(OLD), "invalid groupVersion (expected g/v2, received g/v1)"),
        (answered({**NEW, "kind": "Other"}), "invalid kind (expected Thing, received Other)"),
        (answered({**NEW, "metadata": []}), "metadata must be an object"),
        (answered({**NEW, "metadata": {**OLD["metadata"], "uid": "v"}}), "must have the same UID: u != v"),
        (answered({**NEW, "metadata": {**OLD["metadata"], "labels": ["x"]}}), "invalid metadata"),
        (answered(NEW, convertedObjects={}), "returned 0 objects"),
        (answered(NEW, convertedObjects="x"), "cannot unmarshal"),
    ],
)
def test_answers_that_make_no_sense_are_refused(answer: Answered, why: str) -> None:
    with pytest.raises(ConversionFailed) as caught:
        ask(answer)
    assert why in caught.value.message
    assert (caught.value.code, caught.value.reason) == (500, "")


def test_in_a_list_the_faulty_one_is_named() -> None:
    with pytest.raises(ConversionFailed, match="invalid converted object at index 1: invalid groupVersion"):
        ask(answered(NEW, OLD), OLD, OLD, told="g/v1, Kind=ThingList")


fields = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3)


@given(before=fields, labels=fields, annotations=fields)
def test_only_labels_and_annotations_are_the_converters(
    before: dict[str, str], labels: dict[str, str], annotations: dict[str, str]
) -> None:
    before = {key: value for key, value in before.items() if key not in ("labels", "annotations")}
    after = {"name": "evil", "labels": labels, "annotations": annotations, "finalizers": ["x"]}
    found, why = kept_metadata(before, after)
    assert not why
    assert {key: found[key] for key in before} == before
    assert (found.get("labels", {}), found.get("annotations", {})) == (labels, annotations)
    assert set(found) <= {*before, "labels", "annotations"}
