"""The client through which the organs of a simulation are made to feel its weather.

What may happen to a client of Kubernetes is the limit: a watch may be late, end, or be lost and with it what came and
went meanwhile; a list of a cache may be old. It never tells of what was not, or in another order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from navarch.base.clock import Clock, Ids
from navarch.base.errors import Expired, Retryable, Unavailable
from navarch.client.client import Client, ObjectList, PatchType, Propagation, WatchEvent
from navarch.kinds import EVENT
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.objects.value import Document
from navarch.testing.ledger import ACTOR
from navarch.testing.weather import Weather

Result = TypeVar("Result")


@dataclass(slots=True)
class Process:
    """One life of an organ. crashed: called when it is to die; from then on no request of it is made or answered."""

    organ: str
    crashed: Callable[[], None]
    dead: bool = False


class FaultyClient:
    """`client.Client` for one organ, in that weather. crashed: called when the organ is to die."""

    def __init__(
        self, inner: Client, weather: Weather, ids: Ids, clock: Clock, process: Process, actor: str = ""
    ) -> None:
        """actor: who is said to make the requests. When "", the organ itself, whose lists fill its caches and may be
        old ones; what an actor lists is asked of the store."""
        self._inner = inner
        self._weather = weather
        self._ids = ids
        self._clock = clock
        self._process = process
        self._organ = process.organ
        self._actor = actor or process.organ
        self._fills_caches = not actor

    def acting_as(self, actor: str) -> FaultyClient:
        """The same process under another name: one controller of several."""
        return FaultyClient(self._inner, self._weather, self._ids, self._clock, self._process, actor)

    def _struck(self) -> bool:
        return self._weather.share > 0 and self._ids.fraction() < self._weather.share

    async def _end(self, asked: Any = None) -> None:
        """The dead hear nothing."""
        _close(asked)
        await asyncio.get_running_loop().create_future()

    async def _read(self, asked: Awaitable[Result]) -> Result:
        if self._process.dead:
            await self._end(asked)
        if self._struck():
            _close(asked)
            raise Unavailable("simulated: the server is not there")
        return await asked

    async def _write(self, asked: Awaitable[Result], counts: bool = True) -> Result:
        if self._process.dead:
            await self._end(asked)
        try:
            await self._travel()
        except asyncio.CancelledError:
            _close(asked)
            raise
        struck = self._struck()
        if struck and not self._weather.lost_replies:
            _close(asked)
            raise Unavailable("simulated: the server is not there")
        before = ACTOR.set(self._actor)
        try:
            done = await asked
        finally:
            ACTOR.reset(before)
        if counts:
            await self._count()
        await self._travel()
        if struck:
            raise Retryable("simulated: the reply was lost")
        return done

    async def _travel(self) -> None:
        """Between the organ and the server, one way."""
        if self._weather.latency_s:
            await self._clock.sleep(self._weather.latency_s * self._ids.fraction())

    async def _count(self) -> None:
        """One write less until the organ dies, if it is to."""
        left = self._weather.crashing.get(self._organ)
        if left is None:
            return
        self._weather.crashing[self._organ] = left - 1
        if left <= 1:
            del self._weather.crashing[self._organ]
            self._process.dead = True
            self._process.crashed()
            await self._end()

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        return await self._read(self._inner.get(kind, namespace, name))

    async def list(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        limit: int = 0,
        cont: str = "",
        revision: str | None = None,
    ) -> ObjectList:
        if self._fills_caches and not (namespace or labels or fields or limit or cont):
            self._weather.listed.setdefault(self._organ, {})[kind] = None
            hold = self._weather.holds.get(self._organ)
            if hold is not None and kind in hold.lists and not self._process.dead:
                return hold.lists[kind]
        asked = self._inner.list(
            kind, namespace, labels=labels, fields=fields, limit=limit, cont=cont, revision=revision
        )
        return await self._read(asked)

    async def watch(
        self, kind: Kind, namespace: str = "", *, since: int, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Sequence[WatchEvent]]:
        weather = self._weather
        epoch = weather.epoch
        if self._process.dead:
            await self._end()
        if self._struck():
            raise Retryable("simulated: the server is not there")
        batches = self._inner.watch(kind, namespace, since=since, labels=labels, fields=fields)
        try:
            async for batch in batches:
                late_s = max(weather.delay_s, weather.latency_s)
                if late_s:
                    await self._clock.sleep(late_s * self._ids.fraction())
                hold = weather.holds.get(self._organ)
                if hold is not None:
                    await hold.over.wait()
                    if hold.lost:
                        raise Expired("simulated: too old resource version")
                if weather.epoch != epoch:
                    if weather.expired:
                        raise Expired("simulated: too old resource version")
                    return
                yield batch
        finally:
            close = getattr(batches, "aclose", None)
            if close is not None:
                await close()

    async def create(
        self, kind: Kind, document: Document, *, subresource: str = "", manager: str = "", dry_run: bool = False
    ) -> Object:
        asked = self._inner.create(kind, document, subresource=subresource, manager=manager, dry_run=dry_run)
        return await self._write(asked, kind is not EVENT)

    async def update(
        self, kind: Kind, document: Document, *, subresource: str = "", manager: str = "", dry_run: bool = False
    ) -> Object:
        return await self._write(
            self._inner.update(kind, document, subresource=subresource, manager=manager, dry_run=dry_run)
        )

    async def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch: Document | Sequence[Document],
        *,
        type: PatchType = "merge",
        subresource: str = "",
        manager: str = "",
        dry_run: bool = False,
    ) -> Object:
        asked = self._inner.patch(
            kind, namespace, name, patch, type=type, subresource=subresource, manager=manager, dry_run=dry_run
        )
        return await self._write(asked, kind is not EVENT)

    async def apply(
        self, kind: Kind, document: Document, *, manager: str, force: bool = False, subresource: str = ""
    ) -> Object:
        return await self._write(
            self._inner.apply(kind, document, manager=manager, force=force, subresource=subresource)
        )

    async def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        revision: int = 0,
        grace_s: int | None = None,
        propagation: Propagation | None = None,
        dry_run: bool = False,
    ) -> Object | None:
        asked = self._inner.delete(
            kind,
            namespace,
            name,
            uid=uid,
            revision=revision,
            grace_s=grace_s,
            propagation=propagation,
            dry_run=dry_run,
        )
        return await self._write(asked)

    async def post(self, kind: Kind, namespace: str, name: str, subresource: str, document: Document) -> Document:
        return await self._write(self._inner.post(kind, namespace, name, subresource, document))

    async def raw(self, method: str, path: str, body: Any = None) -> bytes:
        return await self._read(self._inner.raw(method, path, body))


def _close(asked: Any) -> None:
    """A request that is never made leaves no coroutine that was never awaited."""
    close = getattr(asked, "close", None)
    if close is not None:
        close()
