"""`navarch net check`: what a check of the network prints, and what it exits with.

0 where every path works, 1 where one does not, 2 where nothing could be checked.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from navarch.cli import output

if TYPE_CHECKING:
    from collections.abc import Callable

    from navarch.app.netcheck.act import Wish
    from navarch.app.netcheck.probes import Finding, Hop, Report
    from navarch.client.target import Target

GOOD, BAD = "✓", "✗"
WIDEST = 110
PATHS_SHOWN = 4


def run(target: Target, wish: Wish, *, as_json: bool, every: bool) -> int:
    """Returns what to exit with."""
    from navarch.app.netcheck.act import CannotCheck
    from navarch.app.nettrace.steps import BadQuestion
    from navarch.base.errors import ApiError, Retryable

    problem, code, report = "", 2, None
    try:
        with progress() as say:
            report = asyncio.run(_check(target, wish, say))
    except* (BadQuestion, CannotCheck) as failed:
        problem = str(_first(failed))
    except* (ApiError, Retryable, OSError) as failed:
        problem = f"the network cannot be checked: {_first(failed)}"
    except* KeyboardInterrupt:
        problem, code = "interrupted; what the check had set up is gone", 130
    if report is None:
        output.error(problem)
        return code
    if as_json:
        output.facts(report.document())
    else:
        show(report, every=every)
    return 0 if report.sound else 1


def _first(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = failed
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _check(target: Target, wish: Wish, say: Callable[[str], None]) -> Report:
    from navarch.app.netcheck.act import check
    from navarch.base.clock import SystemClock, SystemIds
    from navarch.client.http import HttpClient

    async with HttpClient(target, "navarch-net") as client:
        return await check(client, SystemClock(), SystemIds(), wish, say)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """One line that is written over, on a terminal alone."""
    shown = sys.stderr.isatty()

    def say(text: str) -> None:
        if shown:
            print(f"\r\033[K\033[2m… {text}\033[0m", end="", file=sys.stderr, flush=True)

    try:
        yield say
    finally:
        if shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def show(report: Report, *, every: bool) -> None:
    from navarch.app.netcheck.probes import GROUPS, told, well

    colours = sys.stdout.isatty()
    width = max(map(len, GROUPS))
    for group in GROUPS:
        here = [each for each in report.results if each[0].group == group]
        good = sum(well(*each) for each in here)
        if here:
            mark = _coloured(GOOD if good == len(here) else BAD, good == len(here), colours)
            print(f"{mark} {group:<{width}}   {f'{good} of {len(here)}':>11}")
        for probe, result in here if every else ():
            fine = well(probe, result)
            text = probe.line if fine else f"{probe.line}: {told(probe, result)}"
            print(f"    {_coloured(GOOD if fine else BAD, fine, colours)} {text}")
    for finding in report.findings:
        print()
        _show_finding(finding, colours, every)
    for note in report.notes:
        print(f"\nNot judged: {note}")
    print()
    count, nodes = len(report.results), len(report.nodes)
    said = f"{count} probes between {nodes} node{'s' * (nodes != 1)} in {report.took_s:.1f} s"
    found = len(report.findings)
    verdict = "every path works" if report.sound else f"{found} fault{'s' * (found != 1)}"
    print(f"{_coloured(verdict[0].upper() + verdict[1:], report.sound, colours)}: {said}.")


def _show_finding(finding: Finding, colours: bool, every: bool) -> None:
    hop = finding.hops[0]
    print(_coloured(f"{BAD} {titled(hop, finding.node, len(finding.hops) - 1)}", False, colours))
    _paragraph("Cause", f"{finding.text[0].upper()}{finding.text[1:]}.")
    _paragraph("What to do", finding.remedy)
    shown = finding.probes if every else finding.probes[:PATHS_SHOWN]
    for line in shown:
        print(f"    {line}")
    if len(finding.probes) > len(shown):
        print(f"    and {len(finding.probes) - len(shown)} more; --all shows them")


def titled(hop: Hop, node: str, others: int) -> str:
    """node: where the cause is. others: hops that fail for the same."""
    match hop.kind:
        case "route":
            text = f"route from {hop.node} to pods of {hop.what}"
        case "MTU":
            text = f"MTU between {hop.node} and {hop.what}"
        case "policy":
            text = f"policy on {hop.node}"
        case _:
            where = f" on {hop.node or node}" if hop.node or node else ""
            text = f"{hop.kind}{where}{f': {hop.what}' if hop.what else ''}"
    if hop.family:
        text += f" ({hop.family})"
    return f"{text}, and {others} more" if others else text


def _paragraph(head: str, text: str) -> None:
    width = min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns)
    lines = textwrap.wrap(text, max(40, width - 16), break_long_words=False)
    for number, line in enumerate(lines):
        print(f"    {'' if number else f'{head}:':<12}{line}")


def _coloured(text: str, good: bool, colours: bool) -> str:
    return f"\033[{'32' if good else '31;1'}m{text}\033[0m" if colours else text
