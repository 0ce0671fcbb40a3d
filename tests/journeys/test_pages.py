"""The pages of the docs, executed: every `python` and `sh` block of every page below docs/ runs, in order.

A page whose shell calls `navarch up` is one shell on a machine of its own: it needs root, and whatever it leaves is
taken down after it. A page that names the test which executes it is left to that one, which plays it on a cluster that
is up (`shell.py`). All others are played by `play.py` and need no rights.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "node"))
from play import blocks, is_file
from real_cluster import one_cluster
from shell import DOCS, ROOT, environment, executed_by, name_of, script

PLAYER = Path(__file__).parent / "play.py"


def pages(*, machine: bool) -> list[Path]:
    """Those with blocks to execute which bring up a machine, or do not, and which no other test executes."""
    found = []
    for page in sorted(DOCS.rglob("*.md")):
        executable = [block for block in blocks(page) if is_file(block) or block.language in ("python", "sh")]
        lines = [line for block in executable if block.language == "sh" for line in block.text.splitlines()]
        up = any(line.startswith("navarch up") for line in lines)
        if executable and up == machine and not executed_by(page):
            found.append(page)
    return found


def folder_of(directory: Path) -> Path:
    """For what a page writes, with the folders of the checkout that pages read."""
    work = directory / "work"
    work.mkdir()
    for name in ("examples", "tests"):
        (work / name).symlink_to(ROOT / name)
    return work


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


@pytest.mark.node
@pytest.mark.parametrize("page", pages(machine=True), ids=name_of)
def test_page_of_a_machine(page: Path, tmp_path: Path) -> None:
    work = folder_of(tmp_path)
    where = {**environment(tmp_path), "WORK": str(work)}
    with one_cluster():
        try:
            done = subprocess.run(
                ["bash", "-c", script(page)], cwd=work, env=where, capture_output=True, text=True, timeout=550
            )
        finally:
            left = subprocess.run([tmp_path / "bin" / "navarch", "down"], env=where, capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    assert left.returncode == 0, left.stdout + left.stderr


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
