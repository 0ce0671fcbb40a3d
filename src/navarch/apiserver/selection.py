"""Which objects of a kind a list or a watch is about: a namespace, a label selector and a field selector.

`narrow` names the one requirement by which an index finds candidates (or a dispatcher finds watchers), so that neither
scans; `matches` is the whole truth.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from sys import intern
from typing import Any, NamedTuple

import msgspec

from navarch.base.errors import BadRequest
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.objects import selector
from navarch.objects.selector import Selector

FieldValues = tuple[str, ...]
Narrow = tuple[str, str, str]
"""(what it is about: namespace, label or field; its name; its value)."""


def _nested(name: str, paths: list[tuple[str, ...]]) -> type[msgspec.Struct]:
    """A struct that decodes the values at `paths`, and nothing else, out of a document."""
    members: list[tuple[str, Any, Any]] = []
    rename: dict[str, str] = {}
    for number, first in enumerate(dict.fromkeys(path[0] for path in paths)):
        deeper = [path[1:] for path in paths if path[0] == first and len(path) > 1]
        member = f"f{number}"
        rename[member] = first
        type_: Any = _nested(f"{name}{number}", deeper) | None if deeper else Any
        members.append((member, type_, None))
    return msgspec.defstruct(name, members, rename=rename, gc=False)


def _follow(shape: Any, path: tuple[str, ...]) -> Callable[[Any], Any]:
    steps: list[str] = []
    for step in path:
        steps.append(next(f.name for f in msgspec.structs.fields(shape) if f.encode_name == step))
        if len(steps) < len(path):
            deeper = next(f.type for f in msgspec.structs.fields(shape) if f.encode_name == step)
            shape = deeper.__args__[0]

    def follow(value: Any) -> Any:
        for step in steps:
            if value is None:
                return None
            value = getattr(value, step)
        return value

    return follow


def _text(value: Any, zero: str) -> str:
    if value is None:
        return zero
    if isinstance(value, bool):
        return "true" if value else "false"
    return intern(str(value))


@lru_cache(maxsize=1024)
def field_reader(kind: Kind) -> Callable[[Object], FieldValues]:
    """What reads the values of `kind.fields`, in their order, out of a stored object."""
    paths = list(kind.fields.values())
    if not paths:
        return lambda _: ()
    shape = _nested("Selectable", [*paths, *kind.field_fallbacks.values()])
    decode = msgspec.json.Decoder(shape).decode
    follows = tuple((_follow(shape, path), kind.field_zeros.get(name, "")) for name, path in kind.fields.items())

    def read(found: Object) -> FieldValues:
        value = decode(found.raw)
        return tuple(_text(follow(value), zero) for follow, zero in follows)

    if not kind.field_fallbacks:
        return read
    instead = tuple(_follow(shape, kind.field_fallbacks.get(name, path)) for name, path in kind.fields.items())

    def read_either(found: Object) -> FieldValues:
        value = decode(found.raw)
        return tuple(
            _text(follow(value) or other(value), zero) for (follow, zero), other in zip(follows, instead, strict=True)
        )

    return read_either


MOST_COMPARED = 2_000
"""Of one selector: with as many as fit into a URL, one list of many objects would take longer than a request may."""


EMPTY = -3


class FieldRequirement(NamedTuple):
    """place: the field's index in `kind.fields`, below 0 for the name (-1), the namespace (-2) and what is always
    empty."""

    name: str
    place: int
    equal: bool
    value: str

    def met(self, found: Object, values: FieldValues) -> bool:
        if self.place == -1:
            actual = found.name
        elif self.place == -2:
            actual = found.namespace
        elif self.place == EMPTY:
            actual = ""
        else:
            actual = values[self.place]
        return (actual == self.value) is self.equal


class Selection:
    """Parsed once, compared by its texts. Treat as frozen.

    kind: the one as which objects are stored; a kind that is another face of it names fields in its own words.
    weight: how much is compared, at most, to find out whether one object is chosen.
    """

    __slots__ = (
        "everything",
        "fields",
        "key",
        "kind",
        "labels",
        "name",
        "namespace",
        "narrow",
        "reads_fields",
        "weight",
    )

    def __init__(self, kind: Kind, namespace: str = "", labels: str = "", fields: str = "") -> None:
        """Raises: BadRequest, when a selector cannot be parsed or names a field that is not selectable."""
        self.kind = kind.stored_as or kind
        self.namespace = namespace
        self.labels = _labels(labels)
        self.fields = _fields(kind, fields)
        self.key = (
            namespace,
            labels,
            ",".join(f"{one.name}{'=' if one.equal else '!='}{one.value}" for one in self.fields),
        )
        self.reads_fields = any(one.place >= 0 for one in self.fields)
        self.everything = self.labels is None and not self.fields and not namespace
        self.name = next((one.value for one in self.fields if one.place == -1 and one.equal), "")
        self.narrow = self._narrow()
        self.weight = len(self.fields)
        if self.labels is not None:
            self.weight += sum(max(1, len(one.values)) for one in self.labels.requirements)
        if self.weight > MOST_COMPARED:
            raise BadRequest(f"a selector may not have more than {MOST_COMPARED} requirements and values")

    def _narrow(self) -> Narrow | None:
        for one in self.fields:
            if one.equal and one.place >= 0:
                return ("field", one.name, one.value)
        if self.name:
            return ("field", "metadata.name", self.name)
        for name, value in self.labels.exact.items() if self.labels else ():
            return ("label", name, value)
        return ("namespace", "", self.namespace) if self.namespace else None

    def matches(self, found: Object, values: FieldValues | None = None) -> bool:
        """values: those of the object's selectable fields when they are at hand already."""
        if self.everything:
            return True
        if self.namespace and found.namespace != self.namespace:
            return False
        if self.labels is not None and not self.labels.matches(found.labels):
            return False
        if self.fields:
            if values is None:
                values = field_reader(self.kind)(found) if self.reads_fields else ()
            return all(one.met(found, values) for one in self.fields)
        return True


def _labels(text: str) -> Selector | None:
    found = selector.parse(text)
    return None if found.everything else found


def _fields(kind: Kind, text: str) -> tuple[FieldRequirement, ...]:
    if not text:
        return ()
    terms = selector.fields(text)
    aliases = kind.field_aliases
    selector.check_fields(terms, {**kind.fields, **aliases} if aliases else kind.fields)
    numbers = {path: number for number, path in enumerate((kind.stored_as or kind).fields.values())}
    places = {name: numbers[path] for name, path in kind.fields.items()}
    names = list((kind.stored_as or kind).fields)
    places |= {"metadata.name": -1, "metadata.namespace": -2}
    found = []
    for term in terms.terms:
        field = aliases.get(term.field, term.field)
        place = places[field] if field else EMPTY
        found.append(FieldRequirement(names[place] if place >= 0 else field, place, not term.negated, term.value))
    return tuple(found)


EVERYTHING: dict[Kind, Selection] = {}


def everything(kind: Kind) -> Selection:
    """The selection of all objects of a kind."""
    found = EVERYTHING.get(kind)
    if found is None:
        found = EVERYTHING[kind] = Selection(kind)
    return found
