"""Plays a page of the docs: `python play.py PAGE FOLDER` runs its blocks in order, in FOLDER, up to the first failure.

Python blocks share one namespace, like one long program; their tracebacks name the page and its lines. Shell blocks run
in a shell each. A block whose first line is a comment with a file's name, of YAML too, is written to that file instead.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BLOCK = re.compile(r"^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"# ([\w.-]+\.(?:py|yaml))\n")


@dataclass(frozen=True, slots=True)
class Block:
    """line: of the page, where the block's text begins."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for found in BLOCK.finditer(text):
        yield Block(found["language"], found["text"], text[: found.start("text")].count("\n") + 1)


def is_file(block: Block) -> bool:
    """It is written down, not run."""
    return block.language in ("python", "sh", "yaml") and FILE_NAME.match(block.text) is not None


def shell_lines(block: Block) -> list[str]:
    """The block's commands, where `! command` stops the shell when the command succeeds after all."""
    return [_must_fail(line) for line in block.text.splitlines()]


def _must_fail(line: str) -> str:
    if line.startswith("! "):
        return f"if {line[2:]}; then echo 'should have failed: {line[2:].split()[0]}'; exit 1; fi"
    return line


def play(page: Path, folder: Path) -> None:
    sys.path.insert(0, str(folder.resolve()))
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page):
        where = f"{page.name}, line {block.line}"
        name = FILE_NAME.match(block.text)
        if block.language not in ("python", "sh") and not is_file(block):
            continue
        print(f"--- {where}", flush=True)
        if name is not None:
            (folder / name[1]).write_text(block.text)
        elif block.language == "python":
            source = "\n" * (block.line - 1) + block.text
            exec(compile(source, str(page), "exec"), namespace)
        else:
            script = "\n".join(["set -euo pipefail", *shell_lines(block)])
            if subprocess.run(["bash", "-c", script], cwd=folder).returncode:
                sys.exit(f"{where}: the shell stopped")


if __name__ == "__main__":
    play(Path(sys.argv[1]).resolve(), Path(sys.argv[2]))
