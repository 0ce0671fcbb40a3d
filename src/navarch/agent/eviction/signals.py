"""Reads the signals from this machine: a few small files and one call for each disk, cheap enough for every round.

Memory is what the kernel could not give up at once: all that is used, without the files that lie idle in its cache.
On version 1 of control groups that stands in the root group, on version 2 in /proc/meminfo and the root's statistics.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from navarch.agent.cgroups import Hierarchy
from navarch.agent.eviction.thresholds import (
    CONTAINER_DISK,
    CONTAINER_INODES,
    IMAGE_DISK,
    IMAGE_INODES,
    MEMORY,
    NODE_DISK,
    NODE_INODES,
    PROCESSES,
    Observation,
)
from navarch.base.log import Log

_log = Log("agent")

KIB = 1024


class MachineSignals:
    """node, images: directories on the disks that pods and images lie on; may be the same."""

    def __init__(self, hierarchy: Hierarchy, node: Path, images: Path, proc: Path = Path("/proc")) -> None:
        self._hierarchy = hierarchy
        self._node = node
        self._images = images
        self._proc = proc

    @property
    def split(self) -> bool:
        """Whether images lie on a disk of their own. Raises: OSError."""
        return os.stat(_there(self._node)).st_dev != os.stat(_there(self._images)).st_dev

    def __call__(self) -> Mapping[str, Observation]:
        """What cannot be read is left out, and said in the log."""
        found: dict[str, Observation] = {}
        self._read("memory", lambda: found.update({MEMORY: self._memory()}))
        found |= self.disks()
        self._read("process ids", lambda: found.update({PROCESSES: self._processes()}))
        for theirs, same in ((CONTAINER_DISK, IMAGE_DISK), (CONTAINER_INODES, IMAGE_INODES)):
            if same in found:  # the runtime writes containers' layers beside its images
                found[theirs] = found[same]
        return found

    def disks(self) -> Mapping[str, Observation]:
        """Those of the disks alone."""
        found: dict[str, Observation] = {}
        self._read("disk", lambda: found.update(_disk(self._node, NODE_DISK, NODE_INODES)))
        self._read("disk of images", lambda: found.update(_disk(self._images, IMAGE_DISK, IMAGE_INODES)))
        return found

    def _read(self, what: str, take: Callable[[], None]) -> None:
        try:
            take()
        except (OSError, ValueError, LookupError) as error:
            _log.warning("a signal of the node cannot be read, and nothing is evicted for it", what=what, error=error)

    def _memory(self) -> Observation:
        """Raises: OSError, ValueError, KeyError."""
        text = (self._proc / "meminfo").read_text()
        kib = {name: int(number) for name, number in re.findall(r"^([\w()]+):\s+(\d+)", text, re.MULTILINE)}
        total = kib["MemTotal"] * KIB
        used = total - kib["MemFree"] * KIB
        idle = kib.get("Inactive(file)", 0) * KIB
        first = self._hierarchy.controllers.get("memory")
        if first is not None:
            used = int((first / "memory.usage_in_bytes").read_text())
            idle = _stat(first / "memory.stat", "total_inactive_file")
        elif self._hierarchy.unified is not None and (self._hierarchy.unified / "memory.stat").exists():
            idle = _stat(self._hierarchy.unified / "memory.stat", "inactive_file")
        return Observation(max(0, total - max(0, used - idle)), total)

    def _processes(self) -> Observation:
        """Raises: OSError, ValueError."""
        most = int((self._proc / "sys/kernel/pid_max").read_text())
        threads = self._proc / "sys/kernel/threads-max"
        if threads.exists():
            most = min(most, int(threads.read_text()))
        running = int((self._proc / "loadavg").read_text().split()[3].partition("/")[2])
        return Observation(max(0, most - running), most)


def _stat(path: Path, name: str) -> int:
    """Raises: OSError, KeyError, ValueError."""
    return int(dict(line.split(" ", 1) for line in path.read_text().splitlines())[name])


def _disk(place: Path, size: str, inodes: str) -> Mapping[str, Observation]:
    """Raises: OSError."""
    found = os.statvfs(_there(place))
    seen = {size: Observation(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)}
    if found.f_files:  # some file systems count none
        seen[inodes] = Observation(found.f_favail, found.f_files)
    return seen


def _there(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if place.exists())
