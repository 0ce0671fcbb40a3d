"""What goes wrong in a simulation, as a short list of values, and the client through which organs are made to feel it.

Everything random is drawn from the simulation's own ids, so that a seed says all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from navarch.base.clock import Clock, Ids
from navarch.base.errors import Expired, Retryable, Unavailable
from navarch.client.client import Client, ObjectList, PatchType, Propagation, WatchEvent
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.objects.value import Document

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class NodeLoss:
    """A node loses its power for a while."""

    at_s: float
    node: str
    for_s: float


@dataclass(frozen=True, slots=True)
class ApiErrors:
    """For a while a share of all requests fails: before anything is done, or (lost_replies) after it was done."""

    at_s: float
    for_s: float
    share: float
    lost_replies: bool = False


@dataclass(frozen=True, slots=True)
class LostWatches:
    """All watches end at once; expired: they cannot be taken up again where they ended."""

    at_s: float
    expired: bool = False


@dataclass(frozen=True, slots=True)
class SlowWatches:
    """For a while watches deliver late."""

    at_s: float
    for_s: float
    delay_s: float


@dataclass(frozen=True, slots=True)
class Crash:
    """An organ dies right after its next `writes` writes, and is started afresh."""

    at_s: float
    organ: str
    writes: int = 1


Fault = NodeLoss | ApiErrors | LostWatches | SlowWatches | Crash


@dataclass(slots=True)
class Weather:
    """The faults in force. epoch: goes up whenever all watches are to end."""

    share: float = 0.0
    lost_replies: bool = False
    delay_s: float = 0.0
    epoch: int = 0
    expired: bool = False
    crashing: dict[str, int] = field(default_factory=dict)
    """organ -> writes left."""


class FaultyClient:
    """`client.Client` for one organ, in that weather. crashed: called when the organ is to die."""

    def __init__(
        self, inner: Client, weather: Weather, ids: Ids, clock: Clock, organ: str, crashed: Callable[[], None]
    ) -> None:
        self._inner = inner
        self._weather = weather
        self._ids = ids
        self._clock = clock
        self._organ = organ
        self._crashed = crashed

    def _struck(self) -> bool:
        return self._weather.share > 0 and self._ids.fraction() < self._weather.share

    async def _read(self, asked: Awaitable[Result]) -> Result:
        if self._struck():
            _close(asked)
            raise Unavailable("simulated: the server is not there")
        return await asked

    async def _write(self, asked: Awaitable[Result]) -> Result:
        struck = self._struck()
        if struck and not self._weather.lost_replies:
            _close(asked)
            raise Unavailable("simulated: the server is not there")
        done = await asked
        left = self._weather.crashing.get(self._organ)
        if left is not None:
            self._weather.crashing[self._organ] = left - 1
            if left <= 1:
                del self._weather.crashing[self._organ]
                self._crashed()
        if struck:
            raise Retryable("simulated: the reply was lost")
        return done

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
        asked = self._inner.list(
            kind, namespace, labels=labels, fields=fields, limit=limit, cont=cont, revision=revision
        )
        return await self._read(asked)

    async def watch(
        self, kind: Kind, namespace: str = "", *, since: int, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Sequence[WatchEvent]]:
        weather = self._weather
        epoch = weather.epoch
        if self._struck():
            raise Retryable("simulated: the server is not there")
        batches = self._inner.watch(kind, namespace, since=since, labels=labels, fields=fields)
        try:
            async for batch in batches:
                if weather.delay_s:
                    await self._clock.sleep(weather.delay_s * self._ids.fraction())
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
        return await self._write(
            self._inner.create(kind, document, subresource=subresource, manager=manager, dry_run=dry_run)
        )

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
        return await self._write(asked)

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


def drawn(ids: Ids, nodes: Sequence[str], organs: Sequence[str], length_s: float, number: int) -> tuple[Fault, ...]:
    """So many faults, by chance, over the first `length_s` seconds, in order of time."""

    def some(low: float, high: float) -> float:
        return low + (high - low) * ids.fraction()

    def one(names: Sequence[str]) -> str:
        return names[int(ids.fraction() * len(names))]

    made: list[Fault] = []
    for _ in range(number):
        at_s = some(0.0, length_s)
        match int(ids.fraction() * 5):
            case 0:
                made.append(NodeLoss(at_s, one(nodes), some(5.0, 120.0)))
            case 1:
                made.append(ApiErrors(at_s, some(1.0, 20.0), some(0.05, 0.5), ids.fraction() < 0.5))
            case 2:
                made.append(LostWatches(at_s, ids.fraction() < 0.5))
            case 3:
                made.append(SlowWatches(at_s, some(1.0, 20.0), some(0.01, 2.0)))
            case _:
                made.append(Crash(at_s, one(organs), 1 + int(ids.fraction() * 3)))
    return tuple(sorted(made, key=lambda fault: fault.at_s))
