"""A simulation as a picture: an SVG file with two panels over time, what is requested of nodes and what pods do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from math import ceil

from navarch.cli.chart import told
from navarch.testing.report import Report, Sample

WIDTH, HEIGHT = 960, 560
LEFT, RIGHT = 64, 150
TOP, GAP = 74, 62
PANEL = (HEIGHT - TOP - GAP - 52) // 2
INK, FAINT, GRID, SHADE = "#1f2933", "#616e7c", "#e4e7eb", "#f9e3e0"
BLUE, ORANGE, GREEN, RED = "#1f6fb4", "#c05b00", "#2b8a3e", "#c92a2a"
STYLE = f"text{{font:12px system-ui,'DejaVu Sans',Helvetica,Arial,sans-serif;fill:{INK}}}"

Value = Callable[[Sample], float]
Line = tuple[str, str, Value]
"""What it is called, its colour, and its value of a sample."""


def svg(report: Report, title: str) -> str:
    """The whole file."""
    length_s = report.seconds or 1.0
    most = max((sample.pods for sample in report.samples), default=0)
    share = max((max(one.cpu_share, one.memory_share) for one in report.samples), default=0.0)
    shares: list[Line] = [
        ("CPU", BLUE, lambda one: one.cpu_share * 100),
        ("memory", ORANGE, lambda one: one.memory_share * 100),
    ]
    pods: list[Line] = [
        ("all", FAINT, lambda one: one.pods),
        ("ready", GREEN, lambda one: one.ready),
        ("pending", RED, lambda one: one.pending),
    ]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">',
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(LEFT, 28, title, size=17, weight=600),
        _panel(report, TOP, "Requested of what ready nodes have, %", max(100, ceil(share * 10) * 10), shares, length_s),
        _panel(report, TOP + PANEL + GAP, "Pods", _round_up(most), pods, length_s),
    ]
    return "\n".join((*parts, "</svg>")) + "\n"


def _text(
    x: float, y: float, text: str, *, size: int = 12, weight: int = 400, colour: str = INK, anchor: str = "start"
) -> str:
    style = f"font-size:{size}px;font-weight:{weight};fill:{colour}"
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" style="{style}">{escape(text)}</text>'


def _round_up(number: int) -> int:
    """To an axis whose quarters are whole numbers where that is possible."""
    if number <= 4:
        return 4
    step = int(10 ** (len(str(number)) - 1))
    for part in (1, 2, 4, 6, 8, 10):
        if part * step >= number:
            break
    return part * step


def _panel(report: Report, top: float, title: str, most: int, lines: Sequence[Line], length_s: float) -> str:
    wide, bottom = WIDTH - LEFT - RIGHT, top + PANEL

    def x(at_s: float) -> float:
        return LEFT + wide * min(at_s, length_s) / length_s

    def y(value: float) -> float:
        return bottom - PANEL * min(value, most) / most

    parts = [_text(LEFT, top - 12, title, size=13, weight=600)]
    for outage in report.outages:
        begin, end = x(outage.from_seconds), x(length_s if outage.until_seconds is None else outage.until_seconds)
        parts.append(
            f'<rect x="{begin:.1f}" y="{top:.1f}" width="{max(end - begin, 1):.1f}" height="{PANEL}" fill="{SHADE}">'
            f"<title>{escape(outage.node)} was not ready</title></rect>"
        )
    for quarter in range(5):
        value = most * quarter / 4
        parts.append(
            f'<line x1="{LEFT}" y1="{y(value):.1f}" x2="{LEFT + wide}" y2="{y(value):.1f}" '
            f'stroke="{GRID if quarter else FAINT}"/>'
        )
        parts.append(_text(LEFT - 8, y(value) + 4, f"{value:g}", colour=FAINT, anchor="end"))
        at_s = length_s * quarter / 4
        parts.append(_text(x(at_s), bottom + 18, told(at_s), colour=FAINT, anchor="middle"))
    ends: list[float] = []
    for name, colour, value_of in lines:
        path = _path([(x(one.at_seconds), y(value_of(one))) for one in report.samples])
        parts.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"/>')
        last = value_of(report.samples[-1]) if report.samples else 0.0
        at = _free(y(last) + 4, ends)
        ends.append(at)
        parts.append(_text(LEFT + wide + 10, at, f"{name} {last:,.0f}", colour=colour, weight=600))
    if report.outages:
        parts.append(_text(LEFT + wide, top - 12, "shaded: a node is not ready", colour=FAINT, anchor="end"))
    return "\n".join(parts)


def _path(points: Sequence[tuple[float, float]]) -> str:
    """Steps: a value holds until the next one."""
    if not points:
        return ""
    first, *rest = points
    words = [f"M{first[0]:.1f} {first[1]:.1f}"]
    before = first[1]
    for across, up in rest:
        if up != before:
            words.append(f"H{across:.1f}V{up:.1f}")
            before = up
    return "".join((*words, f"H{points[-1][0]:.1f}"))


def _free(at: float, taken: Sequence[float]) -> float:
    """Where a label does not cover another: the nearest place above."""
    while any(abs(at - other) < 15 for other in taken):
        at -= 3
    return at
