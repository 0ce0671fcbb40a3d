"""Brings a set of EndpointSlices to what is wanted with as few changes as possible.

Slices are written whole and watched by every node, so an endpoint that stays should stay where it is: slices are filled
up and emptied, never sorted afresh.

Source: https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#distribution-of-endpointslices
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from navarch.controllers.controller import new_owner_reference
from navarch.controllers.plan import Action, Create, Delete, Event, Patch, merge_diff
from navarch.kinds import ENDPOINTSLICE
from navarch.kinds.endpointslice import MANAGED_BY_LABEL, SERVICE_LABEL
from navarch.kinds.object import Object
from navarch.objects.value import Document, dig

LARGEST = 100

Ports = tuple[tuple[str, int | None, str, str], ...]
"""name, number, protocol, application protocol; sorted."""

Group = tuple[str, Ports]
"""Address type and ports: what all endpoints of a slice have in common."""

Wanted = Mapping[Group, Mapping[str, Document]]
"""Endpoints by something that tells them apart (a uid, an address), for each group."""


@dataclass(slots=True)
class _Page:
    """A slice under edit; `slice` None for one that is to be made."""

    slice: Object | None
    document: Document
    endpoints: list[Document] = field(default_factory=list)
    changed: bool = False

    @property
    def room(self) -> int:
        return LARGEST - len(self.endpoints)


def identify(endpoint: Document) -> str:
    """The pod's uid where it has one, else its first address."""
    return str(dig(endpoint, "targetRef", "uid") or dig(endpoint, "addresses", 0, default=""))


def ports_of(document: Document) -> Ports:
    found = [
        (port.get("name", ""), port.get("port"), port.get("protocol", "TCP"), port.get("appProtocol", ""))
        for port in document.get("ports") or ()
    ]
    return tuple(sorted(found, key=repr))


def reconcile(
    owner: Object, existing: Sequence[Object], wanted: Wanted, labels: Mapping[str, str], families: Sequence[str]
) -> tuple[Action, ...]:
    """The writes that bring `existing` to `wanted`.

    owner: who the slices belong to. labels: that each of them carries. families: address types of which there is to be
    a slice even when there is no endpoint.
    """
    pages: dict[Group, list[_Page]] = {group: [] for group in wanted}
    for found in sorted(existing, key=lambda one: one.name):
        document = found.document()
        group = (str(document.get("addressType", "")), ports_of(document))
        pages.setdefault(group, []).append(_Page(found, document, list(document.get("endpoints") or ())))
    for group, found_pages in pages.items():
        _fill(found_pages, dict(wanted.get(group, {})))
    kept = _keep_placeholders(pages, families)
    actions: list[Action] = []
    for (address_type, ports), found_pages in pages.items():
        for page in found_pages:
            if page.slice is None or page.endpoints or id(page) in kept:
                actions += _write(owner, page, address_type, ports, labels)
            else:
                actions.append(Delete(page.slice))
    return tuple(sorted(actions, key=lambda action: isinstance(action, Delete)))


def _fill(pages: list[_Page], wanted: dict[str, Document]) -> None:
    """Keep what is still wanted, in its place; then put the new ones where a write is due anyway, then where all of
    them fit, then into new slices."""
    for page in pages:
        kept = []
        for endpoint in page.endpoints:
            fresh = wanted.pop(identify(endpoint), None)
            if fresh is None or fresh != endpoint:
                page.changed = True
            if fresh is not None:
                kept.append(fresh)
        page.endpoints = kept
    left = list(wanted.values())
    for page in sorted((page for page in pages if page.changed), key=lambda page: page.room):
        taken = left[: page.room]
        page.endpoints += taken
        left = left[len(taken) :]
    if not left:
        return
    fitting = [page for page in pages if not page.changed and page.room >= len(left) % LARGEST > 0]
    if fitting:
        page = min(fitting, key=lambda page: page.room)
        rest = len(left) % LARGEST
        page.endpoints += left[:rest]
        page.changed = True
        left = left[rest:]
    while left:
        pages.append(_Page(None, {}, left[:LARGEST], changed=True))
        left = left[LARGEST:]


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


def _write(owner: Object, page: _Page, address_type: str, ports: Ports, labels: Mapping[str, str]) -> Sequence[Action]:
    if page.slice is None:
        document = _new(owner, address_type, ports, labels)
        return [Create(ENDPOINTSLICE, {**document, "endpoints": page.endpoints}, refused=_refused(owner, "create"))]
    changes: Document = {"endpoints": page.endpoints} if page.changed else {}
    present = page.document["metadata"].get("labels", {})
    if label_changes := merge_diff(present, dict(labels)):
        changes["metadata"] = {"labels": label_changes}
    return [Patch(page.slice, changes, refused=_refused(owner, "update"))] if changes else []


def _refused(owner: Object, verb: str) -> Event:
    kind = owner.kind.name
    message = f"Error trying to {verb} EndpointSlices for {kind} {owner.namespace}/{owner.name}: {{error}}"
    return Event(owner, "FailedToUpdateEndpointSlices", message, "Warning")


def _new(owner: Object, address_type: str, ports: Ports, labels: Mapping[str, str]) -> Document:
    described = []
    for name, number, protocol, app_protocol in ports:
        port: Document = {"name": name, "protocol": protocol}
        if number is not None:
            port["port"] = number
        described.append({**port, "appProtocol": app_protocol} if app_protocol else port)
    return {
        "apiVersion": ENDPOINTSLICE.api_version,
        "kind": ENDPOINTSLICE.name,
        "metadata": {
            "generateName": f"{owner.name}-",
            "namespace": owner.namespace,
            "labels": dict(labels),
            "ownerReferences": [new_owner_reference(owner)],
        },
        "addressType": address_type,
        "ports": described,
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
