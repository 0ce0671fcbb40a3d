"""What a write to a Pod may not say itself: its first status, and what the narrow subresources take.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from navarch.objects import quantity
from navarch.objects.value import Document, Draft, dig

GATED = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "SchedulingGated",
    "message": "Scheduling is blocked due to non-empty scheduling gates",
}


def prepare(draft: Draft, old: Document | None) -> None:
    """A new pod is Pending, whatever it says; an update keeps the old status (core sees to that)."""
    if old is not None:
        return
    spec = draft.get("spec", default={})
    status: Document = {"phase": "Pending", "qosClass": qos_class(spec)}
    if spec.get("schedulingGates"):
        status["conditions"] = [GATED]
    draft.set(status, "status")


def qos_class(spec: Document) -> str:
    """Guaranteed, Burstable or BestEffort, by what the containers (or the pod as a whole) request and limit."""
    whole = spec.get("resources") or {}
    if whole.get("requests") or whole.get("limits"):
        resources = [whole]
    else:
        containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
        resources = [container.get("resources") or {} for container in containers]
    if not any(_amounts(found.get(side)) for found in resources for side in ("requests", "limits")):
        return "BestEffort"
    return "Guaranteed" if all(map(_guaranteed, resources)) else "Burstable"


def _amounts(amounts: Document | None) -> dict[str, Any]:
    """The compute resources among `amounts` that are more than nothing."""
    return {key: parsed for key in ("cpu", "memory") if amounts and (parsed := _parse(amounts.get(key)))}


def _parse(text: Any) -> Any:
    """The number, or None for one that the rules will refuse later."""
    if text is None:
        return None
    try:
        return quantity.nano(text)
    except ValueError:
        return None


def _guaranteed(resources: Document) -> bool:
    limits = _amounts(resources.get("limits"))
    requests = {**limits, **_amounts(resources.get("requests"))}
    return len(limits) == 2 and requests == limits


def grace(pod: Document) -> int | None:
    """The pod's own grace period; a pod that no node runs, or that is at its end, goes at once."""
    if not dig(pod, "spec", "nodeName") or dig(pod, "status", "phase") in ("Succeeded", "Failed"):
        return None
    granted: int = dig(pod, "spec", "terminationGracePeriodSeconds", default=30)
    return granted if granted >= 0 else 1


def _keep(draft: Draft, old: Document, spec: Document) -> None:
    """The stored pod with another spec; of the metadata only what the API server itself writes is taken."""
    draft.set(spec, "spec")
    if "status" in old:
        draft.set(old["status"], "status")
    for field in ("labels", "annotations", "finalizers", "ownerReferences"):
        kept = dig(old, "metadata", field)
        if kept is None:
            draft.remove("metadata", field)
        else:
            draft.set(kept, "metadata", field)


def prepare_ephemeral(draft: Draft, old: Document) -> None:
    """`ephemeralcontainers` changes the list of debugging containers and nothing else."""
    written = draft.get("spec", "ephemeralContainers")
    spec = {key: value for key, value in old.get("spec", {}).items() if key != "ephemeralContainers"}
    _keep(draft, old, spec if written is None else {**spec, "ephemeralContainers": written})


def prepare_resize(draft: Draft, old: Document) -> None:
    """`resize` changes the resources of containers and of the pod, and nothing else."""
    written = draft.get("spec", default={})
    spec = {**old.get("spec", {})}
    for field in ("containers", "initContainers"):
        if field in spec:
            spec[field] = list(_resized(spec[field], written.get(field) or ()))
    if "resources" in written:
        spec["resources"] = written["resources"]
    _keep(draft, old, spec)


def _resized(old: Iterable[Document], new: Iterable[Document]) -> Iterable[Document]:
    by_name = {container.get("name"): container for container in new}
    for container in old:
        written = by_name.get(container.get("name"), container)
        kept: Document = {key: value for key, value in container.items() if key not in ("resources", "resizePolicy")}
        taken: Document = {key: written[key] for key in ("resources", "resizePolicy") if key in written}
        yield {**kept, **taken}
