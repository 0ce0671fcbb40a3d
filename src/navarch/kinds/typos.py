"""Which field may have been meant by one that does not exist.

Kubernetes says only that it does not; what stands behind its words is ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

Unknown = list[tuple[str, str]]
"""Where a field was that does not exist, and what is told of the one that was meant."""
MOST = 50
"""Unknown fields of one document for which it is found out: looking for likeness takes its time."""
LONGEST = 64
LIKE = 0.75


def meant(key: str, fields: Iterable[str]) -> str:
    """`; did you mean "replicas"?`, "" where no field is like it."""
    if len(key) > LONGEST:
        return ""
    lower = {name.lower(): name for name in fields}
    like = get_close_matches(key.lower(), lower, n=1, cutoff=LIKE)
    return f'; did you mean "{lower[like[0]]}"?' if like else ""
