"""The small path language of printer columns: `.spec.replicas`, `.status.conditions[?(@.type=="Ready")].status`.

Fields (`.name`, `.metadata.labels['a.b/c']`, `.metadata.labels.a\\.b/c`), indices (`[0]`, `[-1]`), slices (`[1:3]`),
everything (`[*]`, `.*`) and filters (`[?(@.a.b=="x")]`, `[?(@.a)]`). A path that leads nowhere yields nothing.

Source: https://kubernetes.io/docs/reference/kubectl/jsonpath/
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

Step = Callable[[Any], Iterator[Any]]


class BadPath(ValueError):
    """The text is no path of this language; the message says where it stops being one."""


class JsonPath:
    """A compiled path; calling it gives the first value it leads to, or None."""

    __slots__ = ("_steps", "text")

    def __init__(self, text: str, steps: tuple[Step, ...]) -> None:
        self.text = text
        self._steps = steps

    def all(self, document: Any) -> list[Any]:
        """Every value that the path leads to, in document order."""
        found: Iterable[Any] = (document,)
        for step in self._steps:
            found = [value for here in found for value in step(here)]
        return list(found)

    def __call__(self, document: Any) -> Any:
        return next(iter(self.all(document)), None)


@lru_cache(maxsize=1024)
def compile(text: str) -> JsonPath:
    """Braces around the path and a leading `$` are optional.

    Raises:
        BadPath: the text is no path.
    """
    body = text.strip()
    if body.startswith("{") and body.endswith("}"):
        body = body[1:-1].strip()
    steps, end = _steps(body, 1 if body.startswith(("$", "@")) else 0)
    if end != len(body):
        raise BadPath(f"{text!r} cannot be read from character {end} on: {body[end : end + 20]!r}")
    return JsonPath(text, tuple(steps))


_FIELD = re.compile(r"\.?((?:\\.|[^\\.\[\]\s=!<>(){}'\"])+)")
_QUOTED = re.compile(r"\[\s*(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\")\s*\]")
_INDEX = re.compile(r"\[\s*(-?\d+)\s*\]")
_SLICE = re.compile(r"\[\s*(-?\d*)\s*:\s*(-?\d*)\s*\]")
_STAR = re.compile(r"\[\s*\*\s*\]|\.\*")
_FILTER = re.compile(r"\[\s*\?\(\s*")
_OPERATOR = re.compile(r"\s*(==|!=|<=|>=|<|>)\s*")
_LITERAL = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"|(-?\d+(?:\.\d+)?)|(true|false)")
_FILTER_END = re.compile(r"\s*\)\s*\]")

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _steps(body: str, at: int) -> tuple[list[Step], int]:
    """The steps from character `at` on, and where they end."""
    steps: list[Step] = []
    if body[at:] == ".":
        return steps, at + 1
    while at < len(body):
        if match := _STAR.match(body, at):
            steps.append(_everything)
        elif match := _FIELD.match(body, at) if not steps or body[at] == "." else None:
            steps.append(_field(_unescaped(match[1])))
        elif match := _QUOTED.match(body, at):
            steps.append(_field(_unescaped(match[1] if match[1] is not None else match[2])))
        elif match := _INDEX.match(body, at):
            steps.append(_index(int(match[1])))
        elif match := _SLICE.match(body, at):
            steps.append(_slice(int(match[1]) if match[1] else None, int(match[2]) if match[2] else None))
        elif match := _FILTER.match(body, at):
            step, at = _filter(body, match.end())
            steps.append(step)
            continue
        else:
            break
        at = match.end()
    return steps, at


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _field(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _index(place: int) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list) and -len(value) <= place < len(value):
            yield value[place]

    return step


def _slice(start: int | None, stop: int | None) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list):
            yield from value[start:stop]

    return step


def _everything(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _filter(body: str, at: int) -> tuple[Step, int]:
    if body[at : at + 1] != "@":
        raise BadPath(f"{body!r} has a filter that does not start with @ at character {at}")
    steps, at = _steps(body, at + 1)
    left = JsonPath(body, tuple(steps))
    compares, right = None, None
    if match := _OPERATOR.match(body, at):
        compares = _COMPARISONS[match[1]]
        literal = _LITERAL.match(body, match.end())
        if not literal:
            raise BadPath(f"{body!r} compares with something that is no text, number or boolean")
        right, at = _value(literal), literal.end()
    end = _FILTER_END.match(body, at)
    if not end:
        raise BadPath(f"{body!r} has a filter without its end )]")

    def step(value: Any) -> Iterator[Any]:
        for item in value if isinstance(value, list) else ():
            found = left.all(item)
            if found and (compares is None or _holds(compares, found[0], right)):
                yield item

    return step, end.end()


def _value(literal: re.Match[str]) -> Any:
    single, double, number, boolean = literal.groups()
    if number is not None:
        return float(number) if "." in number else int(number)
    if boolean is not None:
        return boolean == "true"
    return _unescaped(single if single is not None else double)


def _holds(compares: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    """Values of different types are unequal and in no order."""
    same = isinstance(left, str) == isinstance(right, str) and isinstance(left, bool) == isinstance(right, bool)
    if not same or isinstance(left, dict | list) or left is None:
        return compares is operator.ne
    return compares(left, right)
