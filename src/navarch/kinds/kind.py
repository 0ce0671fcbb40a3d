"""What a kind is: the one description from which the API server serves it.

Structure, types, list keys and merge strategies come from the published schema (`kinds.schema`); a `Kind` adds what the
schema cannot say. Nothing registers itself: `kinds.ALL` names every kind, and a CRD will build the same value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from navarch.base.errors import Cause
from navarch.kinds.view import Headed, View
from navarch.objects.value import Document, Draft

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")

Cells = Callable[[Document], Any]
"""A column's value computed from the document: text, a number, or None for an empty cell."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`.

    source: a JSON path from the document's root (`.spec.replicas`), or a function of the document.
    type: OpenAPI type, `date` for an age. priority: above 0 it is shown only by `-o wide`.
    """

    name: str
    source: str | Cells
    type: str = "string"
    priority: int = 0
    format: str = ""
    description: str = ""


def no_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    return ()


def no_defaults(draft: Draft) -> None:
    return None


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """group: "" for core. version: the served and stored one. plural: the resource's name in paths.

    default: fills in absent fields (runs on every create, update and patch, before admission).
    rules: yields every broken rule of `new`; `old` is the stored document on an update, None on a create. Runs on
        documents that already fit the schema. Immutable fields are rules.
    prepare: runs before `default` on a main-resource write: resets what users may not set (`old` None: a create).
        What is true of all kinds (metadata, status kept apart, generation) is not its business.
    prepare_status: the same for a write to `status`.
    has_status: a write to the main resource keeps the old `status`, one to `status` changes nothing else.
    counts_generation: `metadata.generation` goes up when anything outside metadata and status changes.
    columns: after NAME (which is implied) and, unless `age` is False, before AGE (implied, the last of priority 0).
    fields: selectable fields beyond metadata.name and metadata.namespace: selector -> path in the document.
    scale: paths of (replicas in spec, replicas in status, selector in status or "" ) when `scale` is a subresource.
    grace: for graceful deletion: seconds a new deletion grants when the client names none; None deletes at once.
    verbs: () for kinds that are only posted to (reviews).
    definition: name in the schema; derived from group, version and name when "".
    """

    group: str
    version: str
    name: str
    plural: str
    singular: str = ""
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    namespaced: bool = True
    view: type[View] = Headed
    default: Callable[[Draft], None] = no_defaults
    rules: Callable[[Document, Document | None], Iterable[Cause]] = no_rules
    prepare: Callable[[Draft, Document | None], None] | None = None
    prepare_status: Callable[[Draft, Document], None] | None = None
    subresources: tuple[str, ...] = ()
    counts_generation: bool = True
    columns: tuple[Column, ...] = ()
    age: bool = True
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    scale: tuple[str, str, str] | None = None
    grace: Callable[[Document], int | None] | None = None
    verbs: tuple[str, ...] = ALL_VERBS
    definition: str = ""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """`deployments.apps`: how errors and `kubectl` name the resource."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def one(self) -> str:
        """The singular in lower case."""
        return self.singular or self.name.lower()

    @property
    def has_status(self) -> bool:
        return "status" in self.subresources

    def __repr__(self) -> str:
        return f"Kind({self.api_version} {self.name})"
