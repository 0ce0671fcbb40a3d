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
from navarch.objects import names
from navarch.objects.value import Document, Draft, dig

TEXT_MAX_BYTES = 128
NOTE_MAX_BYTES = 1024
LEAST_SERIES = 2


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
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "type",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
)
"""What of a new event nobody changes: only its series goes on."""

TOLD_AS = {"reportingComponent": "reportingController"}
"""Fields that errors of the newer form call otherwise."""


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
    _of_any(faults, new, "reportingComponent")
    return faults.causes


def strict_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """Of an event written as events.k8s.io; the document is the stored one, and paths are mostly those of its fields,
    as Kubernetes has it."""
    faults = Faults()
    _of_any(faults, new, "reportingController")
    if old is not None:
        if new.get("series") != old.get("series"):
            _series(faults, new)
        for field in SETTLED:
            faults.immutable(TOLD_AS.get(field, field), new.get(field), old.get(field))
        if _to_microseconds(new) != _to_microseconds(old):
            faults.immutable("eventTime", new.get("eventTime"), old.get("eventTime"))
        return faults.causes
    _series(faults, new)
    if not new.get("eventTime"):
        faults.required("eventTime")
    if new.get("type") not in ("Normal", "Warning"):
        faults.invalid("type", "", f"has invalid value: {new.get('type', '')}")
    for field in ("firstTimestamp", "lastTimestamp", "count"):
        if new.get(field):
            faults.invalid(field, "", "needs to be unset")
    source = new.get("source") or {}
    if source.get("component") or source.get("host"):
        faults.invalid("source", "", "needs to be unset")
    return faults.causes


def _to_microseconds(event: Document) -> str:
    """Clients lose what is finer."""
    return str(event.get("eventTime") or "").rstrip("Z")[: len("2026-01-01T00:00:00.000000")]


def _series(faults: Faults, event: Document) -> None:
    series = event.get("series")
    if series is None:
        return
    if series.get("count", 0) < LEAST_SERIES:
        faults.invalid("series.count", "", f"should be at least {LEAST_SERIES}")
    if not series.get("lastObservedTime"):
        faults.required("series.lastObservedTime")


def _of_any(faults: Faults, event: Document, reporting: str) -> None:
    """What holds in both forms. reporting: how the form calls who tells of it."""
    own = dig(event, "metadata", "namespace", default="")
    about = dig(event, "involvedObject", "namespace", default="")
    if event.get("eventTime"):
        beside = bool(about) or own in ("default", "kube-system")
    else:  # of something without a namespace is told in `default`
        beside = about == own or (about == "" and own == "default")
    if not beside:
        faults.invalid("involvedObject.namespace", about, "does not match event.namespace")
    if event.get("eventTime"):
        _newer(faults, event, reporting)
    faults.checked("namespace", own, names.dns_subdomain(own))


def _newer(faults: Faults, event: Document, reporting: str) -> None:
    """An event that says to the microsecond when it happened says also who did what, and why."""
    by = event.get("reportingComponent", "")
    if not by:
        faults.required(reporting)
    faults.checked(reporting, by, names.qualified_name(by))
    for field in ("reportingInstance", "action", "reason"):
        if not event.get(field):
            faults.required(field)
        _short(faults, event, field, TEXT_MAX_BYTES)
    _short(faults, event, "message", NOTE_MAX_BYTES)


def _short(faults: Faults, event: Document, field: str, limit_bytes: int) -> None:
    text: str = event.get(field, "")
    if len(text) * 4 > limit_bytes and len(text.encode()) > limit_bytes:
        faults.invalid(field, "", f"can have at most {limit_bytes} characters")


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
    Column("Count", _count, priority=1, description="How often it happened."),
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
    field_fallbacks={"source": ("reportingComponent",)},
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
