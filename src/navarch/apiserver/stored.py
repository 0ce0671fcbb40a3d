"""The bytes that are stored, and how a revision gets into them.

A stored value is the JSON document without its resourceVersion (the store alone knows it when the write commits). It
always starts `{"apiVersion":…,"kind":…,"metadata":{`, so that the revision is put in at a place known from the kind,
without parsing.
"""

from __future__ import annotations

from functools import lru_cache

import orjson

from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.objects.value import Document

MOST_BYTES = 3 << 19
"""Of a stored value: 1.5 MiB, which is what etcd takes unless it is told otherwise (`--max-request-bytes`)."""


@lru_cache(maxsize=1024)
def head_length(kind: Kind) -> int:
    """How long the constant start of the kind's documents is, in bytes."""
    return len(orjson.dumps({"apiVersion": kind.api_version, "kind": kind.name, "metadata": {}})) - 2


def encode(kind: Kind, document: Document) -> bytes:
    """The value to store for `document`, whose metadata must hold more than a resourceVersion."""
    metadata = document["metadata"]
    if "resourceVersion" in metadata:
        metadata = {name: value for name, value in metadata.items() if name != "resourceVersion"}
    ordered: Document = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}
    for name, value in document.items():
        if name not in ordered:
            ordered[name] = value
    return orjson.dumps(ordered)


def splice(kind: Kind, value: bytes, revision: int) -> bytes:
    """The document as it is served: `value` with its resourceVersion."""
    at = head_length(kind)
    return b'%b"resourceVersion":"%d",%b' % (value[:at], revision, value[at:])


def restore(kind: Kind, value: bytes, revision: int) -> Object:
    """The object that a store's row is, as the kind shows it now; in the version in which it was written, where others
    are not made here."""
    if kind.conversion is not None:
        kind = kind.conversion.face_of(kind, value)
    if kind.revive is not None:
        revived = kind.revive(value)
        if revived is not value:
            return Revived(kind, splice(kind, revived, revision), value)
    return Object(kind, splice(kind, value, revision))


class Revived(Object):
    """One that is shown otherwise than it is stored. value: as it is stored."""

    __slots__ = ("value",)

    def __init__(self, kind: Kind, raw: bytes, value: bytes) -> None:
        super().__init__(kind, raw)
        self.value = value


def value_of(found: Object) -> bytes:
    """What is stored for an object that `restore` made."""
    return found.value if isinstance(found, Revived) else unspliced(found.kind, found.raw)


def unspliced(kind: Kind, raw: bytes) -> bytes:
    """The inverse of `splice`: what is stored for a served document."""
    at = head_length(kind)
    return raw[:at] + raw[raw.index(b",", at) + 1 :]
