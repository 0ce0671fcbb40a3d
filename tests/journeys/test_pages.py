"""The pages of the docs, executed: every `python` and `sh` block of every page below docs/ runs, in order.

A page with Python is played by `play.py` and needs no rights; a page with shell alone is one shell on a machine of its
own: it begins with `navarch up`, needs root, and whatever it leaves is taken down after it. A page that names the test
which executes it is left to that one, which plays it on a cluster that is up (`shell.py`).
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


def pages(*languages: str) -> list[Path]:
    """Those whose executable blocks are in exactly these languages, or in some of them and Python or files of YAML."""
    found = []
    for page in sorted(DOCS.rglob("*.md")):
        if executed_by(page):
            continue
        spoken = {"python" if is_file(block) else block.language for block in blocks(page)} & {"python", "sh"}
        if spoken and ("python" in spoken) == ("python" in languages):
            found.append(page)
    return found


@pytest.mark.parametrize("page", pages("python"), ids=name_of)
def test_page_of_the_library(page: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    for name in ("examples", "tests"):
        (work / name).symlink_to(ROOT / name)
    done = subprocess.run(
        [sys.executable, PLAYER, page, "."],
        cwd=work,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=300,
    )
    print(done.stdout)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"


@pytest.mark.node
@pytest.mark.parametrize("page", pages("sh"), ids=name_of)
def test_page_of_a_machine(page: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    where = {**environment(tmp_path), "WORK": str(work)}
    with one_cluster():
        try:
            done = subprocess.run(
                ["bash", "-c", script(page)], cwd=ROOT, env=where, capture_output=True, text=True, timeout=550
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
