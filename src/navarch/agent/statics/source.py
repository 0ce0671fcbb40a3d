"""Static pods: what lies in a folder, or is answered at a URL, says which there are, with or without an API server.

A pod that comes starts, one that goes is stopped, and one that changes is both, one after the other: two pods of one
name never run at once. Where the pods come from, and what holds when that cannot be read, is a source's own business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from navarch.agent.statics.file import ending
from navarch.agent.statics.mirrors import Mirrors
from navarch.base.clock import Clock
from navarch.base.log import Log
from navarch.kinds.object import Object
from navarch.objects.value import Document

_log = Log("agent")

Key = tuple[str, str]
Pods = Mapping[str, Object]
"""What a source holds, by where it stands there: a file's path, say."""


class Source(Protocol):
    async def run(self, found: Callable[[Pods | None], None]) -> None:
        """Until cancelled: call `found` with all pods there are, again whenever they change; None: it cannot be said
        yet which there are."""
        ...


class Runs(Protocol):
    """Whoever runs pods."""

    def employ_static(self, found: Object) -> None: ...

    def change_static(self, found: Object) -> None:
        """Another form of one that runs: it is to end."""
        ...


class StaticPods:
    """sources: the pods of earlier ones go before those of the same name from later ones."""

    def __init__(self, sources: Sequence[Source], clock: Clock, mirrors: Mirrors) -> None:
        self.mirrors = mirrors
        self._sources = sources
        self._clock = clock
        self._found: dict[int, Pods | None] = {}
        self._twins: set[str] = set()
        self._running: dict[str, Object] = {}
        """By uid: those that have a worker, also while they end."""
        self._runs: Runs | None = None
        self.begun = asyncio.Event()
        """Set once all sources have been asked."""

    @property
    def complete(self) -> bool:
        """Whether all sources have answered: before that, nobody can tell whose containers are left behind."""
        return len(self._found) == len(self._sources) and None not in self._found.values()

    async def run(self, runs: Runs) -> None:
        """Until cancelled. Raises: OSError, when a folder cannot be watched."""
        self._runs = runs
        async with asyncio.TaskGroup() as group:
            for number, source in enumerate(self._sources):
                group.create_task(source.run(partial(self._take, number)))

    def _take(self, number: int, found: Pods | None) -> None:
        if found is not None or number not in self._found:
            self._found[number] = found
        self._reconcile()
        if len(self._found) == len(self._sources):
            self.begun.set()

    def _wanted(self) -> dict[str, Object]:
        """By uid."""
        wanted: dict[Key, Object] = {}
        twins = set()
        for _, pods in sorted(self._found.items()):
            for where, one in sorted((pods or {}).items()):
                if wanted.setdefault(one.key, one).uid != one.uid:
                    twins.add(where)
        for where in twins - self._twins:
            _log.warning("a static pod of that name is there already", source=where)
        self._twins = twins
        return {one.uid: one for one in wanted.values()}

    def _reconcile(self) -> None:
        assert self._runs is not None
        wanted = self._wanted()
        for uid, one in self._running.items():
            if uid not in wanted and not one.terminating:
                self._running[uid] = last = ending(one, self._clock.now())
                self._runs.change_static(last)
        taken = {one.key for one in self._running.values()}
        for uid, one in wanted.items():
            if uid not in self._running and one.key not in taken:
                self._running[uid] = one
                self._runs.employ_static(one)
        shown = {one.key: one for one in self._running.values() if not one.terminating}
        self.mirrors.want(shown, complete=self.complete)

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
