"""What is done to all processes of a container at once, by the kernel and not by the runtime.

A runtime starts a program for every signal that it sends. On a machine that a fork bomb has to itself this takes
seconds, in which a pod that has to go for what it writes writes on.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

TELLING = (signal.SIGTERM, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGRTMIN + 3)
"""Signals by which images have themselves be told to stop. Not SIGINT, which some languages always catch."""
ROUNDS = 10
"""How often it is looked for processes that were made while others were killed; a frozen group makes none."""


def hears(group: Path) -> bool:
    """Whether being told to stop can make a difference to the container.

    The kernel keeps signals that would end the first process of a pid namespace from it unless it asked for them.
    """
    every = map(_status, processes(group))
    first = next((status for status in every if status.get("NSpid", "").endswith("\t1")), None)
    if first is None:  # none of its own namespace: every signal counts; or it has ended
        return True
    caught = int(first.get("SigCgt", "0"), 16)
    return any(caught >> (number - 1) & 1 for number in TELLING)


def kill(group: Path, freezer: Path | None) -> None:
    """SIGKILL. freezer: where version 1 freezes the same group; None where nothing does. Raises: OSError."""
    if (group / "cgroup.kill").exists():
        (group / "cgroup.kill").write_text("1")
        return
    state = freezer / "freezer.state" if freezer is not None else None
    if state is not None:
        with contextlib.suppress(FileNotFoundError):  # the container has ended
            state.write_text("FROZEN")
    try:
        told: set[int] = set()
        for _ in range(ROUNDS):
            left = set(processes(group)) - told
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            told |= left
            if not left:
                break
    finally:
        if state is not None:
            with contextlib.suppress(FileNotFoundError):
                state.write_text("THAWED")


def processes(group: Path) -> Iterator[int]:
    """Also of groups that the container made below its own; none where the group is gone."""
    for folder, _, _ in os.walk(group):
        with contextlib.suppress(OSError):  # it has gone, or is one of threads
            yield from map(int, Path(folder, "cgroup.procs").read_text().split())


def _status(pid: int) -> dict[str, str]:
    """Fields of the process, by name; {} when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return dict(line.split(":", 1) for line in lines)
