"""Event: something that happened to an object, told to people.

`v1` and `events.k8s.io/v1` show the same stored events with other names for the same fields. What is stored is the
`v1` document; the other face is made by renaming, so neither loses anything.

Source: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from navarch.base.errors import Cause
from navarch.kinds.kind import Cells, Column, Kind
from navarch.kinds.printing import moment, since
from navarch.kinds.reference import ObjectReference
from navarch.kinds.rules import Faults
from navarch.kinds.view import ObjectMeta, View
from navarch.objects.value import Document, Draft, dig

NOTE_MAX = 1024


class EventSource(View, frozen=True):
    component: str = ""
    host: str = ""


class EventSeries(View, frozen=True):
    count: int = 0
    last_observed_time: datetime | None = None


class Event(View, frozen=True):
    """type: Normal or Warning. count, first_timestamp, last_timestamp: of repeated events in the old form."""

    metadata: ObjectMeta = ObjectMeta()
    involved_object: ObjectReference = ObjectReference()
    reason: str = ""
    message: str = ""
    type: str = ""
    source: EventSource = EventSource()
    count: int = 0
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None
    event_time: datetime | None = None
    series: EventSeries | None = None
    action: str = ""
    related: ObjectReference | None = None
    reporting_component: str = ""
    reporting_instance: str = ""


TO_STORED = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
"""Field of events.k8s.io -> field of v1; every other field has one name in both."""

FROM_STORED = {stored: shown for shown, stored in TO_STORED.items()}


SETTLED = (
    "involvedObject",
    "related",
    "reason",
    "message",
    "action",
    "type",
    "eventTime",
    "reportingComponent",
    "reportingInstance",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
)
"""What of a new event nobody changes: only its series goes on."""


def to_stored(document: Document) -> Document:
    """An events.k8s.io document as the v1 one that is stored."""
    return {**{TO_STORED.get(key, key): value for key, value in document.items()}, "apiVersion": "v1"}


def from_stored(document: Document) -> Document:
    """The inverse of `to_stored`."""
    renamed = {FROM_STORED.get(key, key): value for key, value in document.items()}
    return {**renamed, "apiVersion": "events.k8s.io/v1"}


def default(draft: Draft) -> None:
    draft.default({}, "involvedObject")
    draft.default({}, "source")
    draft.default("", "reportingComponent")
    draft.default("", "reportingInstance")


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """Of an event in the old form, which asks little."""
    faults = Faults()
    _same_namespace(faults, new, "involvedObject.namespace")
    return faults.causes


def strict_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """Of an event written as events.k8s.io; paths are those of that face, the document is the stored one."""
    faults = Faults()
    _same_namespace(faults, new, "regarding.namespace")
    if old is not None:
        for stored in SETTLED:
            faults.immutable(FROM_STORED.get(stored, stored), new.get(stored), old.get(stored))
        return faults.causes
    for shown, stored in (
        ("eventTime", "eventTime"),
        ("reportingController", "reportingComponent"),
        ("reportingInstance", "reportingInstance"),
        ("action", "action"),
        ("reason", "reason"),
    ):
        if not new.get(stored):
            faults.required(shown)
    if new.get("type") not in ("Normal", "Warning"):
        faults.invalid("type", new.get("type", ""), "has invalid value: " + str(new.get("type", "")))
    if len(new.get("message", "")) > NOTE_MAX:
        faults.invalid("message", "", f"can have at most {NOTE_MAX} characters")
    return faults.causes


def _same_namespace(faults: Faults, event: Document, field: str) -> None:
    """An event stands beside what it is about; what has no namespace is told of in `default`."""
    own = dig(event, "metadata", "namespace", default="")
    about = dig(event, "involvedObject", "namespace", default="")
    if about != own and not (about == "" and own in ("default", "kube-system")):
        faults.invalid(field, about, "does not match event.namespace")


def last_seen(event: Document) -> datetime | None:
    """When it last happened, in whichever form it says so."""
    return (
        moment(dig(event, "series", "lastObservedTime"))
        or moment(event.get("lastTimestamp"))
        or moment(event.get("eventTime"))
    )


def _last_seen(event: Document, now: datetime) -> str:
    first = event.get("firstTimestamp") or event.get("eventTime")
    last = dig(event, "series", "lastObservedTime") or event.get("lastTimestamp")
    return since(last or first, now)


def _first_seen(event: Document, now: datetime) -> str:
    return since(event.get("firstTimestamp") or event.get("eventTime"), now)


def _object(event: Document, now: datetime) -> str:
    about = event.get("involvedObject") or {}
    kind = about.get("kind", "").lower()
    return f"{kind}/{about['name']}" if about.get("name") else kind


def _source(event: Document, now: datetime) -> str:
    component = dig(event, "source", "component") or event.get("reportingComponent", "")
    host = dig(event, "source", "host") or event.get("reportingInstance", "")
    return f"{component}, {host}" if host else component


def _count(event: Document, now: datetime) -> int:
    return dig(event, "series", "count") or event.get("count") or 1


def _message(event: Document, now: datetime) -> str:
    return (event.get("message") or "").strip()


def _subobject(event: Document, now: datetime) -> str:
    return str(dig(event, "involvedObject", "fieldPath", default=""))


COLUMNS = (
    Column("Last Seen", _last_seen, description="How long ago it last happened."),
    Column("Type", ".type", description="Normal, or Warning."),
    Column("Reason", ".reason", description="Why, in one word."),
    Column("Object", _object, description="What it happened to."),
    Column("Subobject", _subobject, priority=1, description="To which part of it."),
    Column("Source", _source, priority=1, description="Who tells."),
    Column("Message", _message, description="What happened."),
    Column("First Seen", _first_seen, priority=1, description="How long ago it first happened."),
    Column("Count", _count, type="integer", priority=1, description="How often it happened."),
    Column("Name", ".metadata.name", priority=1, format="name", description="The event's own name."),
)


def _of_face(cell: Cells) -> Cells:
    """A column of events.k8s.io, whose documents name their fields otherwise."""
    return lambda event, now: cell(to_stored(event), now)


FACE_COLUMNS = tuple(
    replace(column, source=_of_face(column.source)) if callable(column.source) else column for column in COLUMNS
)

INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")

EVENT = Kind(
    group="",
    version="v1",
    name="Event",
    plural="events",
    short=("ev",),
    view=Event,
    default=default,
    rules=rules,
    counts_generation=False,
    columns=COLUMNS,
    named=False,
    age=False,
    fields={
        **{f"involvedObject.{field}": ("involvedObject", field) for field in INVOLVED},
        "reason": ("reason",),
        "reportingComponent": ("reportingComponent",),
        "source": ("source", "component"),
        "type": ("type",),
    },
)

EVENTS_EVENT = Kind(
    group="events.k8s.io",
    version="v1",
    name="Event",
    plural="events",
    short=("ev",),
    view=Event,
    default=default,
    rules=strict_rules,
    counts_generation=False,
    columns=FACE_COLUMNS,
    named=False,
    age=False,
    fields={
        **{f"regarding.{field}": ("involvedObject", field) for field in INVOLVED},
        "reason": ("reason",),
        "reportingController": ("reportingComponent",),
        "type": ("type",),
    },
    stored_as=EVENT,
    to_stored=to_stored,
    from_stored=from_stored,
)
