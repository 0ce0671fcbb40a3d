"""Finding fields that a JSON text names twice, which every ordinary parser forgets.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


class _Pairs(list[tuple[str, Any]]):
    """An object as it was written: its pairs in order, doubles included."""


def duplicates(raw: bytes) -> list[str]:
    """The paths of fields named more than once (`spec.containers[0].name`), in the order of the text.

    Raises:
        ValueError: `raw` is no JSON.
    """
    seen_double = False

    def quick(pairs: list[tuple[str, Any]]) -> None:
        nonlocal seen_double
        seen_double = seen_double or len({key for key, _ in pairs}) != len(pairs)

    json.loads(raw, object_pairs_hook=quick)
    return list(_named(json.loads(raw, object_pairs_hook=_Pairs), "")) if seen_double else []


def _named(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        told: set[str] = set()
        for key, below in value:
            here = f"{path}.{key}" if path else key
            if key in seen and key not in told:
                told.add(key)
                yield here
            seen.add(key)
            yield from _named(below, here)
    elif isinstance(value, list):
        for i, below in enumerate(value):
            yield from _named(below, f"{path}[{i}]")
