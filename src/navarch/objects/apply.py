"""Field ownership: who manages which field of an object (`metadata.managedFields`), and server-side apply on top.

Every write passes through one of two functions. `updated` notes what a create, update or patch changed. `merge` lays an
applied document over the live one, refuses to change what others own, and drops what its manager no longer applies and
nobody else owns. Both are pure; when nothing changed they return what was there, times included.

An entry names fields as the version has them that its manager wrote in; a change is looked at in each of these versions
(`apply_versions`).

Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import orjson

from navarch.base.clock import rfc3339
from navarch.base.errors import BadRequest, Cause, Conflict
from navarch.objects import apply_last
from navarch.objects.apply_fields import MAX_REMEMBERED_BYTES, compare
from navarch.objects.apply_fields import applied as opinion_of
from navarch.objects.apply_merge import check_items, merged
from navarch.objects.apply_sets import (
    FieldSet,
    difference,
    excluding,
    intersection,
    is_well_formed,
    members,
    of_paths,
    union,
)
from navarch.objects.apply_versions import Change, Convert, one_version, pruned
from navarch.objects.shape import Shape
from navarch.objects.value import Document, dig

Operation = Literal["Apply", "Update"]

MAX_UPDATERS = 10
"""More entries of operation Update than this are merged, the oldest first."""
MAX_MANAGER_CHARACTERS = 128

ANCIENT = "ancient-changes"
BEFORE_FIRST_APPLY = "before-first-apply"

_STRIPPED = of_paths(
    [
        ("apiVersion",),
        ("kind",),
        ("metadata",),
        *(
            ("metadata", name)
            for name in (
                "name",
                "namespace",
                "creationTimestamp",
                "selfLink",
                "uid",
                "clusterName",
                "generation",
                "managedFields",
                "resourceVersion",
            )
        ),
    ]
)
"""What belongs to no manager."""


class _Key(NamedTuple):
    """Who a set of fields belongs to. api_version: "" for Apply, whose entries follow their manager to new versions."""

    manager: str
    operation: str
    subresource: str
    api_version: str

    def __str__(self) -> str:
        """As conflicts name the other party."""
        text = f'"{self.manager}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return f"{text} using {self.api_version}" if self.operation == "Update" else text


class _Owned(NamedTuple):
    fields: FieldSet
    api_version: str
    time: str


_Owners = dict[_Key, _Owned]


def updated(
    old: Document | None,
    new: Document,
    shape: Shape,
    manager: str,
    operation: Operation,
    subresource: str,
    api_version: str,
    now: datetime,
    *,
    ignored: Sequence[tuple[str, ...]] = (),
    convert: Convert = one_version,
) -> list[Document]:
    """The `managedFields` that `new` must be stored with.

    old: the stored document, None on a create. new: after defaults, with the `managedFields` that the client sent, if
    any: an empty list or one empty entry forgets all owners, none at all keeps those of `old`. Both in `api_version`,
    the one that the request is made in, as `shape` is.
    ignored: fields that this request cannot change (`("status",)` on the main resource): it makes nobody own them.

    A document that breaks the rules of its lists (an item without its keys) is no matter here: validation refuses it.
    """
    live = old or {}
    sent = dig(new, "metadata", "managedFields")
    if sent is not None and (sent == [] or sent == [{}]):
        return []
    stored: list[Document] = dig(live, "metadata", "managedFields", default=[])
    edited = bool(sent) and not subresource and sent != stored
    owners = _decoded(sent) if edited and _is_acceptable(sent) else _decoded(stored)
    if old is not None and not owners:
        return []  # tracking was given up; the next apply takes it up again
    try:
        change = Change(shape, api_version, _bare(live), _bare(new), _ignored(ignored), convert)
    except BadRequest:
        return stored
    mine = difference(change.changed, _STRIPPED)
    if not mine and not change.removed and not edited:
        return stored
    owners = _released(owners, change)
    if mine:
        key = _key(manager, operation, subresource, api_version)
        before = owners.get(key)
        fields = union(mine, before.fields) if before else mine
        owners[key] = _Owned(fields, api_version, rfc3339(now))
    return _encoded(_capped(owners))


def merge(
    live: Document | None,
    applied: Document,
    shape: Shape,
    manager: str,
    force: bool,
    now: datetime,
    *,
    subresource: str = "",
    ignored: Sequence[tuple[str, ...]] = (),
    convert: Convert = one_version,
) -> Document:
    """The document that applying `applied` makes of `live` (None: there is none yet), `managedFields` included.

    applied: checked against the schema, but without defaults: only what its author said. `live` and `shape` are in
    its version.

    Raises:
        BadRequest: `applied` holds managedFields, or a keyed list has an item twice or without its keys.
        Conflict: it would change fields that others own, and `force` is off; a cause for each field and owner.
    """
    if dig(applied, "metadata", "managedFields") is not None:
        raise BadRequest("metadata.managedFields must be nil")
    api_version = str(applied.get("apiVersion", ""))
    base = _bare(live or {})
    stored: list[Document] = dig(live or {}, "metadata", "managedFields", default=[])
    owners = _decoded(stored)
    if live is not None and not owners:
        owners = _all_before(base, shape, api_version, now)
    key = _key(manager, "Apply", subresource, api_version)
    last = owners.get(key)
    opinion = excluding(_opinion(shape, applied), _ignored(ignored))
    mine = difference(opinion, _STRIPPED)
    owners[key] = _Owned(opinion, api_version, last.time if last else "")
    result: Document = merged(shape, base, applied)
    if last:
        owned = _by_version(owners)
        if difference(last.fields, owned.get(last.api_version, {})):
            result = pruned(shape, api_version, result, owned, last.fields, last.api_version, convert)
    change = Change(shape, api_version, base, result, _ignored(ignored), convert)
    owners = _settled(change, base, owners, key, force)
    if manager == apply_last.MANAGER and live is not None:
        result = apply_last.remembered(result, applied)
    if mine:
        time = rfc3339(now) if not last or result != base else last.time
        owners[key] = _Owned(mine, api_version, time)
    else:
        owners.pop(key, None)
    entries = _encoded(owners)
    return with_entries(result, stored if entries == stored else entries)


def _opinion(shape: Shape, applied: Document) -> FieldSet:
    """Raises: BadRequest."""
    encoded = orjson.dumps(applied)
    if len(encoded) <= MAX_REMEMBERED_BYTES:
        return _opinion_from(shape, encoded)
    check_items(shape, applied)
    return opinion_of(shape, applied)


@lru_cache(maxsize=512)
def _opinion_from(shape: Shape, encoded: bytes) -> FieldSet:
    """Appliers say the same again and again. Raises: BadRequest."""
    document = orjson.loads(encoded)
    check_items(shape, document)
    return opinion_of(shape, document)


def with_entries(document: Document, entries: Sequence[Document]) -> Document:
    """The document with these `managedFields` (without any, when there are none)."""
    metadata = dict(dig(document, "metadata", default={}))
    metadata.pop("managedFields", None)
    if entries:
        metadata["managedFields"] = entries
    return {**document, "metadata": metadata}


@lru_cache(maxsize=1024)
def manager_of(field_manager: str, user_agent: str) -> str:
    """The name that a request's writes go under: what it says, else the beginning of its user agent.

    Raises:
        BadRequest: a name that is too long or not printable.
    """
    if not field_manager:
        prefix = "".join(filter(str.isprintable, user_agent.partition("/")[0]))
        return prefix[:MAX_MANAGER_CHARACTERS] or "unknown"
    if len(field_manager) > MAX_MANAGER_CHARACTERS:
        raise BadRequest(
            f"fieldManager: Too long: may not be more than {MAX_MANAGER_CHARACTERS} bytes: {field_manager[:20]}…"
        )
    if not field_manager.isprintable():
        raise BadRequest(f'fieldManager: Invalid value: "{field_manager!a}": should only contain printable characters')
    return field_manager


def _key(manager: str, operation: str, subresource: str, api_version: str) -> _Key:
    return _Key(manager, operation, subresource, "" if operation == "Apply" else api_version)


def _ignored(paths: Sequence[tuple[str, ...]]) -> FieldSet:
    return _set_of(tuple(paths)) if paths else {}


@lru_cache(maxsize=1024)
def _set_of(paths: tuple[tuple[str, ...], ...]) -> FieldSet:
    return of_paths(paths)


def _bare(document: Document) -> Document:
    """Without `managedFields`, which is about the document and not in it."""
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or "managedFields" not in metadata:
        return document
    return {**document, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


def _is_acceptable(entries: Any) -> bool:
    """Whether what a client sent can be used; if not, it is as if it had sent nothing."""
    return isinstance(entries, list) and all(
        isinstance(entry, dict)
        and entry.get("operation") in ("Apply", "Update")
        and entry.get("fieldsType") == "FieldsV1"
        and is_well_formed(entry.get("fieldsV1", {}))
        for entry in entries
    )


def _decoded(entries: list[Document]) -> _Owners:
    owners: _Owners = {}
    for entry in entries:
        api_version = entry.get("apiVersion", "")
        key = _key(entry.get("manager", ""), entry["operation"], entry.get("subresource", ""), api_version)
        owners[key] = _Owned(entry.get("fieldsV1", {}), api_version, entry.get("time", ""))
    return owners


def _encoded(owners: _Owners) -> list[Document]:
    """Entries in their canonical order: applies first, then by time, manager, version and subresource."""

    def place(pair: tuple[_Key, _Owned]) -> tuple[str, ...]:
        key, owned = pair
        return (key.operation, owned.time, key.manager, owned.api_version, key.subresource)

    entries = []
    for key, owned in sorted(owners.items(), key=place):
        entry: Document = {"manager": key.manager, "operation": key.operation, "apiVersion": owned.api_version}
        if owned.time:
            entry["time"] = owned.time
        entry["fieldsType"] = "FieldsV1"
        entry["fieldsV1"] = owned.fields
        if key.subresource:
            entry["subresource"] = key.subresource
        entries.append(entry)
    return entries


def _released(owners: _Owners, change: Change) -> _Owners:
    """Every owner without what changed; one that has nothing left, or wrote in a version that is gone, is forgotten."""
    left = {}
    for key, owned in owners.items():
        touched = change.touched(owned.api_version)
        if touched is None:
            continue
        rest = difference(owned.fields, touched)
        if rest:
            left[key] = owned if rest is owned.fields or rest == owned.fields else owned._replace(fields=rest)
    return left


def _by_version(owners: _Owners) -> Mapping[str, FieldSet]:
    """What anybody owns, by the version in which it is told."""
    owned: dict[str, FieldSet] = {}
    for owner in owners.values():
        owned[owner.api_version] = union(owned.get(owner.api_version, {}), owner.fields)
    return owned


def _capped(owners: _Owners) -> _Owners:
    """Merge the oldest updaters of each version into one until there are few enough."""
    updaters = [key for key in owners if key.operation == "Update"]
    excess = len(updaters) - MAX_UPDATERS
    if excess <= 0:
        return owners
    kept = dict(owners)
    first_of: dict[str, _Key] = {}
    for key in sorted(updaters, key=lambda key: (owners[key].time, key.manager, key.api_version, key.subresource)):
        if excess <= 0:
            break
        first = first_of.setdefault(key.api_version, key)
        if first == key:
            continue
        bucket = _Key(ANCIENT, "Update", "", key.api_version)
        if bucket not in kept:
            kept[bucket] = kept.pop(first)
        if bucket != key:
            owned = kept.pop(key)
            kept[bucket] = owned._replace(fields=union(owned.fields, kept[bucket].fields))
            excess -= 1
    return kept


def _all_before(base: Document, shape: Shape, api_version: str, now: datetime) -> _Owners:
    """Owners of an object that nobody tracked: all its fields belong to the time before the first apply."""
    fields = difference(compare(shape, {}, base)[0], _STRIPPED)
    if not fields:
        return {}
    return {_Key(BEFORE_FIRST_APPLY, "Update", "", api_version): _Owned(fields, api_version, rfc3339(now))}


def _settled(change: Change, base: Document, owners: _Owners, mine: _Key, force: bool) -> _Owners:
    """The owners after `base` changed. Raises: Conflict."""
    others = {key: owned for key, owned in owners.items() if key != mine}
    if not force:
        disputed = {
            key: fields
            for key, owned in others.items()
            if (fields := intersection(owned.fields, change.changed_at(owned.api_version) or {}))
        }
        if disputed and mine.manager == apply_last.MANAGER:
            allowed = apply_last.takeable(change.shape, base)
            disputed = {key: difference(fields, allowed) for key, fields in disputed.items()}
        conflicts = [(key, path) for key, fields in disputed.items() for path in members(fields)]
        if conflicts:
            raise _conflict(conflicts)
    return _released(others, change) | {mine: owners[mine]}


def _conflict(conflicts: list[tuple[_Key, str]]) -> Conflict:
    conflicts = sorted(conflicts, key=lambda found: (str(found[0]), found[1]))
    causes = [Cause("FieldManagerConflict", f"conflict with {key}", path) for key, path in conflicts]
    if len(conflicts) == 1:
        key, path = conflicts[0]
        return Conflict(f"Apply failed with 1 conflict: conflict with {key}: {path}", causes=causes)
    lines: list[str] = []
    for name in sorted({str(key) for key, _ in conflicts}):
        lines.append(f"conflicts with {name}:")
        lines.extend(f"- {path}" for key, path in conflicts if str(key) == name)
    return Conflict(f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines), causes=causes)
