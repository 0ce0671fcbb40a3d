"""The life of a definition of custom resources: its names are accepted, it is established; deleted, it takes its
objects along.

What to write is planned purely; `Establisher` follows the definitions and carries it out.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime

from navarch.apiserver.state import State
from navarch.base.errors import ApiError, Conflict, NotFound, Retryable
from navarch.base.log import Log
from navarch.client.client import Client
from navarch.kinds import CUSTOMRESOURCEDEFINITION
from navarch.kinds.customresourcedefinition import FINALIZER, established
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.objects import condition
from navarch.objects.value import Document, dig
from navarch.store.store import Change

AGAIN_S = 1.0
APPROVED = "api-approved.kubernetes.io"
log = Log("apiserver.establish")


def status(definition: Document, others: Iterable[Document], now: datetime) -> Document:
    """What a definition's status should be. others: all definitions; those of its group may hold its names."""
    old: Document = definition.get("status") or {}
    wanted = definition["spec"]["names"]
    taken = _taken(definition, others)
    accepted = dict(old.get("acceptedNames") or {})
    conflicts: list[tuple[str, str]] = []
    for field, reason in (
        ("plural", "PluralConflict"),
        ("singular", "SingularConflict"),
        ("kind", "KindConflict"),
        ("listKind", "ListKindConflict"),
    ):
        name = wanted.get(field, "")
        if name in taken:
            conflicts.append((reason, f'"{name}" is already in use'))
        else:
            accepted[field] = name
    short = [name for name in wanted.get("shortNames") or () if name in taken]
    if short:
        conflicts.append(("ShortNamesConflict", ", ".join(f'"{name}" is already in use' for name in short)))
    for field in ("shortNames", "categories"):
        if field == "shortNames" and short:
            continue
        accepted.pop(field, None)
        if wanted.get(field):
            accepted[field] = wanted[field]
    conditions = old.get("conditions") or []
    for found in _findings(definition, conflicts):
        conditions = condition.set(conditions, found, now)
    names = {"kind": "", "plural": "", **{key: value for key, value in accepted.items() if value}}
    return {**old, "acceptedNames": names, "conditions": conditions}


def _findings(definition: Document, conflicts: Sequence[tuple[str, str]]) -> Iterable[Document]:
    """The conditions as they should be."""
    if conflicts:
        reason = conflicts[0][0] if len(conflicts) == 1 else "MultipleConflicts"
        message = ", ".join(message for _, message in conflicts)
        yield {"type": "NamesAccepted", "status": "False", "reason": reason, "message": message}
        if not established(definition):
            why = "not all names are accepted"
            yield {"type": "Established", "status": "False", "reason": "NotAccepted", "message": why}
    else:
        message = "no conflicts found"
        yield {"type": "NamesAccepted", "status": "True", "reason": "NoConflicts", "message": message}
        message = "the initial names have been accepted"
        yield {"type": "Established", "status": "True", "reason": "InitialNamesAccepted", "message": message}
    approval = dig(definition, "metadata", "annotations", APPROVED)
    if approval and definition["spec"]["group"].endswith((".k8s.io", ".kubernetes.io")):
        yield {
            "type": "KubernetesAPIApprovalPolicyConformant",
            "status": "False" if approval.startswith("unapproved") else "True",
            "reason": "UnapprovedAnnotation" if approval.startswith("unapproved") else "ApprovedAnnotation",
            "message": f"in {approval}",
        }


def _taken(definition: Document, others: Iterable[Document]) -> set[str]:
    found: set[str] = set()
    for other in others:
        same = other["metadata"]["name"] == definition["metadata"]["name"]
        if same or other["spec"]["group"] != definition["spec"]["group"]:
            continue
        names = dig(other, "status", "acceptedNames", default={})
        found.update(filter(None, (names.get(field) for field in ("plural", "singular", "kind", "listKind"))))
        found.update(names.get("shortNames") or ())
    return found


def terminating(definition: Document, left: int, now: datetime) -> Document:
    """The status of a definition that is being deleted while `left` objects remain."""
    old: Document = definition.get("status") or {}
    reason, message = "InstanceDeletionInProgress", "CustomResource deletion is in progress"
    if not left:
        reason, message = "InstanceDeletionCompleted", "removed all instances"
    found = {"type": "Terminating", "status": "True" if left else "False", "reason": reason, "message": message}
    return {**old, "conditions": condition.set(old.get("conditions") or [], found, now)}


class Establisher:
    """Runs beside the feed. client: the server's own."""

    def __init__(self, state: State, client: Client) -> None:
        self._state = state
        self._client = client
        self._news = asyncio.Event()
        state.listeners.append(self._heard)
        state.loaded.append(self._news.set)

    def _heard(self, kind: Kind, change: Change) -> None:
        if kind is CUSTOMRESOURCEDEFINITION or (kind.custom and change.value is None):
            self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            if not await self._look():
                await self._state.clock.sleep(AGAIN_S)
                self._news.set()

    async def _look(self) -> bool:
        """Whether all that was to do could be done."""
        present = self._state.list(CUSTOMRESOURCEDEFINITION)
        documents = [found.document() for found in present]
        done = True
        for found, document in zip(present, documents, strict=True):
            try:
                if "deletionTimestamp" in document["metadata"]:
                    await self._end(found, document)
                else:
                    await self._write(found, document, status(document, documents, self._state.clock.now()))
            except (NotFound, Conflict):
                continue  # gone or changed meanwhile, perhaps by another server; of a change there will be news
            except (ApiError, Retryable) as error:
                log.warning("not done, will be tried again", name=found.name, error=error)
                done = False
        return done

    async def _write(self, found: Object, document: Document, wanted: Document) -> None:
        if wanted != document.get("status"):
            await self._client.update(CUSTOMRESOURCEDEFINITION, {**document, "status": wanted}, subresource="status")

    async def _end(self, found: Object, document: Document) -> None:
        """Delete what there is of the kind; when nothing is left, let the definition go."""
        if FINALIZER not in document["metadata"].get("finalizers", ()):
            return
        kind = self._state.definitions.kind(found.name)
        items = () if kind is None else self._state.list(kind)
        await self._write(found, document, terminating(document, len(items), self._state.clock.now()))
        for one in items:
            if "deletionTimestamp" in one.document()["metadata"]:
                continue
            try:
                await self._client.delete(one.kind, one.namespace, one.name, uid=one.uid)
            except NotFound:
                continue
        if kind is None or not self._state.list(kind):
            left = [name for name in document["metadata"]["finalizers"] if name != FINALIZER]
            patch = {"metadata": {"finalizers": left or None}}
            await self._client.patch(CUSTOMRESOURCEDEFINITION, "", found.name, patch)
