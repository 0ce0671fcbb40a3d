"""One object at one revision, as caches and clients hand it around: bytes, index fields and a view made when asked for.

In one process the API server's watch cache and every informer share the same `Object`, so an object is encoded once
and decoded at most once for each revision, however many readers it has.
"""

from __future__ import annotations

from collections import deque
from sys import intern
from typing import Any, ClassVar, cast
from weakref import ReferenceType, ref

import msgspec
import orjson

from navarch.kinds.kind import Kind
from navarch.kinds.view import OwnerReference, View
from navarch.objects.value import Document


class _Meta(msgspec.Struct, rename="camel", gc=False):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = "0"
    labels: dict[str, str] | None = None
    owner_references: tuple[OwnerReference, ...] = ()


class _Envelope(msgspec.Struct, gc=False):
    metadata: _Meta = msgspec.field(default_factory=_Meta)


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_NO_LABELS: dict[str, str] = {}

VIEWS_KEPT = 8192
"""Of each type of view: one takes twice the room of the bytes that it was made from, and is made again in a moment."""
SHARED = 8192


class _Shared:
    """Equal labels, and equal owners, of all objects are one: most objects are one of many that were made alike."""

    def __init__(self) -> None:
        self._labels: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
        self._owners: dict[tuple[str, ...], tuple[str, ...]] = {}

    def labels(self, found: dict[str, str]) -> dict[str, str]:
        key = tuple(found.items())
        known = self._labels.get(key)
        if known is None:
            if len(self._labels) >= SHARED:
                self._labels.clear()
            known = self._labels[key] = found
        return known

    def owners(self, found: tuple[str, ...]) -> tuple[str, ...]:
        known = self._owners.get(found)
        if known is None:
            if len(self._owners) >= SHARED:
                self._owners.clear()
            known = self._owners[found] = found
        return known


_shared = _Shared()


class Object:
    """Treat as frozen. raw: the JSON document with its resourceVersion. labels: never change the mapping. packed: the
    same as protobuf, where the API server has been asked for it and holds it still."""

    __slots__ = (
        "__weakref__",
        "_view",
        "kind",
        "labels",
        "name",
        "namespace",
        "owners",
        "packed",
        "raw",
        "revision",
        "uid",
    )

    _decoders: ClassVar[dict[type[View], Any]] = {}
    _viewed: ClassVar[dict[type[View], deque[ReferenceType[Object]]]] = {}

    def __init__(self, kind: Kind, raw: bytes) -> None:
        meta = _decode_envelope(raw).metadata
        self.kind = kind
        self.raw = raw
        self.namespace = intern(meta.namespace)
        self.name = meta.name
        self.uid = meta.uid
        self.revision = int(meta.resource_version or 0)
        self.labels = _shared.labels(meta.labels) if meta.labels else _NO_LABELS
        owners = meta.owner_references
        self.owners = _shared.owners(tuple([owner.uid for owner in owners])) if owners else ()
        self.packed: bytes | None = None
        self._view: View | None = None

    @classmethod
    def of(cls, kind: Kind, document: Document) -> Object:
        """From a document; for tests and for clients that were sent parsed JSON."""
        return cls(kind, orjson.dumps(document))

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
