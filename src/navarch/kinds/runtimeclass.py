"""RuntimeClass: how a node runs a pod's containers, and what that costs.

Source: https://kubernetes.io/docs/concepts/containers/runtime-class/
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.base.errors import Cause
from navarch.kinds.kind import Column, Kind
from navarch.kinds.podspec.placement_rules import tolerations
from navarch.kinds.podspec.resource_rules import resources
from navarch.kinds.rules import Faults, check_labels
from navarch.objects import names
from navarch.objects.value import Document, dig

HOST_PROCESS_CLASS = "host-process"
HOST_PROCESS_HANDLER = "navarch-process"
"""Of the class that runs programs of the host itself: whoever may use it has the host's files."""

TOLERATION_KEYS = ("key", "operator", "value", "effect")


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    handler = new.get("handler", "")
    if old is not None:
        faults.immutable("handler", handler, old.get("handler", ""))
        return faults.causes
    if not handler:
        faults.required("handler")
    else:
        faults.checked("handler", handler, names.dns_label(handler))
    resources(faults, {"limits": dig(new, "overhead", "podFixed", default={})}, "overhead")
    scheduling: Document = new.get("scheduling") or {}
    check_labels(faults, scheduling.get("nodeSelector"), "scheduling.nodeSelector")
    tolerations(faults, scheduling.get("tolerations") or [], "scheduling.tolerations")
    seen: set[tuple[str, ...]] = set()
    for index, one in enumerate(scheduling.get("tolerations") or ()):
        key = tuple(one.get(field, "") for field in TOLERATION_KEYS)
        if key in seen:
            faults.duplicate(f"scheduling.tolerations[{index}]", one)
        seen.add(key)
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


def host_process_class() -> Document:
    """The class that clusters of machines begin with."""
    return {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": HOST_PROCESS_CLASS},
        "handler": HOST_PROCESS_HANDLER,
    }
