"""What the kernel counts of a container's control group, read when somebody asks for it; versions 1 and 2.

What the runtime says already (processor time, memory, its own layer) stands in `usage`; these are the figures that
dashboards read besides. A file that this kernel does not have counts as nothing.

Source: https://docs.kernel.org/admin-guide/cgroup-v2.html; https://docs.kernel.org/admin-guide/cgroup-v1/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from navarch.agent.cgroups import QUALITIES, Hierarchy

NO_LIMIT = 1 << 62
"""Version 1 says a number near 2⁶³ where there is no limit."""


@dataclass(frozen=True, slots=True)
class GroupUse:
    """limit_bytes, quota_us: 0 for none. shares: as version 1 counts them."""

    rss_bytes: int = 0
    cache_bytes: int = 0
    mapped_bytes: int = 0
    swap_bytes: int = 0
    peak_bytes: int = 0
    limit_bytes: int = 0
    refused: int = 0
    faults: int = 0
    major_faults: int = 0
    oom_kills: int = 0
    user_ns: int = 0
    system_ns: int = 0
    periods: int = 0
    throttled_periods: int = 0
    throttled_ns: int = 0
    quota_us: int = 0
    period_us: int = 0
    shares: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    reads: int = 0
    writes: int = 0
    processes: int = 0
    threads: int = 0


class Groups:
    """root: the group that all pods are below."""

    def __init__(self, hierarchy: Hierarchy, root: str) -> None:
        self._hierarchy = hierarchy
        self._root = root.strip("/")

    def of(self, uid: str, container_id: str) -> GroupUse:
        """Of a container of a pod; of nothing at all when it has just ended."""
        for quality in QUALITIES:
            below = f"{self._root}{quality}/pod{uid}/{container_id}"
            unified = self._hierarchy.unified
            if unified is not None and (unified / below).is_dir():
                return read_unified(unified / below)
            controllers = self._hierarchy.controllers
            if unified is None and any((point / below).is_dir() for point in controllers.values()):
                return read_divided({name: point / below for name, point in controllers.items()})
        return GroupUse()


def read_divided(places: Mapping[str, Path]) -> GroupUse:
    """Version 1. places: the group's directory by controller."""
    nowhere = Path("/nonexistent")
    memory, cpu = places.get("memory", nowhere), places.get("cpu", nowhere)
    account, blocks, ids = (places.get(name, nowhere) for name in ("cpuacct", "blkio", "pids"))
    stat, turns = _pairs(memory / "memory.stat"), _pairs(cpu / "cpu.stat")
    limit, quota_us = _number(memory / "memory.limit_in_bytes"), _number(cpu / "cpu.cfs_quota_us")
    moved = _blocks(blocks / "blkio.throttle.io_service_bytes_recursive")
    times = _blocks(blocks / "blkio.throttle.io_serviced_recursive")
    members = next((place for place in (memory, cpu, ids) if place.is_dir()), nowhere)
    return GroupUse(
        rss_bytes=stat.get("total_rss", 0),
        cache_bytes=stat.get("total_cache", 0),
        mapped_bytes=stat.get("total_mapped_file", 0),
        swap_bytes=stat.get("total_swap", 0),
        peak_bytes=_number(memory / "memory.max_usage_in_bytes"),
        limit_bytes=limit if limit < NO_LIMIT else 0,
        refused=_number(memory / "memory.failcnt"),
        faults=stat.get("total_pgfault", 0),
        major_faults=stat.get("total_pgmajfault", 0),
        oom_kills=_pairs(memory / "memory.oom_control").get("oom_kill", 0),
        user_ns=_number(account / "cpuacct.usage_user"),
        system_ns=_number(account / "cpuacct.usage_sys"),
        periods=turns.get("nr_periods", 0),
        throttled_periods=turns.get("nr_throttled", 0),
        throttled_ns=turns.get("throttled_time", 0),
        quota_us=max(0, quota_us),
        period_us=_number(cpu / "cpu.cfs_period_us"),
        shares=_number(cpu / "cpu.shares"),
        read_bytes=moved.get("Read", 0),
        written_bytes=moved.get("Write", 0),
        reads=times.get("Read", 0),
        writes=times.get("Write", 0),
        processes=len(_lines(members / "cgroup.procs")),
        threads=_number(ids / "pids.current") or len(_lines(members / "tasks")),
    )


def read_unified(place: Path) -> GroupUse:
    """Version 2."""
    stat, turns, events = (_pairs(place / name) for name in ("memory.stat", "cpu.stat", "memory.events"))
    quota, _, period = (_lines(place / "cpu.max") or ["max 0"])[0].partition(" ")
    moved = _devices(place / "io.stat")
    return GroupUse(
        rss_bytes=stat.get("anon", 0),
        cache_bytes=stat.get("file", 0),
        mapped_bytes=stat.get("file_mapped", 0),
        swap_bytes=_number(place / "memory.swap.current"),
        peak_bytes=_number(place / "memory.peak"),
        limit_bytes=_number(place / "memory.max"),
        refused=events.get("max", 0),
        faults=stat.get("pgfault", 0),
        major_faults=stat.get("pgmajfault", 0),
        oom_kills=events.get("oom_kill", 0),
        user_ns=turns.get("user_usec", 0) * 1000,
        system_ns=turns.get("system_usec", 0) * 1000,
        periods=turns.get("nr_periods", 0),
        throttled_periods=turns.get("nr_throttled", 0),
        throttled_ns=turns.get("throttled_usec", 0) * 1000,
        quota_us=_whole(quota),
        period_us=_whole(period),
        shares=_shares(_number(place / "cpu.weight")),
        read_bytes=moved.get("rbytes", 0),
        written_bytes=moved.get("wbytes", 0),
        reads=moved.get("rios", 0),
        writes=moved.get("wios", 0),
        processes=len(_lines(place / "cgroup.procs")),
        threads=_number(place / "pids.current"),
    )


def _shares(weight: int) -> int:
    """The inverse of what runtimes make of shares."""
    return 2 + (weight - 1) * 262142 // 9999 if weight else 0


def _lines(path: Path) -> Sequence[str]:
    try:
        return path.read_text().splitlines()
    except OSError:  # this kernel does not have it, or the group has just gone
        return ()


def _whole(text: str) -> int:
    return int(text) if text.lstrip("-").isdecimal() else 0


def _number(path: Path) -> int:
    """0 for `max` as well."""
    return _whole((_lines(path) or [""])[0].strip())


def _pairs(path: Path) -> dict[str, int]:
    words = (line.split() for line in _lines(path))
    return {pair[0]: _whole(pair[1]) for pair in words if len(pair) == 2}


def _blocks(path: Path) -> dict[str, int]:
    """Sums over devices of lines such as `8:0 Read 4096`."""
    found: dict[str, int] = {}
    for words in map(str.split, _lines(path)):
        if len(words) == 3:
            found[words[1]] = found.get(words[1], 0) + _whole(words[2])
    return found


def _devices(path: Path) -> dict[str, int]:
    """Sums over devices of lines such as `8:0 rbytes=1 wbytes=2`."""
    found: dict[str, int] = {}
    for line in _lines(path):
        for name, _, number in (word.partition("=") for word in line.split()[1:]):
            found[name] = found.get(name, 0) + _whole(number)
    return found
