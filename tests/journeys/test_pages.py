"""The pages of the docs, executed: every `python` and `sh` block of every page below docs/ runs, in order.

Those that need a machine are played by `tests/node/test_machine_pages.py`, or by the test that they name. All others
are played here, by `play.py`, and need no rights.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from play import blocks
from shell import ROOT, environment, folder_of, name_of, pages

PLAYER = Path(__file__).parent / "play.py"


@pytest.mark.parametrize("page", pages(machine=False), ids=name_of)
def test_page_of_the_library(page: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, PLAYER, page, "."],
        cwd=folder_of(tmp_path),
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=300,
    )
    print(done.stdout)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"


def test_the_readme_shows_a_test_that_passes(tmp_path: Path) -> None:
    """Its first Python block is a test; it is run as one, from the checkout."""
    first = next(block for block in blocks(ROOT / "README.md") if block.language == "python")
    (tmp_path / "test_readme.py").write_text(first.text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("```python\nx = 1\n```\n\n```python\nassert x == 2\n```\n", 'page.md", line 6'),
        ("```sh\ntrue\nfalse\n```\n```python\n```\n", "line 2: the shell stopped"),
        ("```sh\n! true\n```\n```python\n```\n", "should have failed: true"),
        ("```python\n# test_it.py\nboom\n```\n```sh\npytest -q test_it.py\n```\n", "line 6: the shell stopped"),
    ],
)
def test_a_page_that_is_wrong_is_found_out(text: str, says: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    done = subprocess.run(
        [sys.executable, PLAYER, page, "."], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True
    )
    assert done.returncode != 0
    assert says in done.stdout + done.stderr
