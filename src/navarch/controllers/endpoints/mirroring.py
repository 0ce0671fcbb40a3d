"""Mirrors Endpoints that somebody wrote by hand, for a Service without a selector, into EndpointSlices.

Source: https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#endpointslice-mirroring
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from navarch.controllers.controller import Cache, Controller, Watch, own_key
from navarch.controllers.endpoints import slices, subsets
from navarch.controllers.endpoints.targets import family
from navarch.controllers.options import Setup
from navarch.controllers.plan import Delete, Event, Plan
from navarch.kinds import ENDPOINTS, ENDPOINTSLICE, SERVICE
from navarch.kinds.endpointslice import MANAGED_BY_LABEL, SERVICE_LABEL
from navarch.kinds.object import Object
from navarch.objects.value import Document

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP_LABEL = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
NOT_COPIED = (slices.TRIGGER_TIME, "kubectl.kubernetes.io/last-applied-configuration")
MOST = 1000


@dataclass(frozen=True, slots=True)
class Observed:
    """source: None when nothing is to be mirrored (any more)."""

    source: Object | None
    existing: Sequence[Object]


def controller(setup: Setup) -> Controller[Observed]:
    return Controller(
        name="endpointslicemirroring",
        watches=(
            Watch(SERVICE, own_key),
            Watch(ENDPOINTS, own_key),
            Watch(ENDPOINTSLICE, slice_keys, indexes={"service": slices.service_index}),
        ),
        observe=observe,
        plan=plan,
        component="endpoint-slice-mirroring-controller",
        account="endpointslicemirroring-controller",
    )


def slice_keys(cache: Cache, found: Object) -> Iterable[Hashable]:
    name = found.labels.get(SERVICE_LABEL)
    return ((found.namespace, name),) if name and found.labels.get(MANAGED_BY_LABEL) == MANAGER else ()


def observe(cache: Cache, key: tuple[str, str]) -> Observed | None:
    existing = slices.of_service(cache[ENDPOINTSLICE].by("service", "/".join(key)), MANAGER)
    source = cache[ENDPOINTS].get(*key)
    service = cache[SERVICE].get(*key)
    if source is not None and service is not None and not service.view.spec.selector and _is_mirrored(source):
        return Observed(source, existing)
    return Observed(None, existing) if existing else None


def _is_mirrored(source: Object) -> bool:
    return source.labels.get(SKIP_LABEL) != "true" and LEADER not in source.view.metadata.annotations


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    if observed.source is None:
        return Plan(tuple(Delete(found) for found in observed.existing))
    source = observed.source
    labels = {key: value for key, value in source.labels.items() if key not in (SERVICE_LABEL, MANAGED_BY_LABEL)}
    labels |= {SERVICE_LABEL: source.name, MANAGED_BY_LABEL: MANAGER}
    annotations = {k: value for k, value in source.view.metadata.annotations.items() if k not in NOT_COPIED}
    found, skipped = wanted(source.document())
    writes = slices.reconcile(slices.Goal(source, found, labels, mirrored=annotations), observed.existing)
    if not writes or not skipped:
        return Plan(writes)
    message = (
        f"A max of {MOST} addresses can be mirrored to EndpointSlices per Endpoints subset. "
        f"{skipped} addresses were skipped"
    )
    return Plan((*writes, Event(source, "TooManyAddressesToMirror", message, "Warning")))


def wanted(source: Document) -> tuple[slices.Wanted, int]:
    """Also how many addresses are too many to be mirrored."""
    found: dict[slices.Group, dict[str, Document]] = {}
    skipped = 0
    for subset in subsets.repacked(source.get("subsets") or ()):
        ports = slices.ports_of(subset)
        left = MOST
        for kind, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in (subset.get(kind) or ())[:left]:
                endpoint = mirrored(address, ready)
                group = (family(address["ip"]), ports)
                found.setdefault(group, {})[slices.identify(endpoint)] = endpoint
                left -= 1
        skipped += sum(len(subset.get(kind) or ()) for kind in (subsets.READY, subsets.UNREADY)) - (MOST - left)
    return found, skipped


def mirrored(address: Document, ready: bool) -> Document:
    found: Document = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    for key in ("hostname", "nodeName", "targetRef"):
        if address.get(key):
            found[key] = address[key]
    return found
