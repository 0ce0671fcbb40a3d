"""The pages of docs/journeys, executed: each page is one shell, and each of its blocks must succeed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "journeys").glob("*.md"))
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CACHE = Path("/var/cache/navarch")


def script(page: Path) -> str:
    """The blocks of a page as one script that says which line it is at and stops at the first failure."""
    parts = ["set -euo pipefail"]
    text = page.read_text()
    for found in BLOCK.finditer(text):
        line = text[: found.start()].count("\n") + 2
        parts.append(f"echo '--- {page.name}, line {line}'")
        parts += [_must_fail(command) for command in _commands(found.group(1))]
    return "\n".join(parts) + "\n"


def _commands(block: str) -> list[str]:
    return block.splitlines()


def _must_fail(command: str) -> str:
    """`! command` does not stop a shell when the command succeeds after all: say so outright."""
    if command.startswith("! "):
        return f"if {command[2:]}; then echo 'should have failed: {command[2:].split()[0]}'; exit 1; fi"
    return command


def folder_with_programs(folder: Path) -> Path:
    """`navarch` and `python` as the tests run them, whatever is installed on the machine."""
    programs = folder / "bin"
    programs.mkdir()
    for name, words in (("navarch", "-m navarch"), ("python", "")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
        program.chmod(0o755)
    return programs


@pytest.mark.node
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page(page: Path, tmp_path: Path) -> None:
    assert BLOCK.search(page.read_text()), "the page has nothing to execute"
    work = tmp_path / "work"
    work.mkdir()
    programs = folder_with_programs(tmp_path)
    environment = {
        **os.environ,
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "WORK": str(work),
        "KUBECONFIG": str(tmp_path / "kubeconfig"),
    }
    try:
        done = subprocess.run(
            ["bash", "-c", script(page)], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=550
        )
    finally:
        left = subprocess.run([programs / "navarch", "down"], env=environment, capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    assert left.returncode == 0, left.stdout + left.stderr
