"""delete and deletecollection: gracefully, with finalizers, or at once.

`plan` says what one deletion comes to; `delete` carries it out against the newest version.

Source: https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from navarch.apiserver import prepare, refusals
from navarch.apiserver.admission.review import Review
from navarch.apiserver.context import Context
from navarch.apiserver.options import DeleteOptions, Intent, ListOptions
from navarch.apiserver.verb_create import unsaved
from navarch.apiserver.verb_read import page
from navarch.base.clock import parse_rfc3339, rfc3339
from navarch.base.errors import NotFound
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.objects.meta import FOREGROUND, ORPHAN
from navarch.objects.value import Document, Draft, dig
from navarch.store.store import Stale

ATTEMPTS = 16
HELD_S = 0.02
TOGETHER = 64
ORPHANING = frozenset(("replicationcontrollers", "jobs.batch"))
"""Kinds whose dependents stay unless the client says otherwise."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """document: what is left, or what the object last was when `remove`; None: its deletion is under way already."""

    remove: bool
    document: Document | None = None


def plan(kind: Kind, old: Document, options: DeleteOptions, now: datetime) -> Deletion:
    """What deleting the object `old` comes to."""
    draft = Draft(old)
    _propagate(draft, kind, options)
    grace_s = _grace(kind, old, options)
    under_way = dig(old, "metadata", "deletionTimestamp") is not None
    if under_way:
        before_s = dig(old, "metadata", "deletionGracePeriodSeconds") or 0
        if grace_s >= before_s and before_s:
            return Deletion(False, draft.document if draft.changed else None)
        if grace_s < before_s:
            began = parse_rfc3339(old["metadata"]["deletionTimestamp"]) - timedelta(seconds=before_s)
            _mark(draft, began if grace_s else now, grace_s)
    else:
        _mark(draft, now, grace_s)
        if kind.counts_generation:
            draft.set((draft.get("metadata", "generation") or 0) + 1, "metadata", "generation")
        if kind.plural == "namespaces" and kind.group == "":
            draft.set("Terminating", "status", "phase")
    held = bool(draft.get("metadata", "finalizers")) or (
        kind.plural == "namespaces" and kind.group == "" and bool(draft.get("spec", "finalizers"))
    )
    if not held and not grace_s:
        draft.set(0, "metadata", "deletionGracePeriodSeconds")
        return Deletion(True, draft.document)
    return Deletion(False, draft.document if draft.document != old else None)


def _mark(draft: Draft, began: datetime, grace_s: int) -> None:
    draft.set(rfc3339(began + timedelta(seconds=grace_s)), "metadata", "deletionTimestamp")
    draft.set(grace_s, "metadata", "deletionGracePeriodSeconds")


def _grace(kind: Kind, old: Document, options: DeleteOptions) -> int:
    """Seconds granted; 0 for an object that nobody has to stop."""
    granted_s = kind.grace(old) if kind.grace else None
    under_way_s = dig(old, "metadata", "deletionGracePeriodSeconds")
    if granted_s is None:
        return 0
    if options.grace_s is None:
        return granted_s if under_way_s is None else int(under_way_s)
    return 1 if options.grace_s < 0 else options.grace_s


def _propagate(draft: Draft, kind: Kind, options: DeleteOptions) -> None:
    """Set the finalizers by which the garbage collector knows what to do with dependents."""
    present = list(draft.get("metadata", "finalizers") or ())
    policy = options.propagation
    if policy is None:
        if FOREGROUND in present or ORPHAN in present:
            return
        policy = "Orphan" if kind.resource in ORPHANING else "Background"
    wanted = {"Foreground": FOREGROUND, "Orphan": ORPHAN}.get(policy)
    found = [name for name in present if name == wanted or name not in (FOREGROUND, ORPHAN)]
    if wanted and wanted not in found:
        found.append(wanted)
    if found == present:
        return
    if found:
        draft.set(found, "metadata", "finalizers")
    else:
        draft.remove("metadata", "finalizers")


@dataclass(frozen=True, slots=True)
class Outcome:
    """object: what is left, or what it last was when `gone`."""

    object: Object
    gone: bool


async def delete(context: Context, intent: Intent, options: DeleteOptions) -> Outcome:
    """Raises: NotFound, Conflict (a precondition), Forbidden."""
    async with context.state.turns.of(intent.kind, intent.namespace, intent.name) as turn:
        return await _delete(context, intent, options, turn.leave)


async def _delete(context: Context, intent: Intent, options: DeleteOptions, leave: Callable[[], None]) -> Outcome:
    state, kind = context.state, intent.kind
    if kind.conversion is not None:
        leave()
    await state.feed.fresh()
    for _ in range(ATTEMPTS):
        old = state.get(kind, intent.namespace, intent.name)
        if old is None:
            raise refusals.not_found(kind, intent.name)
        _check(kind, old, options)
        document = old.document()
        if not options.admitted:
            await prepare.deleted(context.plugins, Review(intent, Draft(document), document, state, leave=leave))
        deletion = plan(kind, document, options, state.clock.now())
        if intent.dry_run:
            left = deletion.document or document
            return Outcome(unsaved(old.kind, left, old.revision), deletion.remove)
        try:
            if deletion.remove:
                revision = await state.remove(old)
                return Outcome(unsaved(old.kind, deletion.document or document, revision), True)
            if deletion.document is None:
                return Outcome(old, False)
            return Outcome(await state.put(kind, intent.namespace, intent.name, deletion.document, old.revision), False)
        except Stale:
            await state.feed.fresh()
    raise refusals.modified(kind, intent.name)


def _check(kind: Kind, old: Object, options: DeleteOptions) -> None:
    if options.uid and options.uid != old.uid:
        raise refusals.conflict(
            kind, old.name, f"Precondition failed: UID in precondition: {options.uid}, UID in object meta: {old.uid}"
        )
    if options.revision and options.revision != str(old.revision):
        why = (
            f"Precondition failed: ResourceVersion in precondition: {options.revision}, "
            f"ResourceVersion in object meta: {old.revision}"
        )
        raise refusals.conflict(kind, old.name, why)


async def delete_collection(
    context: Context, intent: Intent, chosen: ListOptions, options: DeleteOptions
) -> Sequence[Object]:
    """Delete everything that `chosen` selects, some at a time; what was there before.

    Raises: the first refusal, when everything that was begun is done.
    """
    found = await page(context.state, intent.kind, intent.namespace, chosen)
    pace = _Pace()
    for start in range(0, len(found.items), TOGETHER):
        steps = (
            _paced(pace, context, replace(intent, namespace=one.namespace, name=one.name), options)
            for one in found.items[start : start + TOGETHER]
        )
        for result in await asyncio.gather(*steps, return_exceptions=True):
            if isinstance(result, BaseException) and not isinstance(result, NotFound):  # gone is what was asked for
                raise result
    return found.items


async def _paced(pace: _Pace, context: Context, intent: Intent, options: DeleteOptions) -> Outcome:
    await pace.keep()
    return await delete(context, intent, options)


class _Pace:
    """Tasks that were begun together would all take their first step before anybody else has one; with policies that
    take their time, each of those is long."""

    def __init__(self) -> None:
        self._since = asyncio.get_running_loop().time()

    async def keep(self) -> None:
        """Returns at once while little time has passed since others had their turn, else after they had it."""
        loop = asyncio.get_running_loop()
        while loop.time() - self._since > HELD_S:
            before = self._since
            await asyncio.sleep(0)
            if self._since == before:
                self._since = loop.time()
