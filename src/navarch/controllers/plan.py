"""What a controller wants done, as values: what `plan` returns and `act` carries out.

A plan says everything about one key at one moment: what to write, in which order, what to tell the users and when to
look again. It is compared in tests with `==`; nothing in it can do IO.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from navarch.client.client import Propagation
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.objects.value import Document


@dataclass(frozen=True, slots=True)
class Event:
    """Something to tell the users, by an Event object.

    As an action it is told outright. As `done` or `refused` of another action it is told when that one succeeded or
    failed, and `{name}` and `{error}` in the message stand for the written object's name and what the API said.
    """

    about: Object
    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Normal"


@dataclass(frozen=True, slots=True)
class Create:
    """`metadata.generateName` is completed by whoever carries the plan out, so that the name is known beforehand."""

    kind: Kind
    document: Document
    done: Event | None = None
    refused: Event | None = None


@dataclass(frozen=True, slots=True)
class Patch:
    """changes: a merge patch. guarded: refused if `object` is no longer the newest."""

    object: Object
    changes: Document
    subresource: str = ""
    guarded: bool = True
    done: Event | None = None
    refused: Event | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """Replace the whole document; for subresources that know no patch (`finalize`)."""

    object: Object
    document: Document
    subresource: str = ""
    done: Event | None = None
    refused: Event | None = None


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply under `manager`, by force."""

    kind: Kind
    document: Document
    manager: str
    subresource: str = ""
    done: Event | None = None
    refused: Event | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """The uid is always a precondition; guarded adds the revision."""

    object: Object
    propagation: Propagation | None = None
    grace_s: int | None = None
    guarded: bool = False
    done: Event | None = None
    refused: Event | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """Make `status` of `object` exactly this; written only where it differs, refused if `object` is not the newest."""

    object: Object
    status: Document
    done: Event | None = None


Write = Create | Patch | Update | Apply | Delete | Status
Action = Write | Event


@dataclass(frozen=True, slots=True)
class Failure:
    """An action that did not come about."""

    action: Action
    error: Exception

    @property
    def message(self) -> str:
        return str(self.error)


@dataclass(frozen=True, slots=True)
class Plan:
    """actions: carried out in order; neighbours of one type at once, creations in growing batches; the first batch
    with a failure is the last. status: written when all actions succeeded. failed: gives the status to write, and what
    else to do, when some did not. requeue_after_s: look again then, even if nothing changes."""

    actions: tuple[Action, ...] = ()
    status: Status | None = None
    failed: Callable[[Sequence[Failure]], Sequence[Action]] | None = None
    requeue_after_s: float | None = None


NOTHING = Plan()


def soonest(*delays: float | None) -> float | None:
    """The smallest that is not None."""
    known = [delay for delay in delays if delay is not None]
    return min(known) if known else None


def merge_diff(old: Document, new: Document) -> Document:
    """The merge patch that turns `old` into `new` ({} when they are equal).

    Source: RFC 7396. Documents hold no nulls, so every document can be reached.
    """
    changes: Document = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            below = merge_diff(before, value)
            if below:
                changes[key] = below
        elif key not in old or before != value or type(before) is not type(value):
            changes[key] = value
    return changes


def edit(
    object: Object, document: Document, *, done: Event | None = None, refused: Event | None = None
) -> Patch | None:
    """The patch that makes `document` of `object`, or None where nothing differs."""
    changes = merge_diff(object.document(), document)
    return Patch(object, changes) if changes else None
