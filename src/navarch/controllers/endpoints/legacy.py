"""Endpoints: the older form of EndpointSlices, one object a Service, cut off at a thousand addresses.

Source: https://kubernetes.io/docs/concepts/services-networking/service/#endpoints
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from navarch.base.clock import rfc3339
from navarch.controllers.controller import Cache, Controller, Watch, own_key
from navarch.controllers.endpoints import targets
from navarch.controllers.endpoints.endpointslice import POD_INDEXES
from navarch.controllers.endpoints.slices import TRIGGER_TIME
from navarch.controllers.endpoints.subsets import READY, UNREADY, repacked
from navarch.controllers.endpoints.targets import Behind
from navarch.controllers.options import Setup
from navarch.controllers.plan import Create, Delete, Event, Patch, Plan, merge_diff
from navarch.kinds import ENDPOINTS, POD, SERVICE
from navarch.kinds.object import Object
from navarch.objects.value import Document, dig

MOST = 1000
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"


@dataclass(frozen=True, slots=True)
class Observed:
    """behind: None when the Service is gone and its Endpoints are left."""

    behind: Behind | None
    existing: Object | None


def controller(setup: Setup) -> Controller[Observed]:
    gone: set[tuple[str, str]] = set()  # Services that were seen to go: their Endpoints go too, whoever wrote them

    def service_key(cache: Cache, service: Object) -> Iterable[Hashable]:
        if cache[SERVICE].get(*service.key) is None:
            gone.add(service.key)
        return (service.key,)

    def look(cache: Cache, key: tuple[str, str]) -> Observed | None:
        if cache[SERVICE].get(*key) is not None or cache[ENDPOINTS].get(*key) is None:
            gone.discard(key)
        return observe(cache, key, key in gone)

    return Controller(
        name="endpoints",
        watches=(
            Watch(SERVICE, service_key, indexes={targets.SELECTED_BY: targets.selector_index}),
            Watch(POD, targets.service_keys, targets.pod_matters, POD_INDEXES, seldom=True, of_head=True),
            Watch(ENDPOINTS, own_key),
        ),
        observe=look,
        plan=plan,
        component="endpoint-controller",
        account="endpoint-controller",
    )


def observe(cache: Cache, key: tuple[str, str], gone: bool = False) -> Observed | None:
    """gone: whether the Service was there. Endpoints that somebody wrote for none stay."""
    existing = cache[ENDPOINTS].get(*key)
    behind = targets.observe(cache, key)
    if behind is not None:
        return Observed(behind, existing)
    ours = existing is not None and (gone or existing.labels.get(MANAGED_BY) == MANAGER)
    return Observed(None, existing) if ours and cache[SERVICE].get(*key) is None else None


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    existing = observed.existing
    if observed.behind is None:
        return Plan((Delete(existing),)) if existing is not None else Plan()
    service = observed.behind.service
    subsets, cut = truncated(subsets_of(observed.behind))
    labels = {key: value for key, value in service.labels.items() if key != targets.HEADLESS_LABEL}
    labels[MANAGED_BY] = MANAGER
    if service.view.headless:
        labels[targets.HEADLESS_LABEL] = ""
    if existing is None:
        return Plan((_new(service, subsets, labels, cut),))
    changes = _changes(existing.document(), subsets, labels, cut)
    if not changes:
        return Plan()
    triggered = _triggered(observed.behind, existing.document(), subsets)
    if dig(existing.document(), "metadata", "annotations", TRIGGER_TIME) != triggered:
        changes.setdefault("metadata", {}).setdefault("annotations", {})[TRIGGER_TIME] = triggered
    message = f"Failed to update endpoint {service.namespace}/{service.name}: {{error}}"
    return Plan((Patch(existing, changes, refused=Event(existing, "FailedToUpdateEndpoint", message, "Warning")),))


def _new(service: Object, subsets: Sequence[Document], labels: Mapping[str, str], cut: bool) -> Create:
    annotations = {OVER_CAPACITY: "truncated"} if cut else {}
    made = service.view.metadata.creation_timestamp
    if made is not None:
        annotations[TRIGGER_TIME] = rfc3339(made)
    metadata: Document = {"name": service.name, "namespace": service.namespace, "labels": dict(labels)}
    if annotations:
        metadata["annotations"] = annotations
    document: Document = {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata}
    if subsets:
        document["subsets"] = list(subsets)
    message = f"Failed to create endpoint for service {service.namespace}/{service.name}: {{error}}"
    return Create(ENDPOINTS, document, refused=Event(service, "FailedToCreateEndpoint", message, "Warning"))


def _triggered(behind: Behind, old: Document, subsets: Sequence[Document]) -> str | None:
    """Since when the first of the pods that came in, or changed between ready and not, has been as it is."""
    before = _states(old.get("subsets") or ())
    moved = {uid for uid, kind in _states(subsets).items() if before.get(uid) != kind}
    moments = [targets.ready_changed(pod.view) for pod in behind.pods if pod.uid in moved]
    first = min((moment for moment in moments if moment is not None), default=None)
    return rfc3339(first) if first is not None else None


def _states(subsets: Iterable[Document]) -> dict[str, str]:
    return {
        str(dig(address, "targetRef", "uid")): kind
        for subset in subsets
        for kind in (READY, UNREADY)
        for address in subset.get(kind) or ()
    }


def _changes(old: Document, subsets: Sequence[Document], labels: dict[str, str], cut: bool) -> Document:
    metadata = old["metadata"]
    changes: Document = {}
    if list(old.get("subsets") or ()) != list(subsets):
        changes["subsets"] = list(subsets) or None
    if label_changes := merge_diff(metadata.get("labels", {}), labels):
        changes["metadata"] = {"labels": label_changes}
    mark = "truncated" if cut else None
    if metadata.get("annotations", {}).get(OVER_CAPACITY) != mark:
        changes.setdefault("metadata", {})["annotations"] = {OVER_CAPACITY: mark}
    return changes


def subsets_of(behind: Behind) -> list[Document]:
    """In a fixed order."""
    service = behind.service
    unready_too = service.view.spec.publish_not_ready_addresses
    family = targets.address_types(service.view)[0]
    found: list[Document] = []
    for pod in behind.pods:
        view = pod.view
        own = [address for address in targets.addresses(view) if targets.family(address) == family]
        if view.terminal or not own or (view.terminating and not unready_too):
            continue
        ports = targets.ports_of(view, service.view)
        if not ports and (service.view.spec.ports or not service.view.headless):
            continue
        kind = READY if unready_too or view.ready else UNREADY
        described = [targets.port_document(port) for port in ports]
        found.append({kind: [_address(pod, own[0], service)], "ports": described})
    return repacked(found)


def _address(pod: Object, ip: str, service: Object) -> Document:
    found: Document = {"ip": ip}
    if pod.view.spec.node_name:
        found["nodeName"] = pod.view.spec.node_name
    if name := targets.hostname(pod.view, service):
        found["hostname"] = name
    return {**found, "targetRef": targets.target_ref(pod)}


def truncated(subsets: list[Document]) -> tuple[list[Document], bool]:
    """At most `MOST` addresses, those that are ready before the others, of each subset its share; whether any were
    left out."""
    ready, unready = (sum(len(subset.get(kind, ())) for subset in subsets) for kind in (READY, UNREADY))
    if ready + unready <= MOST:
        return subsets, False
    kind, most, total = (READY, MOST, ready) if ready > MOST else (UNREADY, MOST - ready, unready)
    left = most
    kept: list[Document] = []
    for subset in subsets:
        share = -(-len(subset.get(kind, ())) * most // total)  # rounded up, at the cost of the last ones
        taken = subset.get(kind, [])[: min(share, left)]
        left -= len(taken)
        dropped = (READY, UNREADY) if kind is READY else (UNREADY,)
        short = {**({kind: taken} if taken else {}), **{k: v for k, v in subset.items() if k not in dropped}}
        if short.get(READY) or short.get(UNREADY):
            kept.append(short)
    return kept, True
