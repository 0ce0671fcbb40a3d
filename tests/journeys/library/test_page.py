"""The page `docs/journeys/library.md`, executed."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "journeys" / "library.md"


README = PAGE.parents[2] / "README.md"


def test_every_block_of_the_page(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    request.config.addinivalue_line("markers", "navarch: as the plugin declares it, where it is installed")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 6
    names: dict[str, Any] = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"{PAGE.name}, block {number + 1}", "exec"), names)


def test_the_first_block_of_the_readme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(README.parent)
    (block, *_) = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, README.name, "exec"), names)
    names["test_my_app_comes_up"]()
