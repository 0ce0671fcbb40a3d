"""Pages of shell: each as one script, what it needs around it, and which test runs it.

A page whose shell calls `navarch up` brings up the cluster that it is about (`tests/node/test_machine_pages.py`). One
that says "executed by" and a test below `tests/node/` is played by that: it has a cluster which others use as well, and
calls `play_on`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from play import FILE_NAME, blocks, is_file, shell_lines

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXECUTED_BY = re.compile(r"executed\s+by\s+`(tests/node/[\w/]+\.py)`")
PATIENCE_S = 240


def executed_by(page: Path) -> str:
    """The test that the page names, by its path; "" where it names none."""
    found = EXECUTED_BY.search(page.read_text())
    return found[1] if found else ""


def name_of(page: Path) -> str:
    """`howto/canary`."""
    return str(page.relative_to(DOCS).with_suffix(""))


def script(page: Path) -> str:
    """The blocks of a page as one script that says which line it is at and stops at the first failure."""
    parts = ["set -euo pipefail"]
    for block in blocks(page):
        name = FILE_NAME.match(block.text)
        if block.language == "sh" or is_file(block):
            parts.append(f"echo '--- {page.name}, line {block.line}, after '$SECONDS' s'")
        if name is not None and is_file(block):
            parts += [f"cat >{name[1]} <<'END OF THE BLOCK'", block.text + "END OF THE BLOCK"]
        elif block.language == "sh":
            parts += shell_lines(block)
    return "\n".join(parts) + "\n"


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


def environment(folder: Path) -> dict[str, str]:
    """`navarch`, `python` and `pytest` as the tests run them, whatever is installed on the machine."""
    programs = folder / "bin"
    programs.mkdir()
    for name, words in (("navarch", "-m navarch"), ("python", ""), ("pytest", "-m pytest")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
        program.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "KUBECONFIG": str(folder / "kubeconfig"),
    }


def play_on(kubeconfig: Path, namespace: str, name: str, folder: Path) -> None:
    """Run a page on a cluster that is up, as a reader whose context is in that namespace. name: as `name_of` says it.

    folder: empty, for what the page writes.
    """
    where = environment(folder)
    work = folder / "work"
    work.mkdir()
    Path(where["KUBECONFIG"]).write_bytes(kubeconfig.read_bytes())
    context = ["kubectl", "config", "set-context", "--current", f"--namespace={namespace}"]
    subprocess.run(context, env=where, check=True, capture_output=True, timeout=60)
    done = subprocess.run(
        ["bash", "-c", script(DOCS / f"{name}.md")],
        cwd=work,
        env={**where, "WORK": str(work)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    print(done.stdout)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
