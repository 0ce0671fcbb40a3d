"""Static pods from a folder, or from one file: looked at when the kernel tells of a change, and now and then besides.

The latter is for file systems that tell nothing. A file is only read again when it is another one; one that cannot be
read is told of, and what it said before holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from navarch.agent.inotify import watched
from navarch.agent.statics.file import BadFile, read_pod
from navarch.agent.statics.source import Pods
from navarch.base.clock import Clock
from navarch.base.log import Log
from navarch.kinds.object import Object

_log = Log("agent")

MOST_BYTES = 10 << 20
Stamp = tuple[int, int, int]
"""When a file was written, its length, and which one it is."""
UNREAD: Stamp = (0, 0, 0)


class Folder:
    """again_s: how often is looked though nothing was told."""

    def __init__(self, path: Path, node: str, clock: Clock, again_s: float) -> None:
        self._path = path
        self._node = node
        self._clock = clock
        self._again_s = again_s
        self._changed = asyncio.Event()
        self._read: dict[Path, tuple[Stamp, Object | None]] = {}
        """What each file says, or last said; None when it has never said anything that could be understood."""

    async def run(self, found: Callable[[Pods | None], None]) -> None:
        """Until cancelled. Raises: OSError, when the folder cannot be watched."""
        with watched(self._path.parent if self._path.is_file() else self._path, self._changed.set):
            first = True
            while True:
                self._changed.clear()
                if await asyncio.to_thread(self._look) or first:
                    first = False
                    found({str(path): one for path, (_, one) in self._read.items() if one is not None})
                try:
                    async with asyncio.timeout(self._again_s):
                        await self._changed.wait()
                except TimeoutError:
                    continue

    def _look(self) -> bool:
        """Whether there is anything else than before."""
        before, self._read = self._read, {}
        try:
            paths = [self._path] if self._path.is_file() else sorted(self._path.iterdir())
        except OSError as error:
            _log.warning(
                "static pods cannot be listed, those there are hold", file=error.filename, error=error.strerror
            )
            self._read = before
            return False
        for path in paths:
            if path.name.startswith(".") or not path.is_file():
                continue
            self._read[path] = self._one(path, *before.get(path, (UNREAD, None)))
        return self._read != before

    def _one(self, path: Path, stamp: Stamp, before: Object | None) -> tuple[Stamp, Object | None]:
        try:
            info = path.stat()
            now = (info.st_mtime_ns, info.st_size, info.st_ino)
        except OSError as error:
            return self._unreadable(path, UNREAD, before, error)
        if now == stamp:
            return (stamp, before)
        try:
            with path.open("rb") as file:
                return (now, read_pod(file.read(MOST_BYTES).decode(), self._node, self._clock.now()))
        except OSError as error:
            return self._unreadable(path, UNREAD, before, error)
        except (UnicodeDecodeError, BadFile) as error:
            return self._unreadable(path, now, before, error)

    def _unreadable(
        self, path: Path, stamp: Stamp, before: Object | None, error: Exception
    ) -> tuple[Stamp, Object | None]:
        _log.warning("not a static pod, what it said before holds", file=path, error=error)
        return (stamp, before)
