"""Small changes that the server makes to an object itself, on behalf of a subresource: no body, no ownership."""

from __future__ import annotations

from collections.abc import Callable

from navarch.apiserver import refusals
from navarch.apiserver.state import State
from navarch.apiserver.verb_create import unsaved
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.objects.value import Draft
from navarch.store.store import Stale

ATTEMPTS = 16


async def edit(
    state: State, kind: Kind, namespace: str, name: str, change: Callable[[Draft], None], *, dry_run: bool = False
) -> Object:
    """Make `change` to the newest version; it may refuse by raising, and runs again when somebody else was faster.

    Raises: NotFound, Conflict, and what `change` raises.
    """
    async with state.turns.of(kind, namespace, name):
        return await _edit(state, kind, namespace, name, change, dry_run)


async def _edit(
    state: State, kind: Kind, namespace: str, name: str, change: Callable[[Draft], None], dry_run: bool
) -> Object:
    await state.feed.fresh()
    for _ in range(ATTEMPTS):
        old = state.get(kind, namespace, name)
        if old is None:
            raise refusals.not_found(kind, name)
        draft = Draft(old.document())
        change(draft)
        if not draft.changed:
            return old
        if dry_run:
            return unsaved(kind, draft.document, old.revision)
        try:
            return await state.put(kind, namespace, name, draft.document, old.revision)
        except Stale:
            await state.feed.fresh()
    raise refusals.modified(kind, name)
