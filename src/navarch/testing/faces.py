"""The cluster's client for other threads: `Blocking` for plain code, `Awaited` for another event loop.

The cluster has a loop of its own in a thread of its own; what is asked here is done there. Kinds may be given as users
type them (`"pods"`, `"deploy"`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from navarch.client.client import Client, ObjectList, PatchType, Propagation, WatchEvent
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.registry import Kinds
from navarch.objects.value import Document
from navarch.testing.manifests import kind_named

Result = TypeVar("Result")
AnyKind = Kind | str


class Bridge(Protocol):
    """How work gets onto the cluster's loop."""

    def call(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do it there and wait for it here, blocking."""
        ...

    async def ask(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do it there and wait for it on the caller's own loop."""
        ...


class Blocking:
    """`client.Client` with plain functions. Errors are those of `base.errors`."""

    def __init__(self, bridge: Bridge, client: Client, kinds: Kinds) -> None:
        self._bridge = bridge
        self._client = client
        self._kinds = kinds

    def _kind(self, kind: AnyKind) -> Kind:
        return kind if isinstance(kind, Kind) else kind_named(self._kinds, kind)

    def get(self, kind: AnyKind, namespace: str, name: str) -> Object:
        return self._bridge.call(self._client.get(self._kind(kind), namespace, name))

    def list(
        self,
        kind: AnyKind,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        limit: int = 0,
        cont: str = "",
        revision: str | None = None,
    ) -> ObjectList:
        asked = self._client.list(
            self._kind(kind), namespace, labels=labels, fields=fields, limit=limit, cont=cont, revision=revision
        )
        return self._bridge.call(asked)

    def watch(
        self, kind: AnyKind, namespace: str = "", *, since: int, labels: str = "", fields: str = ""
    ) -> Iterator[Sequence[WatchEvent]]:
        """Close it (or leave the loop over it) to end the watch."""
        batches = self._client.watch(self._kind(kind), namespace, since=since, labels=labels, fields=fields)
        try:
            while (batch := self._bridge.call(_next(batches))) is not None:
                yield batch
        finally:
            self._bridge.call(_close(batches))

    def create(
        self, kind: AnyKind, document: Document, *, subresource: str = "", manager: str = "", dry_run: bool = False
    ) -> Object:
        return self._bridge.call(
            self._client.create(self._kind(kind), document, subresource=subresource, manager=manager, dry_run=dry_run)
        )

    def update(
        self, kind: AnyKind, document: Document, *, subresource: str = "", manager: str = "", dry_run: bool = False
    ) -> Object:
        return self._bridge.call(
            self._client.update(self._kind(kind), document, subresource=subresource, manager=manager, dry_run=dry_run)
        )

    def patch(
        self,
        kind: AnyKind,
        namespace: str,
        name: str,
        patch: Document | Sequence[Document],
        *,
        type: PatchType = "merge",
        subresource: str = "",
        manager: str = "",
        dry_run: bool = False,
    ) -> Object:
        return self._bridge.call(
            self._client.patch(
                self._kind(kind),
                namespace,
                name,
                patch,
                type=type,
                subresource=subresource,
                manager=manager,
                dry_run=dry_run,
            )
        )

    def apply(
        self, kind: AnyKind, document: Document, *, manager: str, force: bool = False, subresource: str = ""
    ) -> Object:
        return self._bridge.call(
            self._client.apply(self._kind(kind), document, manager=manager, force=force, subresource=subresource)
        )

    def delete(
        self,
        kind: AnyKind,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        revision: int = 0,
        grace_s: int | None = None,
        propagation: Propagation | None = None,
        dry_run: bool = False,
    ) -> Object | None:
        return self._bridge.call(
            self._client.delete(
                self._kind(kind),
                namespace,
                name,
                uid=uid,
                revision=revision,
                grace_s=grace_s,
                propagation=propagation,
                dry_run=dry_run,
            )
        )

    def post(self, kind: AnyKind, namespace: str, name: str, subresource: str, document: Document) -> Document:
        return self._bridge.call(self._client.post(self._kind(kind), namespace, name, subresource, document))

    def raw(self, method: str, path: str, body: Any = None) -> bytes:
        return self._bridge.call(self._client.raw(method, path, body))


class Awaited:
    """`client.Client`, awaited from a loop that is not the cluster's."""

    def __init__(self, bridge: Bridge, client: Client, kinds: Kinds) -> None:
        self._bridge = bridge
        self._client = client
        self._kinds = kinds

    def _kind(self, kind: AnyKind) -> Kind:
        return kind if isinstance(kind, Kind) else kind_named(self._kinds, kind)

    async def get(self, kind: AnyKind, namespace: str, name: str) -> Object:
        return await self._bridge.ask(self._client.get(self._kind(kind), namespace, name))

    async def list(
        self,
        kind: AnyKind,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        limit: int = 0,
        cont: str = "",
        revision: str | None = None,
    ) -> ObjectList:
        asked = self._client.list(
            self._kind(kind), namespace, labels=labels, fields=fields, limit=limit, cont=cont, revision=revision
        )
        return await self._bridge.ask(asked)

    async def watch(
        self, kind: AnyKind, namespace: str = "", *, since: int, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Sequence[WatchEvent]]:
        batches = self._client.watch(self._kind(kind), namespace, since=since, labels=labels, fields=fields)
        try:
            while (batch := await self._bridge.ask(_next(batches))) is not None:
                yield batch
        finally:
            await self._bridge.ask(_close(batches))

    async def create(
        self, kind: AnyKind, document: Document, *, subresource: str = "", manager: str = "", dry_run: bool = False
    ) -> Object:
        return await self._bridge.ask(
            self._client.create(self._kind(kind), document, subresource=subresource, manager=manager, dry_run=dry_run)
        )

    async def update(
        self, kind: AnyKind, document: Document, *, subresource: str = "", manager: str = "", dry_run: bool = False
    ) -> Object:
        return await self._bridge.ask(
            self._client.update(self._kind(kind), document, subresource=subresource, manager=manager, dry_run=dry_run)
        )

    async def patch(
        self,
        kind: AnyKind,
        namespace: str,
        name: str,
        patch: Document | Sequence[Document],
        *,
        type: PatchType = "merge",
        subresource: str = "",
        manager: str = "",
        dry_run: bool = False,
    ) -> Object:
        return await self._bridge.ask(
            self._client.patch(
                self._kind(kind),
                namespace,
                name,
                patch,
                type=type,
                subresource=subresource,
                manager=manager,
                dry_run=dry_run,
            )
        )

    async def apply(
        self, kind: AnyKind, document: Document, *, manager: str, force: bool = False, subresource: str = ""
    ) -> Object:
        return await self._bridge.ask(
            self._client.apply(self._kind(kind), document, manager=manager, force=force, subresource=subresource)
        )

    async def delete(
        self,
        kind: AnyKind,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        revision: int = 0,
        grace_s: int | None = None,
        propagation: Propagation | None = None,
        dry_run: bool = False,
    ) -> Object | None:
        return await self._bridge.ask(
            self._client.delete(
                self._kind(kind),
                namespace,
                name,
                uid=uid,
                revision=revision,
                grace_s=grace_s,
                propagation=propagation,
                dry_run=dry_run,
            )
        )

    async def post(self, kind: AnyKind, namespace: str, name: str, subresource: str, document: Document) -> Document:
        return await self._bridge.ask(self._client.post(self._kind(kind), namespace, name, subresource, document))

    async def raw(self, method: str, path: str, body: Any = None) -> bytes:
        return await self._bridge.ask(self._client.raw(method, path, body))


async def _next(batches: AsyncIterator[Sequence[WatchEvent]]) -> Sequence[WatchEvent] | None:
    try:
        return await anext(batches)
    except StopAsyncIteration:
        return None


async def _close(batches: AsyncIterator[Sequence[WatchEvent]]) -> None:
    close = getattr(batches, "aclose", None)
    if close is not None:
        await close()
