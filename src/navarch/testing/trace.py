"""What happens in a simulation, and when: manifests and traces, read into steps.

A manifest is applied at the beginning, or when its annotation `navarch.dev/at` says. A trace is a list of entries:

    - {at: 5m, apply: web.yaml}
    - {at: 10m, scale: {deployment/web: 20}}
    - {at: 15m, fail: node-3}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import msgspec

from navarch.app.machine import seconds
from navarch.base.errors import BadRequest
from navarch.kinds import CUSTOMRESOURCEDEFINITION
from navarch.kinds.registry import DEFAULT
from navarch.objects.value import Document, dig
from navarch.testing.fleet import Fleet, add_item
from navarch.testing.yamlfile import Item, items_of

AT = "navarch.dev/at"
MOST_TIMES = 100_000
MADE_BY_SERVERS = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink")
LEFT_OUT = ("Event", "Lease", "EndpointSlice", "Endpoints")
"""Kinds of an export that a cluster makes by itself."""
FIRST = ("Namespace", "CustomResourceDefinition", "PriorityClass", "StorageClass", "RuntimeClass", "DeviceClass")
"""Applied before what else comes at the same moment, in this order."""

Duration = str | int | float


@dataclass(frozen=True, slots=True)
class Apply:
    document: Document


@dataclass(frozen=True, slots=True)
class Delete:
    """target: `deployment/web`."""

    target: str
    namespace: str


@dataclass(frozen=True, slots=True)
class Patch:
    target: str
    namespace: str
    patch: Document


@dataclass(frozen=True, slots=True)
class Power:
    """A node falls silent, or is back."""

    node: str
    on: bool


@dataclass(frozen=True, slots=True)
class Cordon:
    node: str
    unschedulable: bool


Action = Apply | Delete | Patch | Power | Cordon


@dataclass(frozen=True, slots=True)
class Step:
    """at_s: since the beginning. where: the place that says so."""

    at_s: float
    where: str
    action: Action


class Entry(msgspec.Struct, forbid_unknown_fields=True):
    """One entry of a trace. every, times: it happens so often, the first time at `at`."""

    at: Duration = 0
    every: Duration | None = None
    times: int = 1
    namespace: str = "default"
    apply: Any = None
    delete: str | tuple[str, ...] = ()
    scale: dict[str, int] = {}
    patch: dict[str, dict[str, Any]] = {}
    fail: str | tuple[str, ...] = ()
    heal: str | tuple[str, ...] = ()
    cordon: str | tuple[str, ...] = ()
    uncordon: str | tuple[str, ...] = ()


@dataclass(slots=True)
class Trace:
    """fleet: nodes that stood among the manifests. left_out: what an export has and a cluster makes itself."""

    steps: list[Step] = field(default_factory=list)
    fleet: Fleet = field(default_factory=Fleet)
    left_out: int = 0

    def ordered(self) -> list[Step]:
        """By time; at one moment first what others need, else as it was given."""
        return sorted(self.steps, key=lambda step: (step.at_s, _rank(step.action)))


def _rank(action: Action) -> int:
    if isinstance(action, Apply) and action.document["kind"] in FIRST:
        return FIRST.index(action.document["kind"])
    return len(FIRST)


def duration(value: Duration, where: str, name: str = "at") -> float:
    """Raises: BadRequest."""
    try:
        found = seconds(value) if isinstance(value, str) else float(value)
    except ValueError as error:
        raise BadRequest(f"{where}: {name}: {error}") from None
    if not 0 <= found < float("inf"):
        raise BadRequest(f"{where}: {name}: {value} lies before the beginning; times count from 0")
    return found


def outage(text: str) -> list[Step]:
    """text: `node-3@10m..20m`, or `node-3@10m` for good. Raises: BadRequest."""
    where = f"--fail {text}"
    node, at, span = text.partition("@")
    begin, dots, end = span.partition("..")
    if not (node and at and begin) or (dots and not end):
        raise BadRequest(f"{where}: write NODE@FROM..UNTIL, such as node-3@10m..20m, or NODE@FROM")
    from_s = duration(begin, where, "from")
    steps = [Step(from_s, where, Power(node, on=False))]
    if dots:
        until_s = duration(end, where, "until")
        if until_s <= from_s:
            raise BadRequest(f"{where}: it ends ({end}) before it begins ({begin})")
        steps.append(Step(until_s, where, Power(node, on=True)))
    return steps


def read(sources: Iterable[str]) -> Trace:
    """Files, folders and `-`, in order. Raises: BadRequest, with file and line."""
    trace = Trace()
    for source in sources:
        for item in items_of(source):
            _take(trace, item)
    _check_kinds(trace.steps)
    return trace


def _take(trace: Trace, item: Item) -> None:
    value = item.value
    if not isinstance(value, Mapping):
        raise BadRequest(f"{item.where}: {str(value)[:60]!r} is neither a manifest nor an entry of a trace")
    if "kind" in value or "apiVersion" in value:
        if value.get("kind") == "Node":
            add_item(trace.fleet, item)
        else:
            _manifest(trace, item, 0.0, "")
        return
    try:
        entry = msgspec.convert(value, Entry)
    except msgspec.ValidationError as error:
        raise BadRequest(f"{item.where}: {_told(error)}") from None
    _entry(trace, item, entry)


def _told(error: Exception) -> str:
    fields = ", ".join(name for name in Entry.__struct_fields__)
    return f"{error}; an entry of a trace has {fields}" if "unknown field" in str(error) else str(error)


def _entry(trace: Trace, item: Item, entry: Entry) -> None:
    where, space = item.where, entry.namespace
    begin_s = duration(entry.at, where)
    if not 1 <= entry.times <= MOST_TIMES:
        raise BadRequest(f"{where}: times: must be between 1 and {MOST_TIMES}")
    if entry.times > 1 and entry.every is None:
        raise BadRequest(f"{where}: times: say how often, too: every: 1m")
    every_s = duration(entry.every, where, "every") if entry.every is not None else 0.0
    actions: list[Action] = [Delete(target, space) for target in _many(entry.delete)]
    actions += [Patch(target, space, {"spec": {"replicas": number}}) for target, number in entry.scale.items()]
    actions += [Patch(target, space, patch) for target, patch in entry.patch.items()]
    actions += [Power(node, on=False) for node in _many(entry.fail)]
    actions += [Power(node, on=True) for node in _many(entry.heal)]
    actions += [Cordon(node, unschedulable=True) for node in _many(entry.cordon)]
    actions += [Cordon(node, unschedulable=False) for node in _many(entry.uncordon)]
    for action in actions:
        if isinstance(action, Delete | Patch) and not all(action.target.partition("/")):
            raise BadRequest(f"{where}: {action.target!r} names nothing: write kind/name, such as deployment/web")
    if not actions and entry.apply is None:
        raise BadRequest(f"{where}: nothing happens here: say apply, delete, scale, patch, fail, heal or cordon")
    brought = list(_brought(item, entry.apply))
    for number in range(entry.times):
        at_s = begin_s + number * every_s
        for one in brought:
            _manifest(trace, one, at_s, space)
        trace.steps += [Step(at_s, where, action) for action in actions]


def _many(value: str | Sequence[str]) -> Sequence[str]:
    return (value,) if isinstance(value, str) else value


def _brought(item: Item, apply: Any) -> Iterable[Item]:
    """What an entry applies: manifests in it, or files beside it."""
    if apply is None:
        return
    for one in apply if isinstance(apply, list) else [apply]:
        if isinstance(one, str):
            yield from items_of(one, item.folder)
        else:
            yield Item(one, item.where, item.folder)


def _manifest(trace: Trace, item: Item, at_s: float, namespace: str) -> None:
    document = item.value
    if not isinstance(document, Mapping) or not document.get("kind") or not document.get("apiVersion"):
        raise BadRequest(f"{item.where}: no manifest, it lacks apiVersion or kind")
    metadata = document.get("metadata")
    if not isinstance(metadata, Mapping) or not (metadata.get("name") or metadata.get("generateName")):
        raise BadRequest(f"{item.where}: the {document['kind']} has no metadata.name")
    owners = metadata.get("ownerReferences") or ()
    if document["kind"] in LEFT_OUT or any(owner.get("controller") for owner in owners):
        trace.left_out += 1
        return
    kept = {name: value for name, value in metadata.items() if name not in MADE_BY_SERVERS}
    if namespace:
        kept.setdefault("namespace", namespace)
    later = (metadata.get("annotations") or {}).get(AT)
    if later is not None:
        at_s = duration(str(later), f"{item.where}, annotation {AT}")
    made = {name: value for name, value in document.items() if name != "status"}
    trace.steps.append(Step(at_s, item.where, Apply({**made, "metadata": kept})))


def _check_kinds(steps: Iterable[Step]) -> None:
    """Raises: BadRequest, for a kind that nobody defines."""
    documents = [(step.where, step.action.document) for step in steps if isinstance(step.action, Apply)]
    defined = {
        (f"{dig(d, 'spec', 'group', default='')}/{version.get('name')}", dig(d, "spec", "names", "kind", default=""))
        for _, d in documents
        if d["kind"] == CUSTOMRESOURCEDEFINITION.name
        for version in dig(d, "spec", "versions", default=())
    }
    for where, document in documents:
        version, name = str(document["apiVersion"]), str(document["kind"])
        if (version, name) in defined or DEFAULT.named(version, name) is not None:
            continue
        versions = [kind.api_version for kind in DEFAULT if kind.name == name]
        near = get_close_matches(name, sorted({kind.name for kind in DEFAULT}), 1)
        hint = "bring its CustomResourceDefinition along"
        if versions:
            hint = f"it is in {versions[0]}"
        elif near:
            hint = f"did you mean {near[0]}"
        raise BadRequest(f'{where}: no matches for kind "{name}" in version "{version}"; {hint}')
