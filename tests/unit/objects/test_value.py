"""Drafts: read by path as documents are, and never changing what they were made from."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from navarch.objects.value import ABSENT, Draft, dig

NAMES = st.sampled_from(["a", "b"])
VALUES = st.recursive(
    st.none() | st.integers(0, 2) | st.just("text"),
    lambda below: st.dictionaries(NAMES, below, max_size=2) | st.lists(below, max_size=2),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=2)
PATHS = st.lists(NAMES | st.integers(-1, 1), max_size=4).map(tuple)


@given(DOCUMENTS, PATHS)
def test_a_draft_is_read_as_its_document(document: dict[str, Any], path: tuple[str | int, ...]) -> None:
    draft = Draft(document)
    assert draft.get(*path, default=7) == dig(document, *path, default=7)
    assert draft.get(*path) is dig(document, *path)
    assert draft.has(*path) == (dig(document, *path, default=ABSENT) is not ABSENT)


@given(DOCUMENTS, st.lists(NAMES, min_size=1, max_size=3).map(tuple), VALUES)
def test_what_is_written_is_read_and_the_origin_stays(
    document: dict[str, Any], path: tuple[str, ...], value: Any
) -> None:
    before, draft = copy.deepcopy(document), Draft(document)
    try:
        draft.set(value, *path)
    except TypeError:
        assert document == before
        return
    assert draft.get(*path) == value
    assert document == before
