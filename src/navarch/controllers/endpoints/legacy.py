"""Endpoints: the older form of EndpointSlices, one object a Service, cut off at a thousand addresses.

Source: https://kubernetes.io/docs/concepts/services-networking/service/#endpoints
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from navarch.controllers.controller import Cache, Controller, Watch, own_key
from navarch.controllers.endpoints import targets
from navarch.controllers.endpoints.endpointslice import POD_INDEXES
from navarch.controllers.endpoints.targets import Behind
from navarch.controllers.options import Setup
from navarch.controllers.plan import Create, Delete, Event, Patch, Plan, merge_diff
from navarch.kinds import ENDPOINTS, POD, SERVICE
from navarch.kinds.object import Object
from navarch.kinds.pod import Pod
from navarch.kinds.service import ServicePort
from navarch.objects.value import Document

MOST = 1000
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"

Ports = tuple[ServicePort, ...]


@dataclass(frozen=True, slots=True)
class Observed:
    """behind: None when the Service is gone and its Endpoints are left."""

    behind: Behind | None
    existing: Object | None


def controller(setup: Setup) -> Controller[Observed]:
    return Controller(
        name="endpoints",
        watches=(
            Watch(SERVICE, own_key, indexes={targets.SELECTED_BY: targets.selector_index}),
            Watch(POD, targets.service_keys, targets.pod_matters, POD_INDEXES, seldom=True, of_head=True),
            Watch(ENDPOINTS, own_key),
        ),
        observe=observe,
        plan=plan,
        component="endpoint-controller",
        account="endpoint-controller",
    )


def observe(cache: Cache, key: tuple[str, str]) -> Observed | None:
    existing = cache[ENDPOINTS].get(*key)
    behind = targets.observe(cache, key)
    if behind is not None:
        return Observed(behind, existing)
    ours = existing is not None and existing.labels.get(MANAGED_BY) == MANAGER
    return Observed(None, existing) if ours and cache[SERVICE].get(*key) is None else None


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    existing = observed.existing
    if observed.behind is None:
        return Plan((Delete(existing),)) if existing is not None else Plan()
    service = observed.behind.service
    if service.view.metadata.deletion_timestamp is not None:
        return Plan()
    subsets, cut = truncated(subsets_of(observed.behind))
    labels = {key: value for key, value in service.labels.items() if key != targets.HEADLESS_LABEL}
    labels[MANAGED_BY] = MANAGER
    if service.view.headless:
        labels[targets.HEADLESS_LABEL] = ""
    message = f"Failed to update endpoint {service.namespace}/{service.name}: {{error}}"
    if existing is None:
        metadata: Document = {"name": service.name, "namespace": service.namespace, "labels": labels}
        if cut:
            metadata["annotations"] = {OVER_CAPACITY: "truncated"}
        document: Document = {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata}
        if subsets:
            document["subsets"] = subsets
        return Plan(
            (
                Create(
                    ENDPOINTS,
                    document,
                    refused=Event(service, "FailedToCreateEndpoint", message, "Warning"),
                ),
            )
        )
    changes = _changes(existing.document(), subsets, labels, cut)
    refused = Event(existing, "FailedToUpdateEndpoint", message, "Warning")
    return Plan((Patch(existing, changes, refused=refused),)) if changes else Plan()


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
    """Pods grouped by their ports, in a fixed order."""
    service = behind.service
    unready_too = service.view.spec.publish_not_ready_addresses
    family = targets.address_types(service.view)[0]
    groups: dict[Ports, tuple[list[Document], list[Document]]] = {}
    for pod in sorted(behind.pods, key=lambda found: (found.view.status.pod_ip, found.uid)):
        view = pod.view
        own = [address for address in targets.addresses(view) if targets.family(address) == family]
        if view.terminal or not own or (view.terminating and not unready_too):
            continue
        ports = targets.ports_of(view, service.view)
        if not ports and service.view.spec.ports:
            continue
        ready, unready = groups.setdefault(ports, ([], []))
        if unready_too or view.ready:
            ready.append(_address(pod, own[0], service))
        elif _may_become_ready(view):
            unready.append(_address(pod, own[0], service))
    found = []
    for ports in sorted(groups, key=repr):
        ready, unready = groups[ports]
        subset: Document = {}
        if ready:
            subset["addresses"] = ready
        if unready:
            subset["notReadyAddresses"] = unready
        if subset and ports:
            subset["ports"] = [targets.port_document(port) for port in ports]
        if subset:
            found.append(subset)
    return found


def _may_become_ready(pod: Pod) -> bool:
    match pod.spec.restart_policy:
        case "Never":
            return pod.status.phase not in ("Failed", "Succeeded")
        case "OnFailure":
            return pod.status.phase != "Succeeded"
        case _:
            return True


def _address(pod: Object, ip: str, service: Object) -> Document:
    found: Document = {"ip": ip}
    if pod.view.spec.node_name:
        found["nodeName"] = pod.view.spec.node_name
    if name := targets.hostname(pod.view, service):
        found["hostname"] = name
    return {**found, "targetRef": targets.target_ref(pod)}


def truncated(subsets: list[Document]) -> tuple[list[Document], bool]:
    """At most `MOST` addresses, those that are ready before the others; whether any were left out."""
    total = sum(len(subset.get(kind, ())) for subset in subsets for kind in ("addresses", "notReadyAddresses"))
    if total <= MOST:
        return subsets, False
    left = MOST
    kept = [{key: value for key, value in subset.items() if key == "ports"} for subset in subsets]
    for kind in ("addresses", "notReadyAddresses"):
        for subset, short in zip(subsets, kept, strict=True):
            taken = subset.get(kind, [])[:left]
            if taken:
                short[kind] = taken
            left -= len(taken)
    return [short for short in kept if "addresses" in short or "notReadyAddresses" in short], True
