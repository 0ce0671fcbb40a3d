"""Adding, taking away, multiplying and dividing: numbers of one type, texts, lists, and times.

Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md#arithmetic-operations
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from navarch.cel.values import Fault, UInt, unsigned, whole

if TYPE_CHECKING:
    from navarch.cel.program import Run, Step


def arithmetic(mark: str) -> Callable[[Step, Step], Step]:
    def make(left: Step, right: Step) -> Step:
        def step(run: Run) -> Any:
            a, b = left(run), right(run)
            run.left -= 1
            if run.left < 0:
                run.pay(0)
            if type(a) is int and type(b) is int:
                return whole(_integers(mark, a, b))
            if isinstance(a, UInt) and isinstance(b, UInt):
                return unsigned(_integers(mark, a, b))
            if isinstance(a, float) and isinstance(b, float) and mark != "%":
                return _floats(mark, a, b)
            return _others(run, mark, a, b)

        return step

    return make


def _integers(mark: str, a: int, b: int) -> int:
    match mark:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
    if b == 0:
        raise Fault("division by zero" if mark == "/" else "modulus by zero")
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return quotient if mark == "/" else a - b * quotient


def _floats(mark: str, a: float, b: float) -> float:
    match mark:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
    if b == 0:
        return float("nan") if a == 0 or a != a else float("inf") if a > 0 else float("-inf")
    return a / b


def _others(run: Run, mark: str, a: Any, b: Any) -> Any:
    """Texts, lists, times."""
    try:
        if mark == "+":
            if type(a) is type(b) and isinstance(a, str | bytes | list):
                run.pay((len(a) + len(b)) // 10)
                return a + b
            if isinstance(a, datetime | timedelta) and isinstance(b, timedelta):
                return a + b
            if isinstance(a, timedelta) and isinstance(b, datetime):
                return b + a
        if mark == "-" and isinstance(a, datetime | timedelta) and isinstance(b, datetime | timedelta):
            return a - b  # type: ignore[operator]
    except (OverflowError, TypeError):
        raise Fault("timestamp or duration overflow") from None
    raise Fault("no such overload")
