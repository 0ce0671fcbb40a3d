"""What a kind is: the one description from which the API server serves it.

Structure, types, list keys and merge strategies come from the published schema (`kinds.schema`); a `Kind` adds what the
schema cannot say. Nothing registers itself: `kinds.ALL` names every kind, and `kinds.custom` builds the same value
of a custom resource's definition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from navarch.base.errors import Cause
from navarch.kinds.conversion import Conversion
from navarch.kinds.envelope import Envelope
from navarch.kinds.view import Headed, View
from navarch.objects.shape import Shape
from navarch.objects.value import Document, Draft, dig

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")

Cells = Callable[[Document, datetime], Any]
"""A column's value computed from the document and the present: text, a number, or None for an empty cell."""

Rules = Callable[[Document, Document | None], Iterable[Cause]]
Warnings = Callable[[Document, Document | None], Iterable[str]]
Convert = Callable[[Document], Document]
Decode = Callable[[Document, bytes, Literal["strict", "warn", "ignore"]], tuple[Document, list[str]]]
"""(what was parsed, the text it was parsed from or b"", what unknown fields lead to) -> the document, the warnings."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`.

    source: a JSON path from the document's root (`.spec.replicas`), or a function of the document and the present.
    type: OpenAPI type, `date` for an age (the source is a time, the cell how long ago it was), `time` for the time
    itself. priority: above 0 it is shown only by `-o wide`.
    """

    name: str
    source: str | Cells
    type: str = "string"
    priority: int = 0
    format: str = ""
    description: str = ""


METADATA_FIELDS = {"metadata.name": ("metadata", "name"), "metadata.namespace": ("metadata", "namespace")}

NAME = Column("Name", ".metadata.name", format="name")
AGE = Column("Age", ".metadata.creationTimestamp", type="date")
CREATED_AT = Column("Created At", ".metadata.creationTimestamp", type="time", description="When it was made.")
"""All that kinds have to show that have no columns of their own."""


def no_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    return ()


def no_defaults(draft: Draft) -> None:
    return None


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """group: "" for core. version: the served and stored one. plural: the resource's name in paths.

    envelope: what is read of each of its objects at once, `Object.glance` among it.
    default: fills in absent fields (runs on every create, update and patch, before admission).
    defaults_spec: `default` reads and writes the spec alone: it does not run where a write left the spec as it was.
    rules: yields every broken rule of `new`; `old` is the stored document on an update, None on a create. Runs on
        documents that already fit the schema. Immutable fields are rules.
    warn: what the writer of a good document is warned of. Not asked about subresources.
    prepare: runs before `default` on a main-resource write: resets what users may not set (`old` None: a create).
        What is true of all kinds (metadata, status kept apart, generation) is not its business.
    prepare_status: the same for a write to `status`.
    has_status: a write to the main resource keeps the old `status`, one to `status` changes nothing else.
    status_at_create: whoever creates one may give its status too.
    counts_generation: `metadata.generation` goes up when anything outside metadata and status changes.
    generation_counts: what of the metadata counts too (`annotations`), unless a subresource is written;
        None: nothing does, it stays 1.
    columns: after NAME (implied, unless `named` is False) and, unless `age` is False, before AGE (implied, the last of
        priority 0). `table` is the whole of them.
    subresource_rules, subresource_prepare: the rules of a write to that subresource, which hold instead of `rules` (a
        subresource that is not named has no rules beyond the schema and the metadata), and what of the written
        document it takes: `prepare(draft of the written, stored document)` leaves everything else as it was stored.
    name_rule: what is wrong with a `metadata.name`, nothing for a good one; None asks for a DNS subdomain.
    stored_as: this kind is another face of that one: writes are stored as `to_stored` says, reads come by
        `from_stored`, and watches and lists are those of the stored kind. Both only rename fields.
    fields: selectable fields beyond metadata.name and metadata.namespace: selector -> path in the stored document.
    field_zeros: what an absent one of them is, where that is not "". `selectable` reads both.
    field_fallbacks: where the value of one of them stands instead, while its own place is empty.
    row_order: the key by which tables of them are sorted, where that is not by name.
    field_aliases: other names of theirs, which selectors may use too; "" for a name whose value is always empty.
    scale: paths of (replicas in spec, replicas in status, selector in status or "" ) when `scale` is a subresource.
    grace: for graceful deletion: seconds a new deletion grants when the client names none; None deletes at once,
        whatever the client names.
    verbs: () for kinds that are only posted to (reviews): nothing of them is stored.
    plural: "" for kinds that are no resource of their own, only what a subresource takes (Scale, Eviction).
    deprecated: what whoever uses it is warned of, "" where there is nothing.
    definition: name in the schema; derived from group, version and name when "".
    shape: of a custom resource, whose schema is not among the published ones (`kinds.custom` makes them); with it come
        decode: how a request's document is read; revive: what bytes that were stored under an older schema are now;
        published: the definitions for OpenAPI, by name; conversion: who is asked for other versions of its objects.
        With one, objects are cached in the version in which they are stored, and no version is made of another here.
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
    envelope: type[Envelope] = Envelope
    default: Callable[[Draft], None] = no_defaults
    defaults_spec: bool = False
    rules: Rules = no_rules
    warn: Warnings | None = None
    prepare: Callable[[Draft, Document | None], None] | None = None
    prepare_status: Callable[[Draft, Document], None] | None = None
    subresource_rules: Mapping[str, Rules] = field(default_factory=dict)
    subresource_prepare: Mapping[str, Callable[[Draft, Document], None]] = field(default_factory=dict)
    subresources: tuple[str, ...] = ()
    status_at_create: bool = False
    counts_generation: bool = True
    generation_counts: tuple[str, ...] | None = ()
    columns: tuple[Column, ...] = ()
    named: bool = True
    age: bool = True
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    field_zeros: Mapping[str, str] = field(default_factory=dict)
    field_aliases: Mapping[str, str] = field(default_factory=dict)
    field_fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    row_order: Callable[[Document], Any] | None = None
    scale: tuple[str, str, str] | None = None
    grace: Callable[[Document], int | None] | None = None
    verbs: tuple[str, ...] = ALL_VERBS
    deprecated: str = ""
    definition: str = ""
    name_rule: Callable[[str], Iterable[str]] | None = None
    stored_as: Kind | None = None
    to_stored: Convert | None = None
    from_stored: Convert | None = None
    shape: Shape | None = None
    decode: Decode | None = None
    revive: Callable[[bytes], bytes] | None = None
    conversion: Conversion | None = None
    published: Mapping[str, Document] | None = None

    @property
    def custom(self) -> bool:
        """Made by a CustomResourceDefinition."""
        return self.shape is not None

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
    def table(self) -> tuple[Column, ...]:
        """All columns in order, NAME and AGE included."""
        last = max((index for index, column in enumerate(self.columns, 1) if column.priority == 0), default=0)
        age = (AGE,) if self.age else ()
        return ((NAME,) if self.named else ()) + self.columns[:last] + age + self.columns[last:]

    def selectable(self, document: Document, name: str) -> str | None:
        """The text that a field selector compares, None where `name` cannot be selected by.

        Booleans are `true` and `false`; numbers are decimal.
        """
        path = METADATA_FIELDS.get(name) or self.fields.get(name)
        if path is None:
            return None
        found = dig(document, *path)
        if found is None:
            return self.field_zeros.get(name, "")
        return str(found).lower() if isinstance(found, bool) else str(found)

    @property
    def has_status(self) -> bool:
        return "status" in self.subresources

    def __repr__(self) -> str:
        return f"Kind({self.api_version} {self.name})"
