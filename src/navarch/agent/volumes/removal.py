"""Takes a pod's directory away without others having to wait for it.

A file system gives the blocks of a deleted file back when it commits its journal, and one that is mounted with
`discard` tells the disk of each of them before it goes on. Whoever syncs a file meanwhile waits for all of that: after
a pod with some hundred MiB, for seconds. So large files are shortened piece by piece first, with pauses in which
others come to their turn.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from navarch.agent.volumes import kernel
from navarch.base.clock import Clock

PIECE_BYTES = 8 << 20
PIECES = 200
"""Of one pod at most: what holds more is removed in larger ones, so that it takes seconds and not minutes."""
PAUSE_S = 0.025


async def remove_tree(path: Path, clock: Clock) -> None:
    """Detach every mount in it first: what is mounted must not be deleted along.

    Raises: OSError, also when something stays mounted.
    """
    if not await asyncio.to_thread(_unmount, path):
        return
    large = await asyncio.to_thread(lambda: list(_large(path)))
    piece_bytes = max(PIECE_BYTES, sum(size for _, size in large) // PIECES)
    for file, size in large:
        for left_bytes in reversed(range(0, size, piece_bytes)):
            await asyncio.to_thread(_shorten, file, left_bytes)
            await clock.sleep(PAUSE_S)
    await asyncio.to_thread(shutil.rmtree, path)


def _unmount(path: Path) -> bool:
    """Whether there is anything. Raises: OSError."""
    if not path.exists():
        return False
    for point in kernel.mounts_below(path):
        kernel.unmount(point)
    if left := kernel.mounts_below(path):
        raise OSError(errno.EBUSY, "still mounted", str(left[0]))
    return True


def _large(path: Path) -> Iterator[tuple[Path, int]]:
    """Files that lie here and nowhere else, with what they hold on the disk; links are not followed."""
    for folder, _, names in os.walk(path):
        for name in names:
            file = Path(folder, name)
            found = file.lstat()
            held_bytes = found.st_blocks * 512
            if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and held_bytes > PIECE_BYTES:
                yield file, min(found.st_size, held_bytes)


def _shorten(file: Path, left_bytes: int) -> None:
    """Until the disk knows of it. Raises: OSError."""
    descriptor = os.open(file, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.truncate(descriptor, left_bytes)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
