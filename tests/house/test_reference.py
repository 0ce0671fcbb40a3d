"""The pages of docs/reference are what the source says today, and what they say is what a running cluster does."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import navarch
from navarch.controllers import ALL
from navarch.kinds.registry import DEFAULT

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
sys.path.insert(0, str(FOLDER))
import generate  # noqa: E402 - where the pages are
import said  # noqa: E402


@pytest.mark.parametrize("name", generate.PAGES)
def test_a_page_is_current(name: str) -> None:
    page = FOLDER / name
    assert page.exists(), "run `python docs/reference/generate.py`"
    assert page.read_text() == generate.PAGES[name](), "the source has changed: run `python docs/reference/generate.py`"


def test_nothing_else_lies_there() -> None:
    assert {page.name for page in FOLDER.glob("*.md")} == {*generate.PAGES, "conformance.md"}


def test_nothing_is_left_out() -> None:
    kinds = generate.kinds()
    assert [kind.name for kind in DEFAULT if f"`{kind.plural}`" not in kinds] == []
    assert generate.controllers_page().count("\n| `") >= len(ALL)
    for room, least in (("controllers", 15), ("scheduler", 3), ("agent", 20)):
        assert len(said.events(room)) >= least, f"events of {room} are no longer found in its source"
    assert all(reasons for reasons in said.rejections().values())


def test_metrics_are_those_of_a_running_cluster() -> None:
    with navarch.Cluster() as c:
        text = "".join(c.client.raw("GET", path).decode() for path in ("/metrics", "/metrics/slis"))
    served = {(name.removesuffix("_total"), type_) for name, type_ in re.findall(r"^# TYPE (\S+) (\w+)$", text, re.M)}
    written = {(each.name.removesuffix("_total"), each.type) for each in said.metrics()}
    assert {found for found in served if not found[0].endswith("_created")} == written
