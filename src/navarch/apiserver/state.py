"""What the verbs stand on: the store, the caches that follow it, time and ids; reading and writing one object.

Everything above this module deals in kinds and documents, everything below in keys and bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from navarch.apiserver import keys, refusals, stored
from navarch.apiserver.aside import Aside
from navarch.apiserver.bookmarks import Bookmarks
from navarch.apiserver.call import POLICIES
from navarch.apiserver.conversion import Conversions
from navarch.apiserver.definitions import Definitions
from navarch.apiserver.feed import Feed
from navarch.apiserver.packed import Packed
from navarch.apiserver.resolving import Reach
from navarch.apiserver.selection import Selection
from navarch.apiserver.store_counts import StoreCounts
from navarch.apiserver.turns import Turns
from navarch.apiserver.watchcache import WatchCache
from navarch.base.clock import Clock, Ids
from navarch.base.metrics import Registry
from navarch.kinds import CUSTOMRESOURCEDEFINITION, NAMESPACE
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.registry import Kinds, LiveKinds
from navarch.objects.value import Document
from navarch.store.store import Change, Guard, Store, fence

Listener = Callable[[Kind, Change], None]


def home(kind: Kind) -> Kind:
    """The kind as which objects are stored: another one for kinds that are a second face of it."""
    return kind.stored_as or kind


def face(kind: Kind, found: Object) -> Object:
    """A stored object as `kind` shows it: one that is no second face is from before its definition changed."""
    if found.kind is kind or kind.conversion is not None:  # those are made by `Conversions`
        return found
    document = found.document()
    shown = {**document, "apiVersion": kind.api_version} if kind.from_stored is None else kind.from_stored(document)
    value = stored.encode(kind, shown)
    return Object(kind, stored.splice(kind, value, found.revision))


def faces(kind: Kind, found: Sequence[Object]) -> Sequence[Object]:
    """Stored objects as `kind` shows them."""
    return found if kind.stored_as is None else [face(kind, one) for one in found]


class State:
    """Implements `call.Reads`.

    listeners: called with each change of the store, after the caches have it. loaded: called whenever everything was
    read anew. Both synchronously, in the feed's order.
    """

    def __init__(
        self,
        store: Store,
        kinds: Kinds,
        clock: Clock,
        ids: Ids,
        *,
        simulated: bool = False,
        metrics: Registry | None = None,
    ) -> None:
        self.store = store
        self._counts = StoreCounts(metrics or Registry(), clock)
        self.kinds = LiveKinds(kinds)
        self.clock = clock
        self.ids = ids
        self.turns = Turns()
        self.aside = Aside(inline=simulated)
        self.packed = Packed()
        self.reach = Reach(self, ids, simulated)
        self.conversions = Conversions(self.reach, ids)
        self.listeners: list[Listener] = []
        self.loaded: list[Callable[[], None]] = []
        self.policies = 0
        self.bookmarks = Bookmarks()
        self._caches = {keys.prefix(kind): WatchCache(kind) for kind in kinds.stored()}
        self.definitions = Definitions(self.kinds, self._caches, lambda: self.feed)
        self.feed: Feed = Feed(
            store,
            list(self._caches.values()),
            self._tell,
            self._tell_loaded,
            keys.prefix(CUSTOMRESOURCEDEFINITION),
            self.definitions.refresh,
            self.bookmarks.moved,
        )

    def _tell(self, kind: Kind, change: Change) -> None:
        if kind is CUSTOMRESOURCEDEFINITION:
            self.definitions.refresh()
        elif kind in POLICIES:
            self.policies += 1
        for listener in self.listeners:
            listener(kind, change)

    def _tell_loaded(self) -> None:
        self.policies += 1
        for listener in self.loaded:
            listener()

    def cache(self, kind: Kind) -> WatchCache:
        """Raises: NotFound, for kinds that are not stored."""
        found = self._caches.get(keys.prefix(home(kind)))
        if found is None:
            raise refusals.no_such_path()
        return found

    def caches(self) -> Iterator[WatchCache]:
        return iter(self._caches.values())

    # Reads: what the caches have now.

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        found = self.cache(kind).get(keys.place(namespace, name))
        return None if found is None else face(kind, found)

    def list(self, kind: Kind, namespace: str = "") -> Sequence[Object]:
        cache = self.cache(kind)
        if not len(cache):
            return ()
        return faces(kind, cache.within(namespace) if namespace else cache.all())

    def where(self, kind: Kind, *, labels: str = "", fields: str = "") -> Sequence[Object]:
        cache = self.cache(kind)
        return faces(kind, cache.select(Selection(cache.kind, "", labels, fields)))

    def count(self, kind: Kind, namespace: str = "") -> int:
        """How many objects there are, 0 for kinds that are not stored."""
        cache = self._caches.get(keys.prefix(home(kind)))
        return 0 if cache is None else cache.count(namespace)

    def version(self, kind: Kind) -> int:
        return self.cache(kind).version

    # Writes: durable, and seen by every cache, when they return.

    def guards(self, namespace: str, fences: Iterable[str], at: int) -> Sequence[Guard]:
        """What must still be so when the write is made, where other servers write too. at: the feed's revision before
        the write was decided. namespace: of a new object, "" for none: it must not have been marked for deletion since.
        fences: names of decisions that the writers of all servers take one after another."""
        if not self.store.shared:
            return ()
        found = [Guard(fence(name), at, passes=True) for name in sorted(fences)]
        if namespace:
            found.append(Guard(keys.prefix(NAMESPACE) + namespace, at))
        return found

    async def put(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        document: Document,
        expect: int,
        guards: Sequence[Guard] = (),
    ) -> Object:
        """kind: the one as which it is stored. expect: the revision of what is there, 0 for nothing.

        Raises: store.Stale; store.Overtaken; TooLarge; ConversionFailed, where the document is of another version and
        nobody converts it.
        """
        value = await self.encoded(kind, document)
        return await self.put_value(kind, namespace, name, value, expect, guards)

    async def encoded(self, kind: Kind, document: Document) -> bytes:
        """The value to store for the document. Raises: TooLarge, ConversionFailed, as `put`."""
        if kind.conversion is not None:
            document = await self.conversions.document(kind, document)
        value = stored.encode(kind, document)
        if len(value) > stored.MOST_BYTES:
            refusals.check_size(value)
        return value

    async def put_value(
        self, kind: Kind, namespace: str, name: str, value: bytes, expect: int, guards: Sequence[Guard] = ()
    ) -> Object:
        """`put`, of what is encoded already."""
        place = keys.place(namespace, name)
        asking = self.store.put(keys.prefix(kind) + place, value, expect, guards)
        revision = await self._counts.timed("update" if expect else "create", kind, asking)
        await self.feed.reached(revision)
        present = self.cache(kind).get(place)
        if present is None or present.revision != revision:  # somebody was faster to write again
            present = stored.restore(kind, value, revision)
        return present

    async def remove(self, last: Object) -> int:
        """Delete the object, which must still be as `last` is, and return the revision of that.

        Raises: store.Stale.
        """
        place = keys.place(last.namespace, last.name)
        asking = self.store.delete(keys.prefix(last.kind) + place, last.revision)
        revision = await self._counts.timed("delete", last.kind, asking)
        await self.feed.reached(revision)
        return revision
