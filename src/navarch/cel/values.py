"""Values while an expression runs: JSON's own as Python's, and those that only expressions know.

Numbers of different types are compared by what they are worth; everything else is equal to its own type only.

Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md#values
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

INT_LEAST, INT_MOST = -(2**63), 2**63 - 1
UINT_MOST = 2**64 - 1


class Fault(Exception):
    """The expression cannot be evaluated on these values."""


class OverBudget(Fault):
    """It cost more than it may."""


class UInt(int):
    """An unsigned integer."""

    __slots__ = ()


class Optional:
    """A value that may not be there."""

    __slots__ = ("present", "value")

    def __init__(self, value: Any = None, present: bool = True) -> None:
        self.value = value
        self.present = present

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Optional):
            return False
        return self.present == other.present and (not self.present or equal(self.value, other.value))

    def __hash__(self) -> int:
        return hash((self.present, str(self.value)))


NONE = Optional(present=False)


class Built(dict[str, Any]):
    """An object that an expression made, of a type that it names: `Object.spec{…}`."""

    __slots__ = ("type",)

    def __init__(self, type_: str) -> None:
        super().__init__()
        self.type = type_


class Type:
    """What `type(x)` gives."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Type) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


def type_name(value: Any) -> str:
    match value:
        case None:
            return "null_type"
        case bool():
            return "bool"
        case UInt():
            return "uint"
        case int():
            return "int"
        case float():
            return "double"
        case str():
            return "string"
        case bytes():
            return "bytes"
        case list():
            return "list"
        case Built():
            return value.type
        case dict():
            return "map"
        case datetime():
            return "google.protobuf.Timestamp"
        case timedelta():
            return "google.protobuf.Duration"
        case Optional():
            return "optional_type"
        case Type():
            return "type"
        case _:
            return str(getattr(value, "cel_type", type(value).__name__))


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def equal(a: Any, b: Any) -> bool:
    """Never fails: what cannot be compared is not equal."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if is_number(a) or is_number(b):
        return is_number(a) and is_number(b) and bool(a == b)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return len(a) == len(b) and all(key in b and equal(value, b[key]) for key, value in a.items())
    return type(a) is type(b) and bool(a == b)


def compare(a: Any, b: Any) -> int:
    """Below 0, 0 or above. Raises: Fault."""
    if is_number(a) and is_number(b):
        return int(a > b) - int(a < b)
    if type(a) is type(b) and isinstance(a, str | bytes | bool | datetime | timedelta):
        return int(a > b) - int(a < b)
    raise Fault("no such overload")


def whole(value: int) -> int:
    """Raises: Fault, where it is more than 64 bits hold."""
    if not INT_LEAST <= value <= INT_MOST:
        raise Fault("integer overflow")
    return value


def unsigned(value: int) -> UInt:
    """Raises: Fault."""
    if not 0 <= value <= UINT_MOST:
        raise Fault("unsigned integer overflow")
    return UInt(value)


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def duration(text: str) -> timedelta:
    """`1h30m`, as Go writes it. Raises: Fault."""
    import re

    match = re.fullmatch(r"([-+]?)((?:\d+(?:\.\d*)?|\.\d+)(?:h|ms|us|µs|ns|m|s))+|[-+]?0", text)
    if match is None or len(text) > 64:
        raise Fault(f'error parsing duration "{text}"')
    total = sum(float(n) * _UNITS[u] for n, u in re.findall(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|ns|m|s)", text))
    try:
        return timedelta(seconds=-total if text.startswith("-") else total)
    except OverflowError:
        raise Fault(f'error parsing duration "{text}"') from None


def timestamp(text: str) -> datetime:
    """Raises: Fault."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError(text)
        return moment.astimezone(UTC)
    except ValueError:
        raise Fault(f'error parsing timestamp "{text}"') from None


def shown_duration(value: timedelta) -> str:
    seconds = value.total_seconds()
    return f"{int(seconds)}s" if seconds == int(seconds) else f"{seconds}s"


def shown_timestamp(value: datetime) -> str:
    text = value.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{value.microsecond:06d}".rstrip("0") + "Z" if value.microsecond else f"{text}Z"
