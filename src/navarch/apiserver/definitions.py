"""Which kinds there are besides those built in: follows the definitions of custom resources, at the feed's pace.

When a write of a definition has returned, what it says is served: kinds, caches, discovery. A definition whose
schemas changed gets a new cache, filled from the old one, and its watches end, to be begun again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import orjson

from navarch.apiserver import keys, stored
from navarch.apiserver.watchcache import WatchCache
from navarch.base.log import Log
from navarch.kinds import CUSTOMRESOURCEDEFINITION
from navarch.kinds.custom import Custom, custom, priority
from navarch.kinds.customresourcedefinition import established
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.registry import LiveKinds
from navarch.store.store import Row

log = Log("apiserver.definitions")


class Following(Protocol):
    """What is needed of the feed."""

    revision: int

    def add(self, cache: WatchCache) -> None: ...

    def remove(self, prefix: str) -> None: ...


class Definitions:
    """caches: by the prefix of their keys; those of custom resources are put in and taken out here."""

    def __init__(self, kinds: LiveKinds, caches: dict[str, WatchCache], feed: Callable[[], Following]) -> None:
        self._kinds = kinds
        self._caches = caches
        self._feed = feed
        self._made: dict[str, _Made] = {}
        """By the definition's name."""

    def kind(self, name: str) -> Kind | None:
        """As which the objects of a definition are stored, by the definition's name."""
        made = self._made.get(name)
        return made.custom.stored if made is not None and made.custom is not None else None

    def ending(self, kind: Kind) -> bool:
        """Whether the definition of a kind is being deleted."""
        made = self._made.get(kind.resource)
        return made is not None and made.ending

    def refresh(self) -> None:
        """Read the definitions as they are now; nothing happens where nothing that matters changed."""
        cache = self._caches.get(keys.prefix(CUSTOMRESOURCEDEFINITION))
        present = {found.name: _made(found, self._made.get(found.name)) for found in (cache.all() if cache else ())}
        before = {name: made.custom for name, made in self._made.items() if made.custom is not None}
        after = {name: made.custom for name, made in present.items() if made.custom is not None}
        self._made = present
        if before == after:
            return
        for name, was in before.items():
            if name not in after:
                self._drop(keys.prefix(was.stored))
        for name, now in after.items():
            if before.get(name) is not now:
                self._put(now)
        served = [kind for one in after.values() for kind in one.served]
        served.sort(key=lambda kind: (kind.group, priority(kind.version), kind.plural))
        self._kinds.swap(served)

    def _drop(self, prefix: str) -> None:
        del self._caches[prefix]
        self._feed().remove(prefix)

    def _put(self, now: Custom) -> None:
        prefix, feed = keys.prefix(now.stored), self._feed()
        before = self._caches.get(prefix)
        fresh = WatchCache(now.stored)
        rows = [] if before is None else [_row(prefix, one) for one in before.all()]
        fresh.load(rows, feed.revision)
        if before is not None:
            feed.remove(prefix)
        self._caches[prefix] = fresh
        feed.add(fresh)


def _row(prefix: str, found: Object) -> Row:
    """As it is stored, which may be otherwise than the schema until now showed it."""
    return Row(prefix + keys.place(found.namespace, found.name), stored.value_of(found), found.revision, 0)


@dataclass(frozen=True, slots=True)
class _Made:
    """What a definition was at one revision. says: the part of it that its kinds are made of."""

    revision: int
    says: bytes = b""
    custom: Custom | None = None
    ending: bool = False


def _made(found: Object, known: _Made | None) -> _Made:
    """Its kinds are the same values as before where what it says is the same; none before it is established."""
    if known is not None and known.revision == found.revision:
        return known
    document = found.document()
    ending = "deletionTimestamp" in document["metadata"]
    if not established(document):
        return _Made(found.revision, ending=ending)
    says = orjson.dumps([document["spec"], document["status"].get("acceptedNames")])
    if known is not None and known.says == says:
        return replace(known, revision=found.revision, ending=ending)
    try:
        made = custom(document)
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        log.exception("a stored definition cannot be served", name=found.name, error=repr(fault))
        made = None
    return _Made(found.revision, says, made, ending)
