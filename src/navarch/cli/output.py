"""How the command line shows things: progress of steps, aligned tables, errors; colours only on a terminal.

`rich` is imported when something is shown, so that commands which print one line start fast.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from navarch.app.machine import Step


def error(message: str) -> None:
    """On standard error, the first line marked, the rest indented below it."""
    first, *rest = message.splitlines() or [""]
    mark = "\033[31mnavarch:\033[0m" if sys.stderr.isatty() else "navarch:"
    print(f"{mark} {first}", file=sys.stderr)
    for line in rest:
        print(f"         {line}", file=sys.stderr)


def program() -> str:
    """How this command line was called, for hints that can be typed: `navarch`, or the way in from a checkout."""
    return os.environ.get("NAVARCH_CALLED", "navarch")


def kubectl() -> str:
    """How kubectl is called here, "" when there is none: by its name, or where pip put it beside this program."""
    beside = Path(sys.prefix) / "bin" / "kubectl"
    if shutil.which("kubectl"):
        return "kubectl"
    return str(beside) if beside.exists() else ""


def facts(document: Mapping[str, Any]) -> None:
    """`-o json`."""
    print(json.dumps(document, indent=2))


@contextmanager
def silent(quiet: bool) -> Iterator[None]:
    """Nothing is printed meanwhile, if so: facts follow, which a program reads."""
    with contextlib.redirect_stdout(io.StringIO()) if quiet else contextlib.nullcontext():
        yield


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned like kubectl's: upper-case heads, three spaces between columns."""
    widths = [max(len(cell) for cell in column) for column in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        print("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def note(text: str) -> None:
    """A line beside the facts, paler where there are colours."""
    print(f"\033[2m{text}\033[0m" if sys.stdout.isatty() else text)


def play(steps: Sequence[Step]) -> None:
    """Carry out the steps, each with a line that says how it went and how long it took."""
    width = max(len(step.title) for step in steps)
    for step in steps:
        start = time.monotonic()
        with spinning(step.doing or step.title) as say:
            step.act(say)
        done(f"{step.title:<{width}}  {time.monotonic() - start:5.1f} s")


def done(text: str) -> None:
    if sys.stdout.isatty():
        print(f"\033[32m✓\033[0m {text}")
    else:
        print(f"- {text}", flush=True)


@contextmanager
def progress(title: str, whole_bytes: int, *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, gone when it is full; called with how many bytes are done, counted from the start."""
    if quiet or not sys.stdout.isatty():
        yield lambda done: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as shown:
        task = shown.add_task(title, total=max(1, whole_bytes))
        yield lambda done: shown.update(task, completed=min(done, max(1, whole_bytes)))


@contextmanager
def spinning(title: str) -> Iterator[Callable[[str], None]]:
    """A line that shows work going on, with what the work says; nothing where no terminal is."""
    if not sys.stdout.isatty():
        yield lambda text: None
        return
    from rich.console import Console
    from rich.markup import escape

    console = Console()
    with console.status(escape(title)) as status:
        room = max(20, console.width - len(title) - 8)

        def say(text: str) -> None:
            shown = text.strip()[:room]
            status.update(f"{escape(title)}  [dim]{escape(shown)}[/dim]")

        yield say
