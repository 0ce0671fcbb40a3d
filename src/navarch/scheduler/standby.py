"""A scheduler that is loaded when the first pod waits for a node: its arithmetic takes 13 MB of a process that may be
small, and a cluster in which nothing waits needs none of it.

What is placed and how stands in `scheduler`; this only knows when there is something to place.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from navarch.base.clock import Clock, Ids
from navarch.base.metrics import Registry
from navarch.client.client import Client
from navarch.client.informer import Informers
from navarch.kinds import POD
from navarch.kinds.object import Object

if TYPE_CHECKING:
    from navarch.scheduler.scheduler import Scheduler


def _load() -> type[Scheduler]:
    from navarch.scheduler.scheduler import Scheduler

    return Scheduler


class Standby:
    """Runs like a `Scheduler`. informers: those of others in the process, who run them."""

    def __init__(self, client: Client, clock: Clock, ids: Ids, informers: Informers, registry: Registry) -> None:
        self._client = client
        self._clock = clock
        self._ids = ids
        self._informers = informers
        self._registry = registry
        self._wanted = asyncio.Event()
        self._pods = informers.of(POD)

    async def run(self) -> None:
        self._pods.subscribe(self._on_pod)
        await self._wanted.wait()
        made = await asyncio.to_thread(_load)  # a tenth of a second, in which others are served
        await made(self._client, self._clock, self._ids, informers=self._informers, registry=self._registry).run()

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        if not self._wanted.is_set() and new is not None and not new.view.spec.node_name:
            self._wanted.set()
