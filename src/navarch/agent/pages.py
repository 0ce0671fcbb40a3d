"""Huge pages: how many a machine has, and what a size is called: `hugepages-2Mi` in objects, `2MB` in control groups.

Source: https://kubernetes.io/docs/tasks/manage-hugepages/scheduling-hugepages/
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from navarch.objects import quantity

FOLDER = Path("/sys/kernel/mm/hugepages")
PREFIX = "hugepages-"


def resource_name(size_bytes: int) -> str:
    return PREFIX + quantity.text(size_bytes * quantity.NANO, "binary")


def control_name(size_bytes: int) -> str:
    """As the kernel names a size in the files of its control groups."""
    for unit, scale in (("GB", 1 << 30), ("MB", 1 << 20)):
        if size_bytes % scale == 0:
            return f"{size_bytes // scale}{unit}"
    return f"{size_bytes >> 10}KB"


def read_pages(folder: Path = FOLDER) -> tuple[tuple[int, int], ...]:
    """(size in bytes, how many the machine has), the largest first; () where the kernel has none."""
    found = []
    for place in sorted(folder.glob("hugepages-*kB")):
        with contextlib.suppress(OSError, ValueError):  # a size that came or went meanwhile
            count = int((place / "nr_hugepages").read_text())
            found.append((int(place.name.removeprefix("hugepages-").removesuffix("kB")) << 10, count))
    return tuple(sorted(found, reverse=True))
