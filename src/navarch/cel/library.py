"""The functions of the language itself, and those that work on texts, lists and sets.

Each takes the run and its arguments; whatever looks at a whole text or list pays for it. A wrong type is a Fault.

Source: https://kubernetes.io/docs/reference/using-api/cel/#cel-options-language-features-and-libraries
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from navarch.cel import values
from navarch.cel.program import Function, Run, same
from navarch.cel.values import NONE, Fault, Optional, Type, UInt, is_number, type_name, unsigned, whole

PATTERN_MOST = 4096


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise Fault("no such overload")
    return value


def listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Fault("no such overload")
    return value


def paid(run: Run, value: str) -> str:
    run.pay(1 + len(text(value)) // 10)
    return value


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Any:
    import re2

    options: Any = re2.Options()
    options.log_errors = False
    make: Any = re2.compile
    try:
        return make(pattern, options)
    except re2.error as error:
        raise Fault(f"error parsing regexp: {error}") from None


def _pattern(run: Run, subject: str, pattern: str) -> Any:
    """Matching takes linear time, in the text and in the pattern."""
    if len(text(pattern)) > PATTERN_MOST:
        raise Fault(f"a pattern may have at most {PATTERN_MOST} characters")
    run.pay((1 + len(text(subject)) // 10) * (1 + len(pattern) // 4))
    return _compiled(pattern)


# conversions


def _size(run: Run, value: Any) -> int:
    if not isinstance(value, str | bytes | list | dict):
        raise Fault("no such overload")
    return len(value)


def _int(run: Run, value: Any) -> int:
    match value:
        case bool():
            pass
        case float():
            if value != value or not -(2.0**63) < value < 2.0**63:
                raise Fault("integer overflow")
            return int(value)
        case int():
            return whole(int(value))
        case str():
            try:
                return whole(int(paid(run, value)[:64]))
            except ValueError:
                raise Fault(f"cannot convert {value[:64]!r} to int") from None
        case datetime():
            return int(value.timestamp())
    raise Fault("no such overload")


def _uint(run: Run, value: Any) -> UInt:
    return unsigned(_int(run, value)) if not isinstance(value, datetime) else values.unsigned(0)


def _double(run: Run, value: Any) -> float:
    if is_number(value):
        return float(value)
    try:
        return float(paid(run, value))
    except ValueError:
        raise Fault(f"cannot convert {value[:64]!r} to double") from None


def _string(run: Run, value: Any) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:g}" if value != int(value) or abs(value) >= 1e21 else str(int(value))
        case int():
            return str(int(value))
        case bytes():
            run.pay(len(value) // 10)
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise Fault("invalid UTF-8 in bytes, cannot convert to string") from None
        case datetime():
            return values.shown_timestamp(value)
        case timedelta():
            return values.shown_duration(value)
        case _ if getattr(value, "text", None) is not None:
            return str(value.text)
    raise Fault("no such overload")


def _bytes(run: Run, value: Any) -> bytes:
    return value if isinstance(value, bytes) else paid(run, value).encode()


def _bool(run: Run, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if value in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise Fault(f"cannot convert {type_name(value)} to bool")


# texts


def _substring(run: Run, value: str, start: int, end: int | None = None) -> str:
    end = len(text(value)) if end is None else end
    if not 0 <= start <= end <= len(value):
        raise Fault(f"index out of range: {start}")
    return paid(run, value)[start:end]


def _char_at(run: Run, value: str, at: int) -> str:
    if not 0 <= at <= len(text(value)):
        raise Fault(f"index out of range: {at}")
    return value[at : at + 1]


def _index_of(run: Run, value: Any, wanted: Any, start: int = 0) -> int:
    if isinstance(value, list):
        run.pay(len(value))
        return next((i for i, one in enumerate(value) if same(run, one, wanted)), -1)
    if not 0 <= start <= len(text(value)):
        raise Fault(f"index out of range: {start}")
    return paid(run, value).find(text(wanted), start)


def _last_index_of(run: Run, value: Any, wanted: Any, start: int | None = None) -> int:
    if isinstance(value, list):
        run.pay(len(value))
        return next((i for i in range(len(value) - 1, -1, -1) if same(run, value[i], wanted)), -1)
    found = paid(run, value)
    return found.rfind(text(wanted)) if start is None else found[: start + len(text(wanted))].rfind(wanted)


def _replace(run: Run, value: str, old: str, new: str, count: int = -1) -> str:
    times = paid(run, value).count(text(old)) if old else len(value) + 1
    run.pay((times if count < 0 else min(times, count)) * (1 + len(text(new)) // 10))
    return value.replace(old, new, count)


def _split(run: Run, value: str, by: str, count: int = -1) -> list[str]:
    run.pay(len(text(value)) // 4)
    if count == 0:
        return []
    if not text(by):
        parts = list(value)
        return parts if count < 0 or len(parts) <= count else [*parts[: count - 1], "".join(parts[count - 1 :])]
    return value.split(by, count - 1 if count > 0 else -1)


def _join(run: Run, parts: list[Any], by: str = "") -> str:
    run.pay(sum(1 + len(text(one)) // 10 for one in listed(parts)) + len(parts) * (len(text(by)) // 10))
    return by.join(parts)


def _find(run: Run, value: str, pattern: str) -> str:
    found = _pattern(run, value, pattern).search(value)
    return found[0] if found else ""


def _find_all(run: Run, value: str, pattern: str, limit: int = -1) -> list[str]:
    found = [match[0] for match in _pattern(run, value, pattern).finditer(value)]
    return found if limit < 0 else found[:limit]


def _ascii(change: Callable[[str], str]) -> Function:
    def function(run: Run, value: str) -> str:
        return (
            "".join(change(one) if one.isascii() else one for one in paid(run, value))
            if not value.isascii()
            else change(value)
        )

    return function


def _format(run: Run, template: str, args: list[Any]) -> str:
    """`%s`, `%d`, `%f`, `%e`, `%x`, `%X`, `%o`, `%b`, with a precision."""
    import re

    left = list(listed(args))

    def one(match: Any) -> str:
        if match[2] == "%":
            return "%"
        if not left:
            raise Fault("index out of range: not enough arguments to format")
        value, verb = left.pop(0), match[2]
        precision = min(int(match[1] or 6), 100)
        if verb == "s":
            shown = _shown(run, value)
            run.pay(len(shown) // 10)
            return shown
        if verb in "fe" and is_number(value):
            return f"{float(value):.{precision}{verb}}"
        if verb in "xX" and isinstance(value, str | bytes):
            found = (value.encode() if isinstance(value, str) else value).hex()
            return found.upper() if verb == "X" else found
        if verb in "dxXob" and is_number(value):
            return format(int(value), verb)
        raise Fault(f"could not parse formatting clause: %{verb} does not take {type_name(value)}")

    return re.sub(r"%(?:\.(\d{1,3}))?([sdfexXob%])", one, paid(run, template))


def _shown(run: Run, value: Any) -> str:
    run.pay(1)
    if isinstance(value, list):
        return "[" + ", ".join(_shown(run, one) for one in value) + "]"
    if isinstance(value, dict):
        pairs = sorted((_shown(run, key), _shown(run, one)) for key, one in value.items())
        return "{" + ", ".join(f"{key}: {one}" for key, one in pairs) + "}"
    return "null" if value is None else _string(run, value)


# lists and sets


def _sorted(run: Run, found: list[Any]) -> bool:
    run.pay(len(listed(found)))
    return all(values.compare(a, b) <= 0 for a, b in pairwise(found))


def _sum(run: Run, found: list[Any]) -> Any:
    run.pay(len(listed(found)))
    if found and isinstance(found[0], timedelta):
        return sum(found, timedelta())
    if not all(map(is_number, found)):
        raise Fault("no such overload")
    total = sum(found)
    return total if isinstance(total, float) else whole(total)


def _extreme(least: bool) -> Function:
    def function(run: Run, found: list[Any]) -> Any:
        run.pay(len(listed(found)))
        if not found:
            raise Fault(f"{'min' if least else 'max'} called on empty list")
        best = found[0]
        for one in found[1:]:
            order = values.compare(one, best)
            best = one if (order < 0 if least else order > 0) else best
        return best

    return function


def _distinct(run: Run, found: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for one in listed(found):
        run.pay(1 + len(kept))
        if not any(same(run, one, other) for other in kept):
            kept.append(one)
    return kept


def _sort(run: Run, found: list[Any]) -> list[Any]:
    from functools import cmp_to_key

    run.pay(len(listed(found)) * max(1, len(found).bit_length()))
    return sorted(found, key=cmp_to_key(values.compare))


def _slice(run: Run, found: list[Any], start: int, end: int) -> list[Any]:
    if not 0 <= start <= end <= len(listed(found)):
        raise Fault(f"cannot slice({start}, {end}), list is length {len(found)}")
    run.pay(end - start)
    return found[start:end]


def _flatten(run: Run, found: list[Any], depth: int = 1) -> list[Any]:
    flat: list[Any] = []
    for one in listed(found):
        run.pay(1)
        flat.extend(_flatten(run, one, depth - 1) if isinstance(one, list) and depth > 0 else [one])
    return flat


def _range(run: Run, count: int) -> list[int]:
    run.pay(max(0, count))
    return list(range(count))


def _end(at: int) -> Function:
    return lambda run, found: Optional(found[at]) if listed(found) else NONE


def _contains(run: Run, value: Any, wanted: Any) -> bool:
    return text(wanted) in paid(run, value)


def _set_contains(run: Run, found: list[Any], wanted: list[Any]) -> bool:
    run.pay(len(listed(found)) * len(listed(wanted)))
    return all(any(same(run, one, other) for other in found) for one in wanted)


def _set_intersects(run: Run, a: list[Any], b: list[Any]) -> bool:
    run.pay(len(listed(a)) * len(listed(b)))
    return any(same(run, one, other) for one in a for other in b)


# options and times


def _part(of: Callable[[datetime], int], seconds: float = 0, modulus: int = 0) -> Function:
    def function(run: Run, value: Any, zone: str = "UTC") -> int:
        if isinstance(value, timedelta) and seconds:
            whole_units = int(value.total_seconds() / seconds)
            return whole_units % modulus if modulus and seconds < 1 else whole_units
        try:
            return of(value.astimezone(ZoneInfo(text(zone))))
        except (KeyError, ValueError, OSError):
            raise Fault(f"unknown time zone {zone}") from None

    return function


def _or_value(run: Run, found: Optional, other: Any) -> Any:
    return found.value if found.present else other


def _value(run: Run, found: Optional) -> Any:
    if not found.present:
        raise Fault("optional.none() dereference")
    return found.value


def _non_zero(run: Run, value: Any) -> Optional:
    empty = value is None or value is False or (is_number(value) and value == 0)
    return NONE if empty or (isinstance(value, str | bytes | list | dict) and not value) else Optional(value)


def _decode(run: Run, value: str) -> bytes:
    try:
        return base64.b64decode(paid(run, value) + "=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Fault("illegal base64 data") from None


FUNCTIONS: dict[str, Function] = {
    "size": _size,
    "int": _int,
    "uint": _uint,
    "double": _double,
    "string": _string,
    "bytes": _bytes,
    "bool": _bool,
    "dyn": lambda run, value: value,
    "type": lambda run, value: Type(type_name(value)),
    "duration": lambda run, value: value if isinstance(value, timedelta) else values.duration(paid(run, value)),
    "timestamp": lambda run, value: value if isinstance(value, datetime) else values.timestamp(paid(run, value)),
    "matches": lambda run, value, pattern: bool(_pattern(run, value, pattern).search(value)),
    "sets.contains": _set_contains,
    "sets.intersects": _set_intersects,
    "sets.equivalent": lambda run, a, b: _set_contains(run, a, b) and _set_contains(run, b, a),
    "lists.range": _range,
    "optional.of": lambda run, value: Optional(value),
    "optional.ofNonZeroValue": _non_zero,
    "optional.none": lambda run: NONE,
    "base64.encode": lambda run, value: base64.b64encode(value).decode(),
    "base64.decode": _decode,
    "strings.quote": lambda run, value: '"' + paid(run, value).replace("\\", "\\\\").replace('"', '\\"') + '"',
}

METHODS: dict[str, Function] = {
    "size": _size,
    "contains": _contains,
    "startsWith": lambda run, value, start: text(value).startswith(paid(run, start)),
    "endsWith": lambda run, value, end: text(value).endswith(paid(run, end)),
    "matches": lambda run, value, pattern: bool(_pattern(run, value, pattern).search(value)),
    "charAt": _char_at,
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
    "lowerAscii": _ascii(str.lower),
    "upperAscii": _ascii(str.upper),
    "replace": _replace,
    "split": _split,
    "join": _join,
    "substring": _substring,
    "trim": lambda run, value: paid(run, value).strip(),
    "format": _format,
    "find": _find,
    "findAll": _find_all,
    "isSorted": _sorted,
    "sum": _sum,
    "min": _extreme(True),
    "max": _extreme(False),
    "distinct": _distinct,
    "sort": _sort,
    "slice": _slice,
    "flatten": _flatten,
    "reverse": lambda run, found: (
        paid(run, found)[::-1] if isinstance(found, str) else _slice(run, found, 0, len(found))[::-1]
    ),
    "first": _end(0),
    "last": _end(-1),
    "hasValue": lambda run, found: bool(found.present),
    "value": _value,
    "orValue": _or_value,
    "or": lambda run, found, other: found if found.present else other,
    "getFullYear": _part(lambda t: t.year),
    "getMonth": _part(lambda t: t.month - 1),
    "getDate": _part(lambda t: t.day),
    "getDayOfMonth": _part(lambda t: t.day - 1),
    "getDayOfWeek": _part(lambda t: t.isoweekday() % 7),
    "getDayOfYear": _part(lambda t: t.timetuple().tm_yday - 1),
    "getHours": _part(lambda t: t.hour, 3600),
    "getMinutes": _part(lambda t: t.minute, 60),
    "getSeconds": _part(lambda t: t.second, 1),
    "getMilliseconds": _part(lambda t: t.microsecond // 1000, 0.001, 1000),
}
