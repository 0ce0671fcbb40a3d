"""Schedules as cron writes them: five fields, or a word like `@daily`; which ones are none, and why.

What a schedule comes to in times is the CronJob controller's business; the fields are parsed into the sets it needs.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-syntax
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MONTHS = {name: number for number, name in enumerate(_MONTHS, 1)}
DAYS = {name: number for number, name in enumerate(_DAYS)}
BOUNDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, MONTHS),
    (0, 6, DAYS),
)
"""Lowest and highest value and the names of minute, hour, day of the month, month, day of the week."""

WORDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
EVERY = "@every "
UNIT_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|us|µs|ns|h|m|s)")


class BadSchedule(ValueError):
    """The text is no schedule; the message says why."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """every_s: above 0 for `@every`, whose sets are empty. any_day, any_weekday: that field was a star: where neither
    is, a day that either names will do."""

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    any_day: bool = False
    any_weekday: bool = False
    every_s: float = 0


def parse(text: str) -> Schedule:
    """Raises: BadSchedule."""
    if not text:
        raise BadSchedule("empty spec string")
    if text.startswith("@"):
        if text.startswith(EVERY):
            return Schedule(every_s=_duration(text))
        if text not in WORDS:
            raise BadSchedule(f"unrecognized descriptor: {text}")
        text = WORDS[text]
    fields = text.split()
    if len(fields) != len(BOUNDS):
        raise BadSchedule(f"expected exactly {len(BOUNDS)} fields, found {len(fields)}: [{' '.join(fields)}]")
    minutes, hours, days, months, weekdays = (
        _field(field, *bounds) for field, bounds in zip(fields, BOUNDS, strict=True)
    )
    return Schedule(minutes, hours, days, months, weekdays, _is_star(fields[2]), _is_star(fields[4]))


def _duration(text: str) -> float:
    found = text.removeprefix(EVERY)
    if not found or _DURATION.sub("", found):
        raise BadSchedule(f"failed to parse duration {text}")
    return max(1.0, sum(float(number) * UNIT_S[unit] for number, unit in _DURATION.findall(found)))


def _field(text: str, low: int, high: int, words: dict[str, int]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        found.update(_range(part, low, high, words))
    return frozenset(found)


def _is_star(text: str) -> bool:
    """Whether the field says nothing: with a step above 1 it does."""
    return any(part in ("*", "?", "*/1", "?/1") for part in text.split(","))


def _range(text: str, low: int, high: int, words: dict[str, int]) -> range:
    span, *steps = text.split("/")
    ends = span.split("-")
    if len(steps) > 1:
        raise BadSchedule(f"too many slashes: {text}")
    if len(ends) > 2:
        raise BadSchedule(f"too many hyphens: {text}")
    if ends[0] in ("*", "?"):
        start, end = low, high
    else:
        start = _number(ends[0], words)
        end = _number(ends[1], words) if len(ends) == 2 else high if steps else start
    step = _number(steps[0], {}) if steps else 1
    if start < low:
        raise BadSchedule(f"beginning of range ({start}) below minimum ({low}): {text}")
    if end > high:
        raise BadSchedule(f"end of range ({end}) above maximum ({high}): {text}")
    if start > end:
        raise BadSchedule(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if step == 0:
        raise BadSchedule(f"step of range should be a positive number: {text}")
    return range(start, end + 1, step)


def _number(text: str, words: dict[str, int]) -> int:
    if text.lower() in words:
        return words[text.lower()]
    if not text.isascii() or not text.removeprefix("-").isdecimal():
        raise BadSchedule(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    if text.startswith("-"):
        raise BadSchedule(f"negative number ({text}) not allowed: {text}")
    return int(text[:9])
