"""Lease: who holds something, and until when: heartbeats and leader election.

Source: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/lease-v1/
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from navarch.base.errors import Cause
from navarch.kinds.kind import Column, Kind
from navarch.kinds.rules import Faults
from navarch.kinds.view import ObjectMeta, View
from navarch.objects import names
from navarch.objects.value import Document

OLDEST = "OldestEmulationVersion"
STRATEGIES = (OLDEST,)


class LeaseSpec(View, frozen=True):
    holder_identity: str = ""
    lease_duration_seconds: int = 0
    acquire_time: datetime | None = None
    renew_time: datetime | None = None
    lease_transitions: int = 0


class Lease(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: LeaseSpec = LeaseSpec()


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    duration_s = spec.get("leaseDurationSeconds")
    if duration_s is not None and duration_s <= 0:
        faults.invalid("spec.leaseDurationSeconds", duration_s, "must be greater than 0")
    faults.not_negative("spec.leaseTransitions", spec.get("leaseTransitions"))
    if "strategy" in spec or "preferredHolder" in spec:
        _coordinated(faults, spec)
    return faults.causes


def _coordinated(faults: Faults, spec: Document) -> None:
    strategy = spec.get("strategy")
    if strategy is not None:
        check_strategy(faults, strategy, "spec.strategy")
    if spec.get("preferredHolder") and not strategy:
        faults.forbidden("spec.preferredHolder", "may only be specified if `strategy` is defined")


def check_strategy(faults: Faults, strategy: str, path: str) -> None:
    """How a lease's holder is chosen: one of Kubernetes' names, or one with its inventor's domain."""
    if "/" in strategy:
        faults.checked(f"{path}.strategy", strategy, names.qualified_name(strategy))
    elif strategy not in STRATEGIES:
        faults.unsupported(f"{path}.strategy", strategy, STRATEGIES)


LEASE = Kind(
    group="coordination.k8s.io",
    version="v1",
    name="Lease",
    plural="leases",
    view=Lease,
    rules=rules,
    counts_generation=False,
    columns=(Column("Holder", ".spec.holderIdentity", description="Who holds it."),),
)
