"""What is read off the server when somebody asks for its metrics: what it holds, what it sent, what the process takes.

Nothing here costs anything while nobody asks.

Source: https://kubernetes.io/docs/reference/instrumentation/metrics/
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import orjson

from navarch.base.metrics import Registry

Counts = Callable[[], Mapping[tuple[str, ...], float]]
SELF = Path("/proc/self")
BUILD = ("major", "minor", "gitVersion", "gitCommit", "gitTreeState", "buildDate", "compiler", "platform")


def register(metrics: Registry, stored: Counts, sent: Counts, version: bytes) -> None:
    """stored: objects by group and plural. sent: events by group, version and plural. version: `/version`."""
    metrics.gauge("apiserver_resource_objects", "Objects that are stored.", ("group", "resource"), read=stored)
    metrics.gauge(
        "apiserver_storage_objects",
        "Objects that are stored, by the older name of the metric.",
        ("resource",),
        read=lambda: {(f"{name}.{group}" if group else name,): count for (group, name), count in stored().items()},
    )
    metrics.counter(
        "apiserver_watch_events",
        "Events that were handed to watchers, in this process or outside.",
        ("group", "version", "resource"),
        read=sent,
    )
    told = orjson.loads(version)
    labels = tuple(str(told[field]) for field in BUILD)
    metrics.gauge(
        "kubernetes_build_info",
        "Always 1; the labels say which release this is.",
        ("major", "minor", "git_version", "git_commit", "git_tree_state", "build_date", "compiler", "platform"),
        read=lambda: {labels: 1.0},
    )
    _process(metrics)


def _process(metrics: Registry) -> None:
    tick_s, page_bytes = 1.0 / os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    metrics.counter("process_cpu_seconds", "Processor time of the process.", read=lambda: sum(os.times()[:2]))
    metrics.gauge(
        "process_resident_memory_bytes", "Memory that it holds.", read=lambda: _statm()[1] * float(page_bytes)
    )
    metrics.gauge(
        "process_virtual_memory_bytes", "Memory that it may address.", read=lambda: _statm()[0] * float(page_bytes)
    )
    metrics.gauge("process_open_fds", "Files and sockets that it has open.", read=lambda: float(_open_files()))
    metrics.gauge("process_max_fds", "Files and sockets that it may open.", read=_most_files)
    metrics.gauge(
        "process_start_time_seconds",
        "When it started, in seconds since 1970.",
        read=lambda: _booted_s() + int(_stat_fields()[19]) * tick_s,
    )


def _statm() -> list[int]:
    return [int(word) for word in (SELF / "statm").read_text().split()]


def _stat_fields() -> list[str]:
    """Behind the name of the program, which may hold anything."""
    return (SELF / "stat").read_text().rpartition(")")[2].split()


def _open_files() -> int:
    return len(os.listdir(SELF / "fd"))


def _most_files() -> float:
    import resource

    return float(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _booted_s() -> float:
    lines = Path("/proc/stat").read_text().splitlines()
    return next((float(line.split()[1]) for line in lines if line.startswith("btime ")), 0.0)
