"""Takes the picture that the README opens with: runs commands in a real terminal (tmux) and keeps its last screen.

`python docs/pictures/record.py docs/pictures/demo.svg "navarch up" "navarch demo"`; needs tmux, and root for these two.
"""

from __future__ import annotations

import io
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

SESSION = "navarch-picture"
COLUMNS, ROWS = 104, 60
PROMPT = "$ "


def tmux(*words: str) -> str:
    return subprocess.run(["tmux", "-L", SESSION, *words], check=True, capture_output=True, text=True).stdout


def screen_of(commands: list[str], patience_s: float = 300.0) -> str:
    """The terminal's text with its colours, after all commands have ended."""
    tmux("new-session", "-d", "-s", SESSION, "-x", str(COLUMNS), "-y", str(ROWS), "env", "PS1=$ ", "sh")
    try:
        for number, command in enumerate(commands, 1):
            tmux("send-keys", "-t", SESSION, f"{command}", "Enter")
            deadline = time.monotonic() + patience_s
            while tmux("capture-pane", "-p", "-t", SESSION).rstrip().splitlines()[-1:] != [PROMPT.rstrip()]:
                if time.monotonic() > deadline:
                    raise SystemExit(f"{command!r} ({number} of {len(commands)}) did not end")
                time.sleep(0.3)
        return tmux("capture-pane", "-p", "-e", "-t", SESSION)
    finally:
        tmux("kill-server")


def main(target: Path, commands: list[str]) -> None:
    lines = screen_of(commands).rstrip().splitlines()
    if lines and lines[-1].strip() == PROMPT.strip():
        lines.pop()
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi("\n".join(lines)))
    target.write_text(console.export_svg(title="navarch"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
