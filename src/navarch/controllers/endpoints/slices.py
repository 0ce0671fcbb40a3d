"""Brings a set of EndpointSlices to what is wanted with as few changes as possible.

Slices are written whole and watched by every node, so an endpoint that stays should stay where it is: slices are filled
up and emptied, never sorted afresh.

Source: https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#distribution-of-endpointslices
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from navarch.base.clock import rfc3339
from navarch.controllers.controller import new_owner_reference
from navarch.controllers.plan import Action, Create, Delete, Event, Patch, merge_diff
from navarch.kinds import ENDPOINTSLICE, SERVICE
from navarch.kinds.endpointslice import MANAGED_BY_LABEL, SERVICE_LABEL
from navarch.kinds.object import Object
from navarch.objects.value import Document, dig

LARGEST = 100
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"

Ports = tuple[tuple[str, int | None, str, str], ...]
"""name, number, protocol, application protocol; sorted."""

Group = tuple[str, Ports]
"""Address type and ports: what all endpoints of a slice have in common."""

Wanted = Mapping[Group, Mapping[str, Document]]
"""Endpoints by something that tells them apart (a uid, an address), for each group."""


def _never(endpoint: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Goal:
    """What the slices of one owner are to be.

    owner: who they belong to. labels: that each of them carries. families: address types of which there is to be a
    slice even when there is no endpoint. since: when the readiness of an endpoint last changed, by what tells it apart.
    mirrored: the annotations of what is mirrored, which each slice then carries; its ports are in one slice each, as
    large as it must be.
    """

    owner: Object
    wanted: Wanted
    labels: Mapping[str, str]
    families: Sequence[str] = ()
    since: Callable[[str], datetime | None] = _never
    mirrored: Mapping[str, str] | None = None


@dataclass(slots=True)
class _Page:
    """A slice under edit; `slice` None for one that is to be made."""

    slice: Object | None
    document: Document
    endpoints: list[Document] = field(default_factory=list)
    changed: bool = False


def identify(endpoint: Document) -> str:
    """The pod's uid where it has one, else its first address."""
    return str(dig(endpoint, "targetRef", "uid") or dig(endpoint, "addresses", 0, default=""))


def ports_of(document: Document) -> Ports:
    found = [
        (port.get("name", ""), port.get("port"), port.get("protocol", "TCP"), port.get("appProtocol", ""))
        for port in document.get("ports") or ()
    ]
    return tuple(sorted(found, key=repr))


def reconcile(goal: Goal, existing: Sequence[Object]) -> tuple[Action, ...]:
    """The writes that bring `existing` to what is wanted."""
    pages: dict[Group, list[_Page]] = {group: [] for group in goal.wanted}
    spare: list[_Page] = []
    gone: list[Object] = []
    for found in sorted(existing, key=lambda one: one.name):
        if goal.owner.uid not in found.owners:  # of one that had its name before; the garbage collector is behind it
            gone.append(found)
            continue
        document = found.document()
        page = _Page(found, document, list(document.get("endpoints") or ()))
        beside = pages.setdefault((str(document.get("addressType", "")), ports_of(document)), [])
        (spare if beside and goal.mirrored is not None else beside).append(page)
    moved: set[str] = set()
    for group, found_pages in pages.items():
        wanted = dict(goal.wanted.get(group, {}))
        moved |= _fill(found_pages, wanted, LARGEST if goal.mirrored is None else max(1, len(wanted)))
    kept = _keep_placeholders(pages, goal.families)
    needed: list[tuple[Group, _Page]] = []
    for group, found_pages in pages.items():
        for page in found_pages:
            if page.slice is None or page.endpoints or id(page) in kept:
                needed.append((group, page))
            else:
                spare.append(page)
    _reuse(needed, spare)
    annotations = _annotations(goal, moved, new=len(gone) == len(existing))
    actions = [write for group, page in needed for write in _write(goal, page, group, annotations)]
    gone += [page.slice for page in spare if page.slice is not None]
    return (*actions, *(Delete(one, refused=_refused(goal.owner, f"delete {one.name}")) for one in gone))


def _fill(pages: list[_Page], wanted: dict[str, Document], largest: int) -> set[str]:
    """Keep what is still wanted, in its place; then put the new ones where a write is due anyway, then where all of
    them fit, then into new slices. Returns those that are new, or as ready as they were not before."""
    moved: set[str] = set()
    for page in pages:
        kept = []
        for endpoint in page.endpoints:
            name = identify(endpoint)
            fresh = wanted.pop(name, None)
            if fresh is None or fresh != endpoint:
                page.changed = True
            if fresh is not None:
                kept.append(fresh)
                if dig(fresh, "conditions", "serving") != dig(endpoint, "conditions", "serving"):
                    moved.add(name)
        page.endpoints = kept
    left = list(wanted.values())
    moved |= wanted.keys()
    for page in sorted((page for page in pages if page.changed), key=lambda page: -len(page.endpoints)):
        room = max(0, largest - len(page.endpoints))
        page.endpoints += left[:room]
        left = left[room:]
    rest = len(left) % largest
    fitting = [page for page in pages if not page.changed and largest - len(page.endpoints) >= rest > 0]
    if fitting:
        page = max(fitting, key=lambda page: len(page.endpoints))
        page.endpoints += left[:rest]
        page.changed = True
        left = left[rest:]
    while left:
        pages.append(_Page(None, {}, left[:largest], changed=True))
        left = left[largest:]
    return moved


