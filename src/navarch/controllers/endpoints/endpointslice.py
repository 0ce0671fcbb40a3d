"""EndpointSlice: which addresses stand behind a Service, in slices of at most a hundred.

Source: https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from navarch.controllers.controller import Cache, Controller, Watch, own_key
from navarch.controllers.endpoints import slices, targets
from navarch.controllers.endpoints.targets import Behind
from navarch.controllers.options import Setup
from navarch.controllers.plan import Event, Plan
from navarch.kinds import ENDPOINTSLICE, NODE, POD, SERVICE
from navarch.kinds.endpointslice import MANAGED_BY_LABEL, SERVICE_LABEL
from navarch.kinds.object import Object
from navarch.objects.value import Document

MANAGER = "endpointslice-controller.k8s.io"
SAME_ZONE = ("PreferClose", "PreferSameZone")
SAME_NODE = "PreferSameNode"
_NOT_COPIED = frozenset((targets.HEADLESS_LABEL, SERVICE_LABEL, MANAGED_BY_LABEL))

POD_INDEXES = {"label": targets.label_index, "node": targets.node_index}


@dataclass(frozen=True, slots=True)
class Observed:
    behind: Behind
    existing: Sequence[Object] = ()


def controller(setup: Setup) -> Controller[Observed]:
    return Controller(
        name="endpointslice",
        watches=(
            Watch(SERVICE, own_key, indexes={targets.SELECTED_BY: targets.selector_index}),
            Watch(POD, targets.service_keys, targets.pod_matters, POD_INDEXES, seldom=True, of_head=True),
            Watch(ENDPOINTSLICE, slice_keys, indexes={"service": slices.service_index}),
            Watch(NODE, targets.node_keys, targets.zone_changed),
        ),
        observe=observe,
        plan=plan,
        component="endpoint-slice-controller",
        account="endpointslice-controller",
    )


def slice_keys(cache: Cache, found: Object) -> Iterable[Hashable]:
    name = found.labels.get(SERVICE_LABEL)
    return ((found.namespace, name),) if name and found.labels.get(MANAGED_BY_LABEL) == MANAGER else ()


def observe(cache: Cache, key: tuple[str, str]) -> Observed | None:
    behind = targets.observe(cache, key)
    if behind is None:
        return None
    existing = slices.of_service(cache[ENDPOINTSLICE].by("service", "/".join(key)), MANAGER)
    return Observed(behind, existing)


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    service = observed.behind.service
    pods = {pod.uid: pod for pod in observed.behind.pods}
    goal = slices.Goal(
        service,
        wanted(observed.behind),
        labels_of(service),
        targets.address_types(service.view),
        since=lambda uid: targets.ready_changed(pods[uid].view) if uid in pods else None,
    )
    writes = slices.reconcile(goal, observed.existing)
    return Plan((*writes, *_left_out(observed.behind))) if writes else Plan()


def _left_out(behind: Behind) -> Sequence[Event]:
    """Told when slices change, not at every look."""
    service = behind.service
    name = f"Service {service.namespace}/{service.name}"
    skipped = [
        f"skipping Pod {pod.name} for {name}: Node {pod.view.spec.node_name} Not Found"
        for pod in behind.pods
        if not pod.view.terminal and targets.addresses(pod.view) and not _has_node(pod, behind)
    ]
    if not skipped:
        return ()
    why = skipped[0] if len(skipped) == 1 else f"[{', '.join(skipped)}]"
    message = f"Error updating Endpoint Slices for {name}: {why}"
    return (Event(service, "FailedToUpdateEndpointSlices", message, "Warning"),)


def wanted(behind: Behind) -> slices.Wanted:
    service = behind.service.view
    families = targets.address_types(service)
    found: dict[slices.Group, dict[str, Document]] = {}
    for pod in behind.pods:
        if pod.view.terminal or not _has_node(pod, behind):
            continue
        ports = tuple(
            sorted(
                ((p.name, p.port, p.protocol, p.app_protocol) for p in targets.ports_of(pod.view, service)), key=repr
            )
        )
        for address_type in families:
            own = [address for address in targets.addresses(pod.view) if targets.family(address) == address_type]
            if own:
                found.setdefault((address_type, ports), {})[pod.uid] = endpoint(pod, own[0], behind)
    return found


def _has_node(pod: Object, behind: Behind) -> bool:
    """A pod whose node is gone is soon collected; until then nobody should be sent to it."""
    return pod.view.spec.node_name in behind.zones or behind.service.view.spec.publish_not_ready_addresses


def endpoint(pod: Object, address: str, behind: Behind) -> Document:
    view, spec = pod.view, behind.service.view.spec
    serving, terminating = view.ready, view.terminating
    ready = spec.publish_not_ready_addresses or (serving and not terminating)
    found: Document = {
        "addresses": [address],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": targets.target_ref(pod),
    }
    node = view.spec.node_name
    zone = behind.zones.get(node, "")
    if node:
        found["nodeName"] = node
    if zone:
        found["zone"] = zone
    if name := targets.hostname(view, behind.service):
        found["hostname"] = name
    if ready and zone and spec.traffic_distribution in SAME_ZONE:
        found["hints"] = {"forZones": [{"name": zone}]}
    elif ready and node and spec.traffic_distribution == SAME_NODE:
        hints: Document = {"forNodes": [{"name": node}]}
        found["hints"] = {**hints, "forZones": [{"name": zone}]} if zone else hints
    return found


def labels_of(service: Object) -> dict[str, str]:
    """The Service's own labels, and those by which its slices are found."""
    found = {key: value for key, value in service.labels.items() if key not in _NOT_COPIED}
    if service.view.headless:
        found[targets.HEADLESS_LABEL] = ""
    return {**found, SERVICE_LABEL: service.name, MANAGED_BY_LABEL: MANAGER}
