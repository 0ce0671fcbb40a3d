"""update: the one loop by which a stored object changes, whatever says how: a document, a patch, an applied one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from navarch.apiserver import decode, ownership, prepare, refusals
from navarch.apiserver.admission.review import give_back
from navarch.apiserver.aside import LARGE_BYTES
from navarch.apiserver.context import Context
from navarch.apiserver.decode import Body
from navarch.apiserver.options import Intent
from navarch.apiserver.stored import Revived
from navarch.apiserver.verb_create import addressed, create, unsaved
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.objects.value import Document, dig
from navarch.store.store import Overtaken, Stale

ATTEMPTS = 16
Change = Callable[[Document], Document]
"""From what is stored to the whole new document: decoded and addressed. Called again for each newer version."""

CREATED_BY_UPDATE = frozenset(
    (
        "endpoints",
        "events",
        "events.events.k8s.io",
        "leases.coordination.k8s.io",
        "limitranges",
        "endpointslices.discovery.k8s.io",
        "roles.rbac.authorization.k8s.io",
        "rolebindings.rbac.authorization.k8s.io",
        "clusterroles.rbac.authorization.k8s.io",
        "clusterrolebindings.rbac.authorization.k8s.io",
    )
)
"""Kinds whose PUT makes the object when it is not there."""


async def update(context: Context, intent: Intent, body: Body) -> tuple[Object, bool]:
    """Replace; the object, and whether it was made. Raises: NotFound, Conflict, Invalid, Forbidden."""
    aside = intent.aside
    found = decode.decoded(intent, body) if aside is None else await aside.run(decode.decoded, intent, body)
    written = addressed(intent, found)
    await context.state.feed.fresh()
    missing = context.state.get(intent.kind, intent.namespace, intent.name) is None
    if missing and not intent.subresource and intent.kind.resource in CREATED_BY_UPDATE:
        intent.verb = "create"
        return await create(context, intent, body), True
    return await change(context, intent, lambda _: written), False


async def change(context: Context, intent: Intent, make: Change) -> Object:
    """Write what `make` makes of the stored object.

    A resourceVersion in the document must be that of the stored object; without one, the change is made again on
    every newer version until it goes through.

    Raises: NotFound, Conflict, and what `make` and admission raise.
    """
    async with context.state.turns.of(intent.kind, intent.namespace, intent.name) as turn:
        return await _change(context, intent, make, turn.leave)


async def _change(context: Context, intent: Intent, make: Change, leave: Callable[[], None]) -> Object:
    state, kind = context.state, intent.kind
    if kind.conversion is not None:
        leave()
    await state.feed.fresh()
    for _ in range(ATTEMPTS):
        at = state.feed.revision
        old = state.get(kind, intent.namespace, intent.name)
        if old is None:
            raise refusals.not_found(kind, intent.name)
        if intent.aside is None and len(old.raw) > LARGE_BYTES:
            intent.aside = state.aside
        if kind.conversion is None:
            stored = old.document()
            written = make(stored) if intent.aside is None else await intent.aside.run(make, stored)
        else:
            stored = (await state.conversions.one(intent.written, old)).document()
            written = await ownership.converting(state.conversions, partial(make, stored), intent.aside)
        expected(kind, written, old)
        prepared = await prepare.updated(state, context.plugins, intent, written, stored, leave)
        if prepared.same and not stored_otherwise(kind, old):
            prepared.review.give_back()
            return old
        if intent.dry_run:
            prepared.review.give_back()
            return unsaved(intent.written, prepared.document, old.revision)
        undo, guards = prepared.review.undo, state.guards("", prepared.review.fences, at)
        try:
            last = prepared.document if finished(prepared.document) else None
            value = b"" if last is not None else await state.encoded(kind, prepared.document)
            del stored, written, prepared  # freed while the caches still have them, not after the disk was waited for
            if last is None:
                return await state.put_value(kind, old.namespace, old.name, value, old.revision, guards)
            # this was the last thing that its deletion waited for, and whoever did it can tell when that is seen
            return unsaved(intent.written, last, await state.remove(old))
        except (Stale, Overtaken):
            give_back(undo)
            await state.feed.fresh()
        except BaseException:
            give_back(undo)
            raise
    raise refusals.modified(kind, intent.name)


def stored_otherwise(kind: Kind, old: Object) -> bool:
    """Whether the present version or schema would store it in other bytes, so that a write of nothing is one."""
    return isinstance(old, Revived) or (kind.conversion is not None and old.kind.api_version != kind.api_version)


def expected(kind: Kind, written: Document, old: Object) -> None:
    """Check what the writer says about the object it means to change. Raises: Conflict."""
    uid = dig(written, "metadata", "uid")
    if uid and uid != old.uid:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old.uid}"
        raise refusals.conflict(kind, old.name, why)
    revision = dig(written, "metadata", "resourceVersion")
    if revision and revision != "0" and revision != str(old.revision):
        raise refusals.modified(kind, old.name)


def finished(document: Document) -> bool:
    """Whether the object is being deleted and nothing holds it any longer."""
    metadata = document["metadata"]
    if "deletionTimestamp" not in metadata or metadata.get("finalizers"):
        return False
    if metadata.get("deletionGracePeriodSeconds"):
        return False
    return not (document.get("kind") == "Namespace" and dig(document, "spec", "finalizers"))
