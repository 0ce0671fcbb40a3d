"""The present state of one kind and its recent past, fed by the store in revision order: what reads are served from.

Rows are `Object`s: encoded bytes and index fields, shared with informers in this process. Indexes by label and by
selectable field are made when first asked for and kept up from then on. A bounded window of changes, each with the
object before it, gives watches from the past, and lists of an exact revision by undoing what came after it.

The feed (`feed.py`) writes, and knows up to which revision; verbs read; nobody else writes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence

from navarch.apiserver import keys, stored
from navarch.apiserver.selection import FieldValues, Narrow, Selection, field_reader
from navarch.apiserver.watchers import Change, Frame, Switchboard, Watcher, transition
from navarch.base.errors import Expired
from navarch.client.client import EventType
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.store.store import Row

WINDOW_CHANGES = 8192
WINDOW_USUAL = 512
"""As many for kinds of few objects, above that two for each object."""
WINDOW_BYTES = 32 << 20
WINDOW_LEAST = 128
VIEWED_CHANGES = 64
"""How long a superseded object keeps its view, which is larger than its bytes: those who follow read it at once."""


class _Index:
    """The places of each value of one label or one field."""

    __slots__ = ("by_value", "read")

    def __init__(self, read: Callable[[Object, FieldValues], str | None]) -> None:
        self.by_value: dict[str, set[str]] = {}
        self.read = read

    def add(self, place: str, value: str | None) -> None:
        if value is not None:
            self.by_value.setdefault(value, set()).add(place)

    def remove(self, place: str, value: str | None) -> None:
        if value is not None:
            places = self.by_value[value]
            places.remove(place)
            if not places:
                del self.by_value[value]


class WatchCache:
    """One kind."""

    def __init__(self, kind: Kind, window: int = WINDOW_CHANGES) -> None:
        self.kind = kind
        self.version = 0
        self._floor = 0
        self._rows: dict[str, Object] = {}
        self._order: list[str] = []
        self._window: deque[Change] = deque()
        self._window_most = window
        self._window_bytes = 0
        self._read_fields = field_reader(kind)
        self._field_names = {name: number for number, name in enumerate(kind.fields)}
        self._fields: dict[str, FieldValues] | None = None
        self._indexes: dict[tuple[str, str], _Index] = {}
        self._switchboard = Switchboard()

    # What the feed does.

    def load(self, rows: Iterable[Row], revision: int) -> None:
        """Start over from rows of one moment, in key order; ends every watch, for what happened between is unknown."""
        self._switchboard.end()
        self._rows = {}
        for row in rows:
            self._rows[keys.split(row.key)[1]] = stored.restore(self.kind, row.value, row.revision)
        self._order = sorted(self._rows)
        self._window.clear()
        self._window_bytes = 0
        self._fields = None
        self._indexes = {}
        self._floor = self.version = revision

    def apply(self, revision: int, place: str, value: bytes | None) -> None:
        """One change of the store (value None: deleted), in order. Hands it to every watcher that it concerns."""
        previous = self._rows.get(place)
        found = None if value is None else stored.restore(self.kind, value, revision)
        if found is None and previous is None:
            return
        change = Change(revision, place, found, previous, self._fields.get(place) if self._fields is not None else None)
        self._index(change)
        if found is None:
            del self._rows[place]
            del self._order[bisect_left(self._order, place)]
        else:
            self._rows[place] = found
            if previous is None:
                insort(self._order, place)
        self.version = revision
        self._remember(change)
        for channel in self._switchboard.channels(self._concerned(change)):
            channel.publish(change, self._farewell)

    def close(self) -> None:
        self._switchboard.end()

    def _farewell(self, last: Object, revision: int) -> Object:
        return Object(last.kind, stored.splice(last.kind, stored.unspliced(last.kind, last.raw), revision))

    def _remember(self, change: Change) -> None:
        self._window.append(change)
        self._window_bytes += len(change.object.raw) if change.object else 0
        if len(self._window) > VIEWED_CHANGES and (last := self._window[-VIEWED_CHANGES - 1].previous) is not None:
            last.forget_view()
        most = min(self._window_most, max(WINDOW_USUAL, 2 * len(self._rows)))
        while len(self._window) > most or (self._window_bytes > WINDOW_BYTES and len(self._window) > WINDOW_LEAST):
            oldest = self._window.popleft()
            self._window_bytes -= len(oldest.object.raw) if oldest.object else 0
            self._floor = oldest.revision

    def _concerned(self, change: Change) -> list[Narrow]:
        """The values by which channels that may want this change are found, each once."""
        found: dict[Narrow, None] = {}
        some = change.object or change.previous
        assert some is not None
        for what, name in self._switchboard.names:
            if what == "namespace":
                found[what, name, some.namespace] = None
            elif what == "label":
                for one in (change.object, change.previous):
                    if one is not None and name in one.labels:
                        found[what, name, one.labels[name]] = None
            elif name == "metadata.name":
                found[what, name, some.name] = None
            else:
                self._read(change)
                number = self._field_names[name]
                for values in (change.new, change.old):
                    if values is not None:
                        found[what, name, values[number]] = None
        return list(found)

    def _read(self, change: Change) -> None:
        """Fill in the values of the selectable fields on both sides of a change."""
        if change.new is None and change.object is not None:
            change.new = self._read_fields(change.object)
        if change.old is None and change.previous is not None:
            change.old = self._read_fields(change.previous)

    # Indexes.

    def _index(self, change: Change) -> None:
        if self._fields is not None:
            self._read(change)
            if change.new is None:
                self._fields.pop(change.place, None)
            else:
                self._fields[change.place] = change.new
        for index in self._indexes.values():
            old = None if change.previous is None else index.read(change.previous, change.old or ())
            new = None if change.object is None else index.read(change.object, change.new or ())
            if old != new:
                index.remove(change.place, old)
                index.add(change.place, new)

    def _places(self, what: str, name: str, value: str) -> set[str] | frozenset[str]:
        """The places whose label or field `name` is `value`."""
        index = self._indexes.get((what, name))
        if index is None:
            index = self._indexes[what, name] = self._new_index(what, name)
        return index.by_value.get(value, frozenset())

    def _new_index(self, what: str, name: str) -> _Index:
        if what == "label":
            index = _Index(lambda found, _: found.labels.get(name))
        else:
            number = self._field_names[name]
            index = _Index(lambda _, values: values[number])
            if self._fields is None:
                self._fields = {place: self._read_fields(found) for place, found in self._rows.items()}
        for place, found in self._rows.items():
            index.add(place, index.read(found, self._fields[place] if self._fields is not None else ()))
        return index

    # Reads: all synchronous, all of one moment.

    def __len__(self) -> int:
        return len(self._rows)

    def count(self, namespace: str = "") -> int:
        """How many objects there are, in one namespace or in all."""
        if not namespace:
            return len(self._rows)
        low, high = self._span(namespace)
        return high - low

    @property
    def events(self) -> int:
        """How many were handed to watchers so far."""
        return self._switchboard.events

    def get(self, place: str) -> Object | None:
        return self._rows.get(place)

    def all(self) -> list[Object]:
        """Every object, in order."""
        return [self._rows[place] for place in self._order]

    def within(self, namespace: str) -> list[Object]:
        """The objects of one namespace, in order."""
        rows, (low, high) = self._rows, self._span(namespace)
        return [rows[place] for place in self._order[low:high]]

    def _span(self, namespace: str) -> tuple[int, int]:
        """Where in the order the namespace's places stand."""
        return bisect_left(self._order, namespace + "/"), bisect_left(self._order, namespace + "0")  # "0" follows "/"

    def select(self, selection: Selection, *, at: int = 0, after: str = "") -> list[Object]:
        """The objects of a selection in order, those behind the place `after`. at: the exact revision, 0 for now.

        Raises: Expired, when `at` lies before the window.
        """
        overlay = self._undone(at) if at and at < self.version else {}
        places = self._candidates(selection, after)
        if overlay:
            extra = {place for place, was in overlay.items() if was is not None and place > after}
            places = sorted(extra.union(places))
        rows, fields, found = self._rows, self._fields, []
        whole = selection.everything or (selection.key == (selection.namespace, "", "") and not overlay)
        for place in places:
            one = overlay[place] if place in overlay else rows[place]
            if one is None:
                continue
            if whole:
                found.append(one)
                continue
            values = fields[place] if fields is not None and place not in overlay else None
            if selection.matches(one, values):
                found.append(one)
        return found

    def page(self, selection: Selection, limit: int, *, at: int = 0, after: str = "") -> tuple[list[Object], int]:
        """The first `limit` (above 0) of what `select` gives, and how many follow: of a selection by labels or fields
        only whether any do. Looks no further than it must.

        Raises: Expired.
        """
        if at and at < self.version:
            found = self.select(selection, at=at, after=after)
            return found[:limit], len(found) - min(limit, len(found))
        rows, fields = self._rows, self._fields
        places = self._candidates(selection, after)
        if selection.everything or selection.key == (selection.namespace, "", ""):
            return [rows[place] for place in places[:limit]], max(0, len(places) - limit)
        found = []
        for place in places:
            one = rows[place]
            if selection.matches(one, fields[place] if fields is not None else None):
                if len(found) == limit:
                    return found, 1
                found.append(one)
        return found, 0

    def _candidates(self, selection: Selection, after: str) -> Sequence[str]:
        """Places, in order, among which all present objects of the selection are."""
        narrow = selection.narrow
        if narrow and narrow[0] == "field" and narrow[1] == "metadata.name":
            narrow = ("namespace", "", selection.namespace) if selection.namespace else None
            if selection.namespace or not self.kind.namespaced:
                place = keys.place(selection.namespace, selection.name)
                return [place] if place in self._rows and place > after else []
        if narrow and narrow[0] != "namespace":
            return sorted(place for place in self._places(*narrow) if place > after)
        low, high = 0, len(self._order)
        if selection.namespace:
            low, high = self._span(selection.namespace)
        if after:
            low = max(low, bisect_right(self._order, after))
        return self._order[low:high]

    def _undone(self, revision: int) -> dict[str, Object | None]:
        """What differed at `revision`: place -> the object that was there, None where there was none."""
        self._known_since(revision)
        found: dict[str, Object | None] = {}
        for change in reversed(self._window):
            if change.revision <= revision:
                break
            found[change.place] = change.previous
        return found

    def _known_since(self, revision: int) -> None:
        if revision < self._floor:
            raise Expired(f"too old resource version: {revision} ({self._floor})")

    def join(
        self, selection: Selection, form: Hashable, frame: Frame, since: int | None
    ) -> tuple[list[tuple[EventType, Object]], Watcher]:
        """Watch from now on; with what was missed since revision `since` (None: nothing was).

        Raises: Expired.
        """
        missed: list[tuple[EventType, Object]] = []
        if since is not None:
            self._known_since(since)
            late: list[Change] = []
            for change in reversed(self._window):
                if change.revision <= since:
                    break
                late.append(change)
            for change in reversed(late):
                found = transition(change, selection, self._farewell)
                if found:
                    missed.append(found)
        return missed, self._switchboard.join(selection, form, frame)
