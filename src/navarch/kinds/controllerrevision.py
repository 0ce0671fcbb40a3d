"""ControllerRevision: a remembered state of a StatefulSet or DaemonSet.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/controller-revision-v1/
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from navarch.base.errors import Cause
from navarch.kinds.kind import Column, Kind
from navarch.kinds.printing import NONE
from navarch.kinds.rules import Faults
from navarch.kinds.view import ObjectMeta, View
from navarch.objects.value import Document, dig


class ControllerRevision(View, frozen=True):
    """data: what was remembered, never changed once written. revision: its number, which does change."""

    metadata: ObjectMeta = ObjectMeta()
    revision: int = 0
    data: msgspec.Raw = msgspec.Raw(b"{}")


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    if "data" not in new:
        faults.required("data", "data is mandatory")
    faults.not_negative("revision", new.get("revision"))
    if old is not None:
        faults.immutable("data", new.get("data"), old.get("data"))
    return faults.causes


def _controller(document: Document, now: datetime) -> str:
    for owner in dig(document, "metadata", "ownerReferences", default=()):
        if owner.get("controller"):
            group = owner.get("apiVersion", "").rpartition("/")[0]
            kind = owner.get("kind", "").lower()
            return f"{kind}.{group}/{owner.get('name')}" if group else f"{kind}/{owner.get('name')}"
    return NONE


CONTROLLERREVISION = Kind(
    group="apps",
    version="v1",
    name="ControllerRevision",
    plural="controllerrevisions",
    view=ControllerRevision,
    rules=rules,
    counts_generation=False,
    columns=(
        Column("Controller", _controller, description="What it is a revision of."),
        Column("Revision", ".revision", description="Its number."),
    ),
)
