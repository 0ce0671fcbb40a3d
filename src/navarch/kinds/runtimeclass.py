"""RuntimeClass: how a node runs a pod's containers, and what that costs.

Source: https://kubernetes.io/docs/concepts/containers/runtime-class/
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.base.errors import Cause
from navarch.kinds.kind import Column, Kind
from navarch.kinds.podspec.placement_rules import tolerations
from navarch.kinds.podspec.resource_rules import amount
from navarch.kinds.rules import Faults, check_labels, repeats
from navarch.objects import names
from navarch.objects.value import Document, dig


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    handler = new.get("handler", "")
    if old is not None:
        faults.immutable("handler", handler, old.get("handler", ""))
    elif not handler:
        faults.required("handler")
    else:
        faults.checked("handler", handler, names.dns_label(handler))
    for name, value in dig(new, "overhead", "podFixed", default={}).items():
        amount(faults, value, f"overhead.podFixed.{name}")
    scheduling: Document = new.get("scheduling") or {}
    check_labels(faults, scheduling.get("nodeSelector"), "scheduling.nodeSelector")
    tolerations(faults, scheduling.get("tolerations") or [], "scheduling.tolerations")
    tolerated: list[Document] = scheduling.get("tolerations") or []
    for index in sorted(repeats(tolerated)):
        faults.duplicate(f"scheduling.tolerations[{index}]", tolerated[index])
    return faults.causes


RUNTIMECLASS = Kind(
    group="node.k8s.io",
    version="v1",
    name="RuntimeClass",
    plural="runtimeclasses",
    namespaced=False,
    rules=rules,
    counts_generation=False,
    columns=(Column("Handler", ".handler", description="What runs the containers."),),
)
