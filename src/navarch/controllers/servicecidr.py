"""ServiceCIDR: a network is ready for Services, and goes only when no address of it is held any more.

Handing out addresses is the API server's business (`apiserver.admission.services`).

Source: https://kubernetes.io/docs/tasks/network/extend-service-ip-ranges/
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address, ip_network

from navarch.controllers.controller import Cache, Controller, Watch
from navarch.controllers.options import Setup
from navarch.controllers.plan import Patch, Plan, Status
from navarch.kinds import IPADDRESS, SERVICECIDR
from navarch.kinds.object import Object
from navarch.objects import condition
from navarch.objects.value import Document, dig

FINALIZER = "networking.k8s.io/service-cidr-finalizer"
MANAGED, ALLOCATOR = "ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io"
"""The label of addresses that the API server handed out; others' hold no network."""
READY = {"type": "Ready", "status": "True", "reason": "", "message": "Kubernetes Service CIDR is ready"}
TERMINATING = {
    "type": "Ready",
    "status": "False",
    "reason": "Terminating",
    "message": (
        "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"
    ),
}


@dataclass(frozen=True, slots=True)
class Observed:
    """held: whether an address of it is held that no other network has."""

    network: Object
    held: bool


def controller(setup: Setup) -> Controller[Observed]:
    return Controller(
        name="service-cidr",
        watches=(Watch(SERVICECIDR, _all_of_them), Watch(IPADDRESS, _going)),
        observe=observe,
        plan=plan,
        component="service-cidrs-controller",
        account="service-cidrs-controller",
    )


def _all_of_them(cache: Cache, found: Object) -> Iterable[Hashable]:
    """One that comes may free another that is to go."""
    return [other.key for other in cache[SERVICECIDR].list()]


def _going(cache: Cache, found: Object) -> Iterable[Hashable]:
    return [other.key for other in cache[SERVICECIDR].list() if _deleted(other)]


def _deleted(network: Object) -> bool:
    return network.view.metadata.deletion_timestamp is not None


def _networks(found: Object) -> list[str]:
    return list(dig(found.document(), "spec", "cidrs", default=()))


def observe(cache: Cache, key: tuple[str, str]) -> Observed | None:
    network = cache[SERVICECIDR].get(*key)
    if network is None:
        return None
    if not _deleted(network):
        return Observed(network, held=False)
    others = [one for other in cache[SERVICECIDR].list() if not _deleted(other) for one in _networks(other)]
    addresses = [found.name for found in cache[IPADDRESS].list() if found.labels.get(MANAGED) == ALLOCATOR]
    return Observed(network, held=any(_only_here(one, _networks(network), others) for one in addresses))


def _only_here(address: str, own: Iterable[str], others: Iterable[str]) -> bool:
    found = ip_address(address)
    return any(found in ip_network(one) for one in own) and not any(found in ip_network(one) for one in others)


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    network, document = observed.network, observed.network.document()
    finalizers: list[str] = dig(document, "metadata", "finalizers", default=[])
    if _deleted(network):
        if FINALIZER not in finalizers:
            return Plan()
        if observed.held:
            return Plan(status=_status(network, document, TERMINATING, now))
        kept = [one for one in finalizers if one != FINALIZER]
        return Plan((Patch(network, {"metadata": {"finalizers": kept or None}}),))
    if FINALIZER not in finalizers:  # the write of it leads here again
        return Plan((Patch(network, {"metadata": {"finalizers": [*finalizers, FINALIZER]}}),))
    return Plan(status=_status(network, document, READY, now))


def _status(network: Object, document: Document, wanted: Document, now: datetime) -> Status:
    status: Document = document.get("status") or {}
    return Status(network, {**status, "conditions": condition.set(status.get("conditions"), wanted, now)})
