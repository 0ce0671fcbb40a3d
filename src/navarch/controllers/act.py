"""Carries out a plan: the edge of every controller where writes happen.

It reports what came of each write in terms of what the caches must show before the key may be planned again, and what
remains unknown. It never decides: whether and when to try again is the runner's business, what to write the plan's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from navarch.base.clock import Ids
from navarch.base.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    GatewayTimeout,
    Internal,
    NotFound,
    Retryable,
    Unavailable,
)
from navarch.client.client import Client
from navarch.client.events import Recorder
from navarch.controllers.plan import (
    Action,
    Apply,
    Create,
    Delete,
    Event,
    Failure,
    Patch,
    Plan,
    Status,
    Update,
    Write,
    merge_diff,
)
from navarch.kinds import POD
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.objects.patch import merge_patch
from navarch.objects.value import Document

LONGEST_GENERATED_BASE = 58
AT_ONCE = 32

UNKNOWN_OUTCOME = (Retryable, GatewayTimeout, Unavailable, Internal)
SUPERSEDED = (Conflict, AlreadyExists)


@dataclass(frozen=True, slots=True)
class Written:
    """What the cache of `kind` has to show. revision: reach it; 0: lose the object `uid` at `key`."""

    kind: Kind
    key: tuple[str, str]
    uid: str = ""
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Unsure:
    """An object that has to be read from the API before its cache can be believed again."""

    kind: Kind
    key: tuple[str, str]


@dataclass(slots=True)
class Outcome:
    """again: the world had moved on; plan again as soon as the caches have caught up."""

    written: list[Written] = field(default_factory=list)
    unsure: list[Unsure] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    again: bool = False
    writes: int = 0
    newest: dict[str, Object] = field(default_factory=dict)
    """By uid, what writes of this plan made of its objects."""


def batches(actions: Sequence[Action]) -> Iterator[list[Action]]:
    """Neighbours of one type together: creations as 1, 2, 4, … so that a refusal costs few requests, others `AT_ONCE`
    at a time, never two for one object."""
    for kind, found in groupby(actions, type):
        size = 1 if kind is Create else AT_ONCE
        batch: list[Action] = []
        uids: set[str] = set()
        for action in found:
            uid = "" if isinstance(action, Create | Apply | Event) else action.object.uid
            if len(batch) == size or (uid and uid in uids):
                yield batch
                batch, uids = [], set()
                if kind is Create:
                    size *= 2
            batch.append(action)
            uids.add(uid)
        yield batch


def _joined(plan: Plan) -> tuple[tuple[Action, ...], Write | None]:
    """The actions, and what is written when all of them succeeded: the status, in one write with the last action where
    that changes the same object's metadata through `status`."""
    status = plan.status
    if status is None or not plan.actions or status.done is not None:
        return plan.actions, status
    *before, last = plan.actions
    if not isinstance(last, Patch) or last.object is not status.object or last.subresource != "status":
        return plan.actions, status
    if not last.guarded or last.refused is not None or "status" in last.changes:
        return plan.actions, status
    changes = merge_diff(status.object.document().get("status") or {}, status.status)
    if not changes:
        return plan.actions, None
    return tuple(before), replace(last, changes={**last.changes, "status": changes})


