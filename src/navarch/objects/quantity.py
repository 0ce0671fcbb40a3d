"""Resource quantities: `500m`, `1Gi`, `2e3` as exact numbers, and back as Kubernetes writes them.

A quantity is exact to a billionth and never above 2⁶³-1, so it is an integer number of nano-units; sums and
comparisons of those are exact and fast. Parsing is remembered: clusters use few distinct texts.

Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache
from typing import Literal

Quantity = str | int | float
"""As it stands in a document."""

Format = Literal["decimal", "binary", "exponent"]

NANO = 10**9
_MAX_NANO = (2**63 - 1) * NANO

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_TEXT = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_BINARY_TEXT = {power: suffix for suffix, power in _BINARY.items()}
_SHAPE = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*)([-+]?[0-9]*)", re.ASCII)

_LONGEST = 1000
"""Characters; no meaningful quantity comes near, and Python's own limit on digits lies above."""

WRONG_FORMAT = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
WRONG_SUFFIX = "unable to parse quantity's suffix"


class BadQuantity(ValueError):
    """The text is no quantity; the message is Kubernetes' own."""


@lru_cache(maxsize=16384)
def _read(text: str) -> tuple[int, Format]:
    """(nano-units, how it was written)."""
    found = _SHAPE.fullmatch(text.strip())
    if not found or not (found[2] or found[3]) or len(text) > _LONGEST:
        raise BadQuantity(WRONG_FORMAT)
    sign, whole_part, fraction, letters, digits = found.groups("")
    style: Format = "decimal"
    power = 0
    scale = 1
    if letters in ("e", "E") and digits.lstrip("+-"):
        style, power = "exponent", int(digits)
    elif digits:
        raise BadQuantity(WRONG_SUFFIX)
    elif letters in _BINARY:
        style, scale = "binary", 1024 ** _BINARY[letters]
    elif letters in _DECIMAL:
        power = _DECIMAL[letters]
    else:
        raise BadQuantity(WRONG_SUFFIX)
    digits_all = int(whole_part + fraction or "0") * scale
    nano = _scaled(digits_all, power - len(fraction) + 9)
    if style == "binary" and nano < NANO:
        style = "decimal"
    return (-nano if sign == "-" else nano), style


def _scaled(digits: int, power: int) -> int:
    """digits × 10^power, rounded away from zero, at most the cap; never computes huge powers."""
    if digits == 0:
        return 0
    if power >= 0:
        return _MAX_NANO if power > 40 else min(digits * int(10**power), _MAX_NANO)
    if -power > len(str(digits)) + 1:
        return 1
    return min(-(-digits // int(10**-power)), _MAX_NANO)


def nano(value: Quantity) -> int:
    """In billionths. Raises: BadQuantity."""
    if type(value) is int:
        return max(min(value * NANO, _MAX_NANO), -_MAX_NANO)
    return _read(value if isinstance(value, str) else repr(value))[0]


def milli(value: Quantity) -> int:
    """In thousandths (millicores), rounded up. Raises: BadQuantity."""
    return -(-nano(value) // 10**6)


def whole(value: Quantity) -> int:
    """In whole units (bytes, pods), rounded up. Raises: BadQuantity."""
    return -(-nano(value) // NANO)


def parse(value: Quantity) -> Fraction:
    """The exact number. Raises: BadQuantity."""
    return Fraction(nano(value), NANO)


def compare(left: Quantity, right: Quantity) -> int:
    """-1, 0 or 1. Raises: BadQuantity."""
    a, b = nano(left), nano(right)
    return (a > b) - (a < b)


def text(amount_nano: int, style: Format = "decimal") -> str:
    """The canonical text of so many billionths: the largest suffix that leaves an integer.

    A binary style is kept only for whole numbers of at least 1024.
    """
    if amount_nano == 0:
        return "0"
    units, rest = divmod(amount_nano, NANO)
    if style == "binary" and rest == 0 and abs(units) >= 1024:
        power = 0
        while units % 1024 == 0 and power < 6:
            units //= 1024
            power += 1
        return f"{units}{_BINARY_TEXT.get(power, '')}"
    exponent = -9
    while amount_nano % 1000 == 0 and exponent < 18:
        amount_nano //= 1000
        exponent += 3
    if style == "exponent":
        return f"{amount_nano}e{exponent}" if exponent else str(amount_nano)
    return f"{amount_nano}{_DECIMAL_TEXT[exponent]}"


@lru_cache(maxsize=16384)
def _canonical(value: str) -> str:
    return text(*_read(value))


def canonical(value: Quantity) -> str:
    """As Kubernetes writes it back: `1000m` is `1`, `0.5` is `500m`, `1024Mi` is `1Gi`. Raises: BadQuantity."""
    if type(value) is int:
        return text(nano(value))
    return _canonical(value if isinstance(value, str) else repr(value))


def style_of(value: Quantity) -> Format:
    """How it was written. Raises: BadQuantity."""
    return _read(value)[1] if isinstance(value, str) else "decimal"


def total(values: Iterable[Quantity]) -> str:
    """The canonical sum, written in the style of the first that is not zero. Raises: BadQuantity."""
    amount = 0
    style: Format | None = None
    for value in values:
        amount += nano(value)
        if style is None and nano(value):
            style = style_of(value)
    return text(max(min(amount, _MAX_NANO), -_MAX_NANO), style or "decimal")