def _keep_placeholders(pages: dict[Group, list[_Page]], families: Sequence[str]) -> set[int]:
    """For each family without endpoints one slice without ports, so that readers can tell "none" from "not yet"."""
    kept: set[int] = set()
    for address_type in families:
        groups = {group: found for group, found in pages.items() if group[0] == address_type}
        if any(page.endpoints for found in groups.values() for page in found):
            continue
        empty = pages.setdefault((address_type, ()), [])
        if not empty:
            empty.append(_Page(None, {}))
        kept.add(id(empty[0]))
    return kept


def _reuse(needed: Sequence[tuple[Group, _Page]], spare: list[_Page]) -> None:
    """What is to be made takes the place of what is to go: one write instead of two, and the name stays."""
    for (address_type, _), page in needed:
        if page.slice is not None:
            continue
        found = next((one for one in spare if one.document.get("addressType") == address_type), None)
        if found is not None:
            spare.remove(found)
            page.slice, page.document, page.changed = found.slice, found.document, True


def _annotations(goal: Goal, moved: set[str], new: bool) -> dict[str, str]:
    """Those of what is mirrored; else since when what is written has been so. new: whether there was no slice yet."""
    if goal.mirrored is not None:
        return dict(goal.mirrored)
    known = [moment for name in moved if (moment := goal.since(name)) is not None]
    first = goal.owner.view.metadata.creation_timestamp if new else min(known, default=None)
    return {TRIGGER_TIME: rfc3339(first)} if first is not None else {}


def _write(goal: Goal, page: _Page, group: Group, annotations: Mapping[str, str]) -> Sequence[Action]:
    if page.slice is None:
        if goal.owner.terminating:  # its slices go with it, and none should follow
            return []
        document = _new(goal, group, annotations)
        document["endpoints"] = page.endpoints
        return [Create(ENDPOINTSLICE, document, refused=_refused(goal.owner, "create"))]
    changes: Document = {"endpoints": page.endpoints} if page.changed else {}
    if ports_of(page.document) != group[1]:
        changes["ports"] = _described(group[1])
    present = page.document["metadata"]
    metadata: Document = {}
    if label_changes := merge_diff(present.get("labels", {}), dict(goal.labels)):
        metadata["labels"] = label_changes
    if changes or metadata or goal.mirrored is not None:
        there = present.get("annotations", {})
        ours = there if goal.mirrored is not None else {key: there[key] for key in (TRIGGER_TIME,) if key in there}
        if annotation_changes := merge_diff(ours, dict(annotations)):
            metadata["annotations"] = annotation_changes
    if metadata:
        changes["metadata"] = metadata
    return [Patch(page.slice, changes, refused=_refused(goal.owner, f"update {page.slice.name}"))] if changes else []


def _refused(owner: Object, doing: str) -> Event | None:
    """doing: `create`, or a verb and the slice's name."""
    if owner.kind is not SERVICE:
        return None
    service = f"Service {owner.namespace}/{owner.name}"
    message = f"Error updating Endpoint Slices for {service}: failed to {doing} EndpointSlice for {service}: {{error}}"
    return Event(owner, "FailedToUpdateEndpointSlices", message, "Warning")


def _described(ports: Ports) -> list[Document]:
    described = []
    for name, number, protocol, app_protocol in ports:
        port: Document = {"name": name, "protocol": protocol}
        if number is not None:
            port["port"] = number
        described.append({**port, "appProtocol": app_protocol} if app_protocol else port)
    return described


def _new(goal: Goal, group: Group, annotations: Mapping[str, str]) -> Document:
    metadata: Document = {
        "generateName": f"{goal.owner.name}-",
        "namespace": goal.owner.namespace,
        "labels": dict(goal.labels),
        "ownerReferences": [new_owner_reference(goal.owner)],
    }
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {
        "apiVersion": ENDPOINTSLICE.api_version,
        "kind": ENDPOINTSLICE.name,
        "metadata": metadata,
        "addressType": group[0],
        "ports": _described(group[1]),
    }


def of_service(slices: Sequence[Object], manager: str) -> Sequence[Object]:
    """Those that this manager keeps and that are not on their way out."""
    return [
        found
        for found in slices
        if found.labels.get(MANAGED_BY_LABEL) == manager and found.view.metadata.deletion_timestamp is None
    ]


def service_index(found: Object) -> Sequence[str]:
    """By the Service that a slice belongs to."""
    name = found.labels.get(SERVICE_LABEL)
    return (f"{found.namespace}/{name}",) if name else ()
