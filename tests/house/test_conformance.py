"""The page of conformance names all specs, and every test that it names is there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS / "compat" / "conformance"))

import conformance_specs as specs  # noqa: E402 - where the marks are read

REFERENCE = TESTS.parents[1] / "shared" / "reference" / "conformance-specs.txt"


def test_the_page_is_current() -> None:
    current = "run `python tests/compat/conformance/conformance_specs.py`"
    assert specs.PAGE.read_text() == specs.page(), current


def test_nothing_that_is_shown_is_called_not_shown() -> None:
    assert sorted({one.name for one in specs.shown()} & specs.not_shown().keys()) == []


def test_all_specs_are_there_and_no_others() -> None:
    if not REFERENCE.exists():
        pytest.skip(f"{REFERENCE} is not there to compare with")
    wanted = set(REFERENCE.read_text().splitlines()) - {""}
    found = {one.name for one in specs.shown()} | specs.not_shown().keys()
    assert sorted(wanted - found) == [], "neither shown by a test nor in not_shown.yaml"
    assert sorted(found - wanted) == [], "not the name of a spec"
