"""RuntimeClass: what a pod costs beyond its containers, and which nodes can run it, as its class says.

Source: https://kubernetes.io/docs/concepts/containers/runtime-class/
"""

from __future__ import annotations

from navarch.apiserver import refusals
from navarch.apiserver.admission.review import Review
from navarch.base.errors import Forbidden
from navarch.kinds import RUNTIMECLASS
from navarch.objects import quantity
from navarch.objects.value import Document


def mutate(review: Review) -> None:
    """Raises: Forbidden (no such class, or a pod that contradicts it)."""
    if not (review.is_on("pods") and review.creates):
        return
    draft = review.draft
    name, given = draft.get("spec", "runtimeClassName"), draft.get("spec", "overhead")
    class_: Document = {}
    if name:
        found = review.state.get(RUNTIMECLASS, "", name)
        if found is None:
            raise _refused(review, f'RuntimeClass "{name}" not found')
        class_ = found.document()
    overhead = (class_.get("overhead") or {}).get("podFixed") or {}
    if given and not overhead:
        raise _refused(review, "Pod Overhead set without corresponding RuntimeClass defined Overhead")
    if given and _amounts(given) != _amounts(overhead):
        raise _refused(review, "Pod's Overhead doesn't match RuntimeClass's defined Overhead")
    if overhead and not given:
        draft.set(overhead, "spec", "overhead")
    _place(review, class_.get("scheduling") or {})


def _place(review: Review, scheduling: Document) -> None:
    draft = review.draft
    for key, value in (scheduling.get("nodeSelector") or {}).items():
        own = draft.get("spec", "nodeSelector", key)
        if own is not None and own != value:
            why = (
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {own}"
            )
            raise _refused(review, why)
        draft.set(value, "spec", "nodeSelector", key)
    present = draft.get("spec", "tolerations") or []
    added = [one for one in scheduling.get("tolerations") or () if one not in present]
    if added:
        draft.set([*present, *added], "spec", "tolerations")


def _amounts(overhead: Document) -> dict[str, int]:
    return {name: quantity.nano(amount) for name, amount in overhead.items()}


def _refused(review: Review, why: str) -> Forbidden:
    return refusals.forbidden(review.intent.kind, review.intent.name, f"pod rejected: {why}")
