"""Carries the store's changes into the watch caches, in revision order, and lets readers wait for a revision.

One task reads the store for all kinds, so that a revision reached here is reached for every one of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count

from navarch.apiserver import keys
from navarch.apiserver.watchcache import WatchCache
from navarch.base.errors import Expired, GatewayTimeout, Unavailable
from navarch.base.log import Log
from navarch.kinds.kind import Kind
from navarch.store.store import Change, Listing, Row, Store

log = Log("apiserver.feed")

RETRY_S = 0.5
"""Between tries to read everything anew while the store cannot be reached."""
Told = Callable[[Kind, Change], None]


class Feed:
    """told: called with each change after its cache has it (allocators and timers listen here). loaded: called after
    everything was read anew."""

    def __init__(
        self,
        store: Store,
        caches: Sequence[WatchCache],
        told: Told,
        loaded: Callable[[], None],
        first: str = "",
        known: Callable[[], None] | None = None,
        moved: Callable[[], None] | None = None,
    ) -> None:
        """first: the prefix of the kind that says which others there are; `known` is called when it has been read, to
        `add` their caches. moved: called whenever `revision` has gone on."""
        self._store = store
        self._shared = store.shared
        self._caches = {keys.prefix(cache.kind): cache for cache in caches}
        self._told = told
        self._loaded = loaded
        self._first = first
        self._known = known
        self._moved = moved
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        """A heap, by the revision that is waited for, then by who came first."""
        self._numbers = count()
        self._failed = False
        self.revision = 0

    async def load(self) -> None:
        """Everything that is stored, as of one moment."""
        listing = await self._store.list("/")
        self._fill(listing)
        self._loaded()
        self._reached(listing.revision)

    async def run(self) -> None:
        """Until the store closes. Starts over where the store no longer knows what came between."""
        try:
            while not await self._follow():
                await self._load_anew()
        finally:
            self.close()

    async def _follow(self) -> bool:
        """Whether the store's changes came to their end; if not, the caches must be loaded anew."""
        try:
            async for batch in self._store.watch(self.revision):
                for change in batch:
                    self._apply(change)
                self._reached(batch[-1].revision)
        except Expired as expired:
            log.warning("the watch caches are loaded anew", why=expired.message)
            return False
        return True

    async def _load_anew(self) -> None:
        """However long the store cannot be reached; whoever asks for what is newest waits meanwhile."""
        while True:
            try:
                return await self.load()
            except (Unavailable, GatewayTimeout) as away:
                log.warning("the watch caches cannot be loaded now", why=away.message)
            await asyncio.sleep(RETRY_S)

    def close(self) -> None:
        self._failed = True
        for _, _, waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(Unavailable("the store is closed"))
        self._waiting.clear()
        for cache in self._caches.values():
            cache.close()

    async def fresh(self) -> None:
        """Returns when the caches hold everything that was acknowledged before the call, by whichever server.

        Raises: Unavailable, when a store that others write to cannot say how new it is.
        """
        due = await self._store.newest() if self._shared else self._store.revision
        if self.revision < due:
            await self.reached(due)

    async def reached(self, revision: int) -> None:
        """Returns when the caches hold everything up to `revision`.

        Raises: Unavailable, when the store closes first.
        """
        if self.revision >= revision:
            return
        if self._failed:
            raise Unavailable("the store is closed")
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (revision, next(self._numbers), waiting))
        await waiting

    def _reached(self, revision: int) -> None:
        self.revision = max(self.revision, revision)
        if self._moved is not None:
            self._moved()
        while self._waiting and self._waiting[0][0] <= self.revision:
            _, _, waiting = heappop(self._waiting)
            if not waiting.done():
                waiting.set_result(None)

    def _apply(self, change: Change) -> None:
        prefix, place = keys.split(change.key)
        cache = self._caches.get(prefix)
        if cache is None:
            return
        cache.apply(change.revision, place, change.value)
        self._told(cache.kind, change)

    def add(self, cache: WatchCache) -> None:
        """Follow one more kind from now on; the cache has what there was before."""
        self._caches[keys.prefix(cache.kind)] = cache

    def remove(self, prefix: str) -> None:
        """Follow it no longer, and end its watches."""
        cache = self._caches.pop(prefix, None)
        if cache is not None:
            cache.close()

    def _fill(self, listing: Listing) -> None:
        rows: dict[str, list[Row]] = {}
        for row in listing.rows:
            rows.setdefault(keys.split(row.key)[0], []).append(row)
        if self._known is not None and self._first in self._caches:
            self._caches[self._first].load(rows.pop(self._first, ()), listing.revision)
            self._known()
        for prefix, cache in self._caches.items():
            if self._known is None or prefix != self._first:
                cache.load(rows.get(prefix, ()), listing.revision)