class Act:
    """One for each controller. manager: the field manager of its writes, the client's own name when ""."""

    def __init__(self, client: Client, ids: Ids, recorder: Recorder, manager: str = "") -> None:
        self._client = client
        self._ids = ids
        self._recorder = recorder
        self._manager = manager

    async def carry_out(self, plan: Plan) -> Outcome:
        outcome = Outcome()
        actions, last = _joined(plan)
        await self._all(actions, outcome)
        if not outcome.failures and not outcome.again:
            if last is not None:
                await self._all((last,), outcome)
        elif outcome.failures and plan.failed is not None:
            refused = tuple(outcome.failures)
            await self._all(plan.failed(refused), outcome)
        return outcome

    async def _all(self, actions: Sequence[Action], outcome: Outcome) -> None:
        before = len(outcome.failures)
        for batch in batches(actions):
            if len(batch) == 1:
                await self._one(batch[0], outcome)
            else:
                async with asyncio.TaskGroup() as group:
                    for action in batch:
                        group.create_task(self._one(action, outcome))
            if len(outcome.failures) > before or outcome.again:
                return

    async def _one(self, action: Action, outcome: Outcome) -> None:
        if isinstance(action, Event):
            self._recorder.event(action.about, action.type, action.reason, action.message)
            return
        if isinstance(action, Create):
            action = self._named(action)
        try:
            written = await self._write(action, outcome)
        except (ApiError, Retryable) as error:
            self._failed(action, error, outcome)
            return
        if written is not None:
            outcome.written.append(written)
            outcome.writes += 1
            if action.done is not None:
                self._tell(action.done, written.key[1])

    def _named(self, action: Create) -> Create:
        metadata = action.document["metadata"]
        if metadata.get("name") or not metadata.get("generateName"):
            return action
        name = metadata["generateName"][:LONGEST_GENERATED_BASE] + self._ids.suffix()
        document = {**action.document, "metadata": {**metadata, "name": name}}
        return Create(action.kind, document, action.done, action.refused)

    async def _write(self, action: Write, outcome: Outcome) -> Written | None:
        if isinstance(action, Create):
            return _seen(await self._client.create(action.kind, action.document, manager=self._manager))
        if isinstance(action, Apply):
            made = await self._client.apply(
                action.kind, action.document, manager=action.manager, force=True, subresource=action.subresource
            )
            return _seen(made)
        if isinstance(action, Delete):
            return await self._delete(action, outcome)
        base = outcome.newest.get(action.object.uid, action.object)
        if isinstance(action, Patch):
            made = await self._change(base, action.changes, action.subresource, action.guarded)
        elif isinstance(action, Update):
            made = await self._client.update(
                base.kind, action.document, subresource=action.subresource, manager=self._manager
            )
        else:
            document = base.document()
            changes = merge_diff(document.get("status") or {}, action.status)
            if not changes:
                return None
            subresource = "status" if base.kind.has_status else ""
            if base.kind is POD:
                made = await self._change(base, {"status": changes}, subresource, True)
            else:
                document["status"] = action.status
                made = await self._client.update(base.kind, document, subresource=subresource, manager=self._manager)
        outcome.newest[base.uid] = made
        return _seen(made) if made.revision != base.revision else None

    async def _change(self, base: Object, changes: Document, subresource: str, guarded: bool) -> Object:
        """Change an object that others write too.

        Pods are patched and everything else is replaced (guarded by its revision), since that is what the rights of
        Kubernetes' controllers allow.
        """
        if guarded and base.kind is not POD:
            document = merge_patch(base.document(), changes)
            return await self._client.update(base.kind, document, subresource=subresource, manager=self._manager)
        if guarded:
            metadata = {**changes.get("metadata", {}), "resourceVersion": str(base.revision), "uid": base.uid}
            changes = {**changes, "metadata": metadata}
        return await self._client.patch(base.kind, *base.key, changes, subresource=subresource, manager=self._manager)

    async def _delete(self, action: Delete, outcome: Outcome) -> Written:
        found = action.object
        left = await self._client.delete(
            found.kind,
            *found.key,
            uid=found.uid,
            revision=found.revision if action.guarded else 0,
            grace_s=action.grace_s,
            propagation=action.propagation,
        )
        if left is None:
            return Written(found.kind, found.key, found.uid)
        outcome.newest[found.uid] = left
        return _seen(left)

    def _failed(self, action: Write, error: ApiError | Retryable, outcome: Outcome) -> None:
        target = _target(action)
        if isinstance(error, SUPERSEDED) or (isinstance(error, NotFound) and not isinstance(action, Create)):
            outcome.unsure.append(target)
            outcome.again = True
            return
        if isinstance(action, Create) and _is_closing(error):
            return
        if isinstance(error, UNKNOWN_OUTCOME):
            outcome.unsure.append(target)
        if not isinstance(action, Status) and action.refused is not None and isinstance(error, ApiError):
            self._tell(action.refused, target.key[1], str(error))
        outcome.failures.append(Failure(action, error))

    def _tell(self, event: Event, name: str, error: str = "") -> None:
        message = event.message.replace("{name}", name).replace("{error}", error)
        self._recorder.event(event.about, event.type, event.reason, message)


def _seen(found: Object) -> Written:
    return Written(found.kind, found.key, found.uid, found.revision)


def _target(action: Write) -> Unsure:
    if isinstance(action, Create | Apply):
        metadata: Document = action.document["metadata"]
        return Unsure(action.kind, (metadata.get("namespace", ""), metadata["name"]))
    return Unsure(action.object.kind, action.object.key)


def _is_closing(error: Exception) -> bool:
    """Whether the namespace is being deleted, so that nothing more will ever be made in it."""
    return isinstance(error, Forbidden) and any(cause.reason == "NamespaceTerminating" for cause in error.causes)
