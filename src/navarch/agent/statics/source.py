"""Static pods: the folder says which there are, whether or not there is an API server.

A file that comes is a pod that starts, one that goes is a pod that stops, and one that changes is both, one after the
other: two pods of one name never run at once. A file that cannot be read is told of, and what it said before holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from navarch.agent.inotify import watched
from navarch.agent.statics.file import BadFile, ending, read_pod
from navarch.agent.statics.mirrors import Mirrors
from navarch.base.clock import Clock
from navarch.base.log import Log
from navarch.kinds.object import Object
from navarch.objects.value import Document

_log = Log("agent")

Key = tuple[str, str]
MOST_BYTES = 1 << 20


class Runs(Protocol):
    """Whoever runs pods."""

    def employ_static(self, found: Object) -> None: ...

    def change_static(self, found: Object) -> None:
        """Another form of one that runs: it is to end."""
        ...


class StaticPods:
    def __init__(self, folder: Path, node: str, clock: Clock, mirrors: Mirrors) -> None:
        self.mirrors = mirrors
        self._folder = folder
        self._node = node
        self._clock = clock
        self._changed = asyncio.Event()
        self._wanted: dict[Path, Object] = {}
        self._running: dict[str, Object] = {}
        """By uid: those that have a worker, also while they end."""
        self._runs: Runs | None = None
        self.begun = asyncio.Event()
        """Set once the folder has been read: before that, nobody can tell whose containers are left behind."""

    async def run(self, runs: Runs) -> None:
        """Until cancelled. Raises: OSError, when the folder cannot be watched."""
        self._runs = runs
        with watched(self._folder, self._changed.set):
            while True:
                self._changed.clear()
                self._wanted = await asyncio.to_thread(self._read, dict(self._wanted))
                self._reconcile()
                self.begun.set()
                await self._changed.wait()

    def _read(self, before: Mapping[Path, Object]) -> dict[Path, Object]:
        found: dict[Path, Object] = {}
        names: dict[Key, Path] = {}
        for path in sorted(self._folder.iterdir()):
            if path.name.startswith(".") or not path.is_file():
                continue
            try:
                with path.open("rb") as file:
                    one = read_pod(file.read(MOST_BYTES).decode(), self._node, self._clock.now())
            except (OSError, UnicodeDecodeError, BadFile) as error:
                _log.warning("not a static pod, what it said before holds", file=path, error=error)
                if path not in before:
                    continue
                one = before[path]
            old = before.get(path)
            if (twin := names.setdefault(one.key, path)) != path:
                _log.warning("another file names the same pod", file=path, other=twin)
                continue
            found[path] = old if old is not None and old.uid == one.uid else one
        return found

    def _reconcile(self) -> None:
        assert self._runs is not None
        wanted = {one.uid: one for one in self._wanted.values()}
        for uid, one in self._running.items():
            if uid not in wanted and not one.terminating:
                self._running[uid] = last = ending(one, self._clock.now())
                self._runs.change_static(last)
        taken = {one.key for one in self._running.values()}
        for uid, one in wanted.items():
            if uid not in self._running and one.key not in taken:
                self._running[uid] = one
                self._runs.employ_static(one)
        self.mirrors.want({one.key: one for one in self._running.values() if not one.terminating})

    # what others tell it

    def told(self, found: Object, status: Document) -> None:
        """The status of a static pod has changed."""
        self.mirrors.tell(found, status)

    def ended(self, uid: str) -> None:
        """Nothing of it is left on the node."""
        if self._running.pop(uid, None) is not None and self._runs is not None:
            self._reconcile()

    def __contains__(self, uid: str) -> bool:
        return uid in self._running
