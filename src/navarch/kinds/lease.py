"""Lease: who holds something, and until when: heartbeats and leader election.

Source: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/lease-v1/
"""

from __future__ import annotations

from datetime import datetime

from navarch.kinds.kind import Column, Kind
from navarch.kinds.view import ObjectMeta, View


class LeaseSpec(View, frozen=True):
    holder_identity: str = ""
    lease_duration_seconds: int = 0
    acquire_time: datetime | None = None
    renew_time: datetime | None = None
    lease_transitions: int = 0


class Lease(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: LeaseSpec = LeaseSpec()


LEASE = Kind(
    group="coordination.k8s.io",
    version="v1",
    name="Lease",
    plural="leases",
    view=Lease,
    counts_generation=False,
    columns=(Column("Holder", ".spec.holderIdentity", description="Who holds it."),),
)
