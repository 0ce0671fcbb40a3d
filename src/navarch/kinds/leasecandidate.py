"""LeaseCandidate: who would like to hold a Lease, and which versions it speaks.

Source: https://kubernetes.io/docs/concepts/cluster-administration/coordinated-leader-election/
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from navarch.base.errors import Cause
from navarch.kinds.kind import Column, Kind
from navarch.kinds.rules import Faults
from navarch.objects import names
from navarch.objects.value import Document, dig

STRATEGIES = ("OldestEmulationVersion",)
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")
NO_VERSION = "must be a valid semantic version"


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    if not spec.get("leaseName"):
        faults.required("spec.leaseName")
    if old is not None:
        faults.immutable("spec.leaseName", spec.get("leaseName"), dig(old, "spec", "leaseName"))
    own, emulated = (_version(faults, spec, field) for field in ("binaryVersion", "emulationVersion"))
    if own is not None and emulated is not None and own < emulated:
        detail = "must be greater than or equal to `emulationVersion`"
        faults.invalid("spec.binaryVersion", spec["binaryVersion"], detail)
    strategy = spec.get("strategy", "")
    if not strategy:
        faults.required("spec.strategy")
    elif "/" in strategy:
        faults.checked("spec.strategy", strategy, names.qualified_name(strategy))
    elif strategy not in STRATEGIES:
        faults.unsupported("spec.strategy", strategy, STRATEGIES)
    else:
        detail = "must be specified when `strategy` is 'OldestEmulationVersion'"
        for field in ("binaryVersion", "emulationVersion"):
            if not spec.get(field):
                faults.required(f"spec.{field}", detail)
    return faults.causes


def _version(faults: Faults, spec: Document, field: str) -> tuple[int, ...] | None:
    text = spec.get(field, "")
    found = VERSION.fullmatch(text)
    if text and not found:
        faults.invalid(f"spec.{field}", text, NO_VERSION)
    return tuple(int(part) for part in found.groups()) if found else None


LEASECANDIDATE = Kind(
    group="coordination.k8s.io",
    version="v1beta1",
    name="LeaseCandidate",
    plural="leasecandidates",
    rules=rules,
    counts_generation=False,
    columns=(
        Column("LeaseName", ".spec.leaseName", description="The lease that it would like to hold."),
        Column("BinaryVersion", ".spec.binaryVersion", description="The version that it is."),
        Column("EmulationVersion", ".spec.emulationVersion", description="The version that it behaves as."),
    ),
)
