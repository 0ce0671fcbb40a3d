"""Field ownership on the way of a write: who is recorded in `managedFields`, and what an applied document comes to.

The algorithm is `objects.apply`'s; here is under which manager, version and subresource a request counts, which fields
a request to that (sub)resource cannot change and therefore not own, and how a document is told in another version that
somebody wrote in.

Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache, partial
from typing import TypeVar

import orjson

from navarch.apiserver import metadata
from navarch.apiserver.aside import Aside
from navarch.apiserver.conversion import Conversions
from navarch.apiserver.options import Intent
from navarch.kinds.kind import Kind
from navarch.kinds.registry import Kinds
from navarch.kinds.schema import schema_for
from navarch.objects import apply
from navarch.objects.shape import Shape
from navarch.objects.value import Document, Draft

Paths = tuple[tuple[str, ...], ...]
Known = dict[tuple[str, bytes], Document]
"""What a webhook made: (the wanted version, the document that it was asked about) -> the same in that version."""
T = TypeVar("T")


class Unconverted(Exception):
    """A webhook has to be asked first what a document is in another version: then begin again."""

    def __init__(self, kind: Kind, document: Document, key: tuple[str, bytes], known: Known) -> None:
        super().__init__(f"{kind.api_version} is wanted of {document.get('apiVersion')}")
        self.kind, self.document, self.key, self.known = kind, document, key, known


async def converting(conversions: Conversions, act: Callable[[], T], aside: Aside | None) -> T:
    """What the pure `act` comes to; webhooks are asked for what it turns out to want. Raises: ConversionFailed."""
    while True:
        try:
            return act() if aside is None else await aside.run(act)
        except Unconverted as wanted:
            wanted.known[wanted.key] = await conversions.document(wanted.kind, wanted.document)


@lru_cache(maxsize=1024)
def ignored(kind: Kind, subresource: str) -> Paths:
    """The fields that a write to this (sub)resource leaves as they are."""
    if subresource == "status":
        taken = ("apiVersion", "kind", "status", *(("metadata",) if metadata.changed_by_status(kind) else ()))
        return tuple((name,) for name in schema_for(kind).fields if name not in taken)
    return (("status",),) if kind.has_status else ()


def record(intent: Intent, draft: Draft, old: Document | None, now: datetime, kinds: Kinds, known: Known) -> None:
    """Write into the draft's `managedFields` that the intent's manager changed what differs from `old`.

    known: empty at first, and the same one when it begins again. Raises: Unconverted.
    """
    kind = intent.shown
    before, after = old, draft.document
    if kind.from_stored is not None:
        before = kind.from_stored(before) if before is not None else None
        after = kind.from_stored(after)
    entries = apply.updated(
        before,
        after,
        schema_for(kind),
        intent.manager,
        "Update",
        intent.subresource,
        kind.api_version,
        now,
        ignored=ignored(kind, intent.subresource),
        convert=partial(_converted, intent, kinds, known),
    )
    if not entries:
        draft.remove("metadata", "managedFields")
    elif entries != draft.get("metadata", "managedFields"):
        draft.set(entries, "metadata", "managedFields")


def applied(
    intent: Intent, stored: Document | None, wanted: Document, now: datetime, kinds: Kinds, known: Known
) -> Document:
    """`stored` with what the manager wants applied to it (None: nothing is stored), ownership recorded.

    stored: as the intent's change is given it; so is what is returned. wanted: in the version of the request.
    known: empty at first, and the same one when it begins again.

    Raises:
        Conflict: with a cause for each field of another manager, unless the intent forces it.
        Unconverted: a webhook has to be asked first.
    """
    kind = intent.shown
    result = apply.merge(
        kind.from_stored(stored) if kind.from_stored is not None and stored is not None else stored,
        wanted,
        schema_for(kind),
        intent.manager,
        intent.force,
        now,
        subresource=intent.subresource,
        ignored=ignored(kind, intent.subresource),
        convert=partial(_converted, intent, kinds, known),
    )
    return kind.to_stored(result) if kind.to_stored is not None else result


def _converted(
    intent: Intent, kinds: Kinds, known: Known, document: Document, api_version: str
) -> tuple[Shape, Document] | None:
    """As `apply_versions.Convert` says. Raises: Unconverted."""
    faces = {face.api_version: face for face in (*kinds.faces(intent.kind), intent.kind)}
    source, kind = faces.get(document.get("apiVersion", "")), faces.get(api_version)
    if source is None or kind is None:
        return None
    if source is kind:
        return schema_for(kind), document
    whole = document if "metadata" in document else {**document, "metadata": {"name": intent.name}}
    if kind.conversion is not None:
        key = (api_version, orjson.dumps(whole, option=orjson.OPT_SORT_KEYS))
        if key not in known:
            raise Unconverted(kind, whole, key, known)
        found = known[key]
    else:
        found = source.to_stored(whole) if source.to_stored is not None else whole
        found = kind.from_stored(found) if kind.from_stored is not None else found
    if whole is not document:
        found = {name: value for name, value in found.items() if name != "metadata"}
    return schema_for(kind), found
