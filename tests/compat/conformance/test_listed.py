"""The table of specs is right: each is one of Kubernetes', and none is claimed twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from conformance_specs import covered


def test_every_covered_spec_is_one_of_kubernetes() -> None:
    places = (parent / "shared" / "reference" / "conformance-specs.txt" for parent in Path(__file__).parents)
    listed = next((place for place in places if place.exists()), None)
    if listed is None:
        pytest.skip("the list of Kubernetes' conformance specs is not here: it is no part of the project")
    names = set(listed.read_text().splitlines())
    assert [name for name, _ in covered() if name not in names] == []


def test_no_spec_is_claimed_twice() -> None:
    claims = Counter(name for name, _ in covered())
    assert [name for name, count in claims.items() if count > 1] == []
    assert len(claims) >= 162
