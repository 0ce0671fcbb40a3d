"""What a host process uses: its control group, and the layer that takes what it writes."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from navarch.agent.cgroups import Hierarchy
from navarch.agent.process.record import Held, Shelf
from navarch.agent.runtime import ContainerStats


def stats(held: Held, shelf: Shelf, hierarchy: Hierarchy, at: datetime) -> ContainerStats:
    """Nothing of what this kernel does not count."""
    below = held.cgroup.lstrip("/")
    if hierarchy.unified is not None:
        place = hierarchy.unified / below
        cpu_ns = _pairs(place / "cpu.stat").get("usage_usec", 0) * 1000
        memory, idle = _number(place / "memory.current"), _pairs(place / "memory.stat").get("inactive_file", 0)
    else:
        nowhere = Path("/nonexistent")
        account, memories = (hierarchy.controllers.get(name, nowhere) / below for name in ("cpuacct", "memory"))
        cpu_ns = _number(account / "cpuacct.usage")
        memory = _number(memories / "memory.usage_in_bytes")
        idle = _pairs(memories / "memory.stat").get("total_inactive_file", 0)
    disk_bytes, inodes = _layer(shelf.container(held.id) / "layer")
    return ContainerStats(
        id=held.id,
        name=held.name,
        uid=held.uid,
        at=at,
        cpu_core_ns=cpu_ns,
        memory_bytes=memory,
        working_set_bytes=max(0, memory - idle),
        disk_bytes=disk_bytes,
        inodes=inodes,
    )


def _layer(place: Path) -> tuple[int, int]:
    """Bytes and files."""
    try:
        found = os.statvfs(place)
    except OSError:  # it was taken down meanwhile
        return 0, 0
    return (found.f_blocks - found.f_bfree) * found.f_frsize, found.f_files - found.f_ffree


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # this kernel does not have it, or the group has just gone
        return ""


def _number(path: Path) -> int:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else 0


def _pairs(path: Path) -> dict[str, int]:
    words = (line.split() for line in _text(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in words if len(pair) == 2 and pair[1].isdecimal()}
