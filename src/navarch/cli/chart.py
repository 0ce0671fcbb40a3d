"""Lines over time, drawn in a terminal with block characters, or with plain ones where those cannot be printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BLOCKS = " ▁▂▃▄▅▆▇█"
PLAIN = " .:#"
ROWS = 4
AXIS_ROOM = 9


@dataclass(frozen=True, slots=True)
class Series:
    """points: (seconds, value), by time; a value holds until the next. top: of the axis. unit: behind its numbers."""

    title: str
    points: Sequence[tuple[float, float]]
    top: float
    unit: str = ""
    colour: str = ""


def resampled(points: Sequence[tuple[float, float]], length_s: float, columns: int) -> list[float]:
    """The largest value of each column's span, so that no peak is lost."""
    found = [0.0] * columns
    if not points:
        return found
    index, value = 0, points[0][1]
    for column in range(columns):
        end_s = length_s * (column + 1) / columns
        most = value
        while index < len(points) and (points[index][0] < end_s or column == columns - 1):
            value = points[index][1]
            most = max(most, value)
            index += 1
        found[column] = most
    return found


def drawn(series: Series, length_s: float, columns: int, *, plain: bool, coloured: bool) -> list[str]:
    """The title, then the rows from the top, with the axis at the left."""
    marks = PLAIN if plain else BLOCKS
    steps = len(marks) - 1
    top = series.top or 1.0
    heights = [
        max(min(round(value / top * ROWS * steps), ROWS * steps), 1 if value > 0 else 0)
        for value in resampled(series.points, length_s, columns)
    ]
    lines = [series.title]
    for row in range(ROWS - 1, -1, -1):
        label = f"{top:g}{series.unit}" if row == ROWS - 1 else f"0{series.unit}" if row == 0 else ""
        bar = "".join(marks[min(max(height - row * steps, 0), steps)] for height in heights)
        if coloured and series.colour:
            bar = f"\033[{series.colour}m{bar}\033[0m"
        edge = "|" if plain else "┤" if label else "│"
        lines.append(f"{label:>{AXIS_ROOM - 1}} {edge}{bar}".rstrip() if not coloured else f"{label:>8} {edge}{bar}")
    return lines


def time_axis(length_s: float, columns: int, *, plain: bool) -> list[str]:
    """The line below charts of that width, with the times at its ends and in its middle."""
    edge, line = ("+", "-") if plain else ("└", "─")
    middle, end = told(length_s / 2), told(length_s)
    left = f"0s{middle:>{columns // 2 - 2 + len(middle) // 2}}"
    return [f"{'':>{AXIS_ROOM}}{edge}{line * columns}", f"{'':>{AXIS_ROOM}} {left}{end:>{columns - len(left)}}"]


def told(seconds: float) -> str:
    """`90` as `1m30s`, at most two parts; parts of a second below ten seconds."""
    if seconds < 10 and seconds != int(seconds):
        return f"{seconds:.1f}s"
    whole = int(seconds)
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "m"), (whole % 60, "s")]
    said = [(number, unit) for number, unit in parts if number]
    if not said:
        return "0s"
    first = parts.index(said[0])
    return "".join(f"{number}{unit}" for number, unit in parts[first : first + 2] if number)
