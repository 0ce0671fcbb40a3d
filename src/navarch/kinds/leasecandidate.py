"""LeaseCandidate: who would like to hold a Lease, and which versions it speaks.

Source: https://kubernetes.io/docs/concepts/cluster-administration/coordinated-leader-election/
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from navarch.base.errors import Cause
from navarch.kinds.kind import Column, Kind
from navarch.kinds.lease import OLDEST, check_strategy
from navarch.kinds.rules import Faults
from navarch.objects import names
from navarch.objects.value import Document, dig

_NUMBER = r"(0|[1-9]\d*)"
VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
NO_VERSION = "must be a valid semantic version"

Order = tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]
"""A version by its rank: numbers, then whether it is released, then the parts of what is before a release."""
ZERO: Order = ((0, 0, 0), True, ())


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    for field in ("leaseName", "binaryVersion"):
        if not spec.get(field):
            faults.required(f"spec.{field}")
    emulated, own = (_version(faults, spec, field) for field in ("emulationVersion", "binaryVersion"))
    if spec.get("binaryVersion") and spec.get("emulationVersion") and own < emulated:
        detail = "must be greater than or equal to `emulationVersion`"
        faults.invalid("spec.binaryVersion", spec["binaryVersion"], detail)
    strategy = spec.get("strategy", "")
    if not strategy:
        faults.required("spec.strategy")
    else:
        if strategy == OLDEST:
            detail = f"must be specified when `strategy` is '{OLDEST}'"
            for field, found in (("binaryVersion", own), ("emulationVersion", emulated)):
                if found == ZERO:
                    faults.required(f"spec.{field}", detail)
        check_strategy(faults, strategy, "spec.strategy")
    if old is not None:
        faults.immutable("spec.leaseName", spec.get("leaseName"), dig(old, "spec", "leaseName"))
    return faults.causes


def _version(faults: Faults, spec: Document, field: str) -> Order:
    text = spec.get(field, "")
    found = VERSION.fullmatch(text)
    if not found:
        if text:
            faults.invalid(f"spec.{field}", text, NO_VERSION)
        return ZERO
    *numbers, before = found.groups()
    parts = tuple((not one.isdecimal(), int(one) if one.isdecimal() else 0, one) for one in (before or "").split("."))
    return tuple(map(int, numbers)), before is None, parts if before else ()


LEASECANDIDATE = Kind(
    group="coordination.k8s.io",
    version="v1beta1",
    name="LeaseCandidate",
    plural="leasecandidates",
    rules=rules,
    name_rule=names.config_key,
    counts_generation=False,
    columns=(
        Column("LeaseName", ".spec.leaseName", description="The lease that it would like to hold."),
        Column("BinaryVersion", ".spec.binaryVersion", description="The version that it is."),
        Column("EmulationVersion", ".spec.emulationVersion", description="The version that it behaves as."),
    ),
)
