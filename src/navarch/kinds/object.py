"""One object at one revision, as caches and clients hand it around: bytes, index fields and a view made when asked for.

In one process the API server's watch cache and every informer share the same `Object`, so an object is encoded once
and decoded at most once for each revision, however many readers it has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from sys import intern
from typing import Any, ClassVar, NamedTuple, cast
from weakref import ReferenceType, ref

import msgspec
import orjson

from navarch.kinds.envelope import Envelope
from navarch.kinds.kind import Kind
from navarch.kinds.view import OwnerReference, View
from navarch.objects.value import Document

_NO_LABELS: dict[str, str] = {}

VIEWS_KEPT = 8192
"""Of each type of view: one takes twice the room of the bytes that it was made from, and is made again in a moment."""
SHARED = 8192


class _Owned(NamedTuple):
    """uids: of all owners. controller: the one that manages the object."""

    uids: tuple[str, ...]
    references: tuple[OwnerReference, ...]
    controller: OwnerReference | None


_UNOWNED = _Owned((), (), None)


class _Shared:
    """Equal labels, owners, finalizers and glances of all objects are one: most objects are one of many that were made
    alike."""

    def __init__(self) -> None:
        self._labels: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
        self._owners: dict[tuple[OwnerReference, ...], _Owned] = {}
        self._others: dict[Hashable, Hashable] = {}

    def labels(self, found: dict[str, str]) -> dict[str, str]:
        key = tuple(found.items())
        known = self._labels.get(key)
        if known is None:
            if len(self._labels) >= SHARED:
                self._labels.clear()
            known = self._labels[key] = found
        return known

    def owners(self, found: tuple[OwnerReference, ...]) -> _Owned:
        known = self._owners.get(found)
        if known is None:
            if len(self._owners) >= SHARED:
                self._owners.clear()
            controller = next((owner for owner in found if owner.controller), None)
            known = self._owners[found] = _Owned(tuple([owner.uid for owner in found]), found, controller)
        return known

    def same(self, found: Hashable) -> Any:
        """A value equal to `found`."""
        known = self._others.get(found)
        if known is None:
            if len(self._others) >= SHARED:
                self._others.clear()
            known = self._others[found] = found
        return known


_shared = _Shared()


class Object:
    """Treat as frozen. raw: the JSON document with its resourceVersion. labels: never change the mapping. owners: their
    uids; controller: the one that manages it. terminating: it was told to go. glance: what the kind's envelope tells of
    it besides. packed: the same as protobuf, where the API server has been asked for it and holds it still."""

    __slots__ = (
        "__weakref__",
        "_owned",
        "_view",
        "finalizers",
        "glance",
        "kind",
        "labels",
        "name",
        "namespace",
        "packed",
        "raw",
        "revision",
        "terminating",
        "uid",
    )

    _envelopes: ClassVar[dict[type[Envelope], Any]] = {}
    _decoders: ClassVar[dict[type[View], Any]] = {}
    _viewed: ClassVar[dict[type[View], deque[ReferenceType[Object]]]] = {}

    def __init__(self, kind: Kind, raw: bytes) -> None:
        decoder = self._envelopes.get(kind.envelope)
        if decoder is None:
            decoder = self._envelopes[kind.envelope] = msgspec.json.Decoder(kind.envelope)
        envelope: Envelope = decoder.decode(raw)
        meta = envelope.metadata
        self.kind = kind
        self.raw = raw
        self.namespace = intern(meta.namespace)
        self.name = meta.name
        self.uid = meta.uid
        self.revision = int(meta.resource_version or 0)
        self.labels = _shared.labels(meta.labels) if meta.labels else _NO_LABELS
        self._owned = _shared.owners(meta.owner_references) if meta.owner_references else _UNOWNED
        self.finalizers: tuple[str, ...] = _shared.same(meta.finalizers) if meta.finalizers else ()
        self.terminating = meta.deletion_timestamp is not None
        glance = envelope.glance()
        self.glance: Any = None if glance is None else _shared.same(glance)
        self.packed: bytes | None = None
        self._view: View | None = None

    @classmethod
    def of(cls, kind: Kind, document: Document) -> Object:
        """From a document; for tests and for clients that were sent parsed JSON."""
        return cls(kind, orjson.dumps(document))

    @property
    def owners(self) -> tuple[str, ...]:
        return self._owned.uids

    @property
    def references(self) -> tuple[OwnerReference, ...]:
        """To its owners."""
        return self._owned.references

    @property
    def controller(self) -> OwnerReference | None:
        return self._owned.controller

    @property
    def view(self) -> Any:
        """The kind's typed view, decoded on first use and kept, until many others of its type have been used.

        Raises:
            msgspec.ValidationError: a field that the view names has another type (the server admits no such object).
        """
        if self._view is None:
            self._view = self.as_view(self.kind.view)
            self._keep()
        return self._view

    def _keep(self) -> None:
        viewed = self._viewed.get(self.kind.view)
        if viewed is None:
            viewed = self._viewed[self.kind.view] = deque()
        viewed.append(ref(self))
        if len(viewed) > VIEWS_KEPT and (oldest := viewed.popleft()()) is not None:
            oldest.forget_view()

    def forget_view(self) -> None:
        """Give its memory back; whoever asks for the view after all gets an equal one."""
        self._view = None

    def as_view(self, view: type[View]) -> Any:
        """Another view of the same bytes, decoded afresh."""
        decoder = self._decoders.get(view)
        if decoder is None:
            decoder = self._decoders[view] = msgspec.json.Decoder(view)
        return decoder.decode(self.raw)

    def document(self) -> Document:
        """A fresh parsed copy, the caller's own to change."""
        return cast(Document, orjson.loads(self.raw))

    @property
    def key(self) -> tuple[str, str]:
        return (self.namespace, self.name)

    def __repr__(self) -> str:
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"<{self.kind.name} {where} @{self.revision}>"
