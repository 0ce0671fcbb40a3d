"""Field ownership on the way of a write: who is recorded in `managedFields`, and what an applied document comes to.

The algorithm is `objects.apply`'s; here is under which manager and subresource a request counts, and which fields a
request to that (sub)resource cannot change and therefore not own.

Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

from navarch.apiserver import metadata
from navarch.apiserver.options import Intent
from navarch.kinds.kind import Kind
from navarch.kinds.schema import schema_for
from navarch.objects import apply
from navarch.objects.value import Document, Draft

Paths = tuple[tuple[str, ...], ...]


@lru_cache(maxsize=1024)
def ignored(kind: Kind, subresource: str) -> Paths:
    """The fields that a write to this (sub)resource leaves as they are."""
    if subresource == "status":
        taken = ("apiVersion", "kind", "status", *(("metadata",) if metadata.changed_by_status(kind) else ()))
        return tuple((name,) for name in schema_for(kind).fields if name not in taken)
    return (("status",),) if kind.has_status else ()


def record(intent: Intent, draft: Draft, old: Document | None, now: datetime) -> None:
    """Write into the draft's `managedFields` that the intent's manager changed what differs from `old`."""
    kind = intent.judge
    entries = apply.updated(
        old,
        draft.document,
        schema_for(kind),
        intent.manager,
        "Update",
        intent.subresource,
        intent.judge.api_version,
        now,
        ignored=ignored(kind, intent.subresource),
    )
    if not entries:
        draft.remove("metadata", "managedFields")
    elif entries != draft.get("metadata", "managedFields"):
        draft.set(entries, "metadata", "managedFields")


def applied(intent: Intent, stored: Document | None, wanted: Document, now: datetime) -> Document:
    """`stored` with what the manager wants applied to it (None: nothing is stored), ownership recorded.

    Raises: Conflict, with a cause for each field of another manager, unless the intent forces it.
    """
    kind = intent.judge
    return apply.merge(
        stored,
        wanted,
        schema_for(kind),
        intent.manager,
        intent.force,
        now,
        subresource=intent.subresource,
        ignored=ignored(kind, intent.subresource),
    )
