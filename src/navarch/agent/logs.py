"""The containers' log files: rotated when they have grown, and read from the end for termination messages.

The runtime writes a line as `<time> <stdout|stderr> <F|P> <text>`. Rotation renames the file, has the runtime open a
new one, and packs what was rotated before; following readers see the rename.

Source: https://kubernetes.io/docs/concepts/cluster-administration/logging/#log-rotation
"""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from navarch.agent.config import AgentConfig
from navarch.agent.runtime import Container as Instance
from navarch.agent.runtime import ContainerState, Runtime, RuntimeFailure
from navarch.base.clock import Clock
from navarch.base.log import Log

_log = Log("agent")

TAIL_BYTES = 2048
TAIL_LINES = 80
_STAMP = "%Y%m%d-%H%M%S"


def tail_message(path: Path) -> str:
    """The last lines that a container wrote, for its termination message: at most 80 and 2048 bytes."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - TAIL_BYTES * 4))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:  # it never wrote, or the log is gone
        return ""
    text = "".join(map(_written, lines[-TAIL_LINES:]))
    return text.encode()[-TAIL_BYTES:].decode("utf-8", "ignore")


def _written(line: str) -> str:
    """What the container wrote of a line of its log: without an end, where it wrote none."""
    parts = line.split(" ", 3)
    if len(parts) < 4:
        return f"{line}\n"
    return parts[3] if "P" in parts[2].split(":") else f"{parts[3]}\n"


async def rotate(runtime: Runtime, clock: Clock, config: AgentConfig, running: Iterable[Instance]) -> int:
    """Rotate the logs of running containers that are over the limit; returns how many."""
    rotated = 0
    for instance in running:
        if instance.state is not ContainerState.RUNNING or not instance.log_path:
            continue
        path = Path(instance.log_path)
        try:
            large = (await asyncio.to_thread(path.stat)).st_size > config.log_bytes
        except OSError:  # nothing was written yet
            continue
        if large:
            rotated += await _rotate_one(runtime, path, instance.id, clock.now().strftime(_STAMP), config.log_files)
    return rotated


async def _rotate_one(runtime: Runtime, path: Path, container_id: str, stamp: str, keep: int) -> int:
    aside = path.with_name(f"{path.name}.{stamp}")
    try:
        await asyncio.to_thread(_make_room, path, keep)
        await asyncio.to_thread(path.rename, aside)
        await runtime.reopen_log(container_id)
    except RuntimeFailure as error:
        _log.warning("log not rotated: the runtime does not open a new file", file=path, error=error)
        await asyncio.to_thread(aside.rename, path)
        return 0
    except OSError as error:
        _log.warning("log not rotated", file=path, error=error)
        return 0
    return 1


def _make_room(path: Path, keep: int) -> None:
    """Pack what was rotated earlier, and leave `keep` files when one more comes. Raises: OSError."""
    earlier = sorted(path.parent.glob(f"{path.name}.*"))
    for old in earlier[: max(0, len(earlier) - (keep - 2))]:
        old.unlink()
    for old in earlier:
        if old.exists() and old.suffix != ".gz":
            packed = old.with_name(old.name + ".gz")
            with old.open("rb") as source, gzip.open(packed, "wb") as target:
                shutil.copyfileobj(source, target)
            old.unlink()
