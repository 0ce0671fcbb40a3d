"""Priority and DefaultTolerationSeconds: what a new pod is given by its class, and how long it bears a lost node.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/ and .../taint-and-toleration/
"""

from __future__ import annotations

from collections.abc import Callable

from navarch.apiserver import refusals
from navarch.apiserver.admission.review import Review
from navarch.kinds import PRIORITYCLASS
from navarch.kinds.priorityclass import PriorityClass
from navarch.objects.value import Document

SYSTEM_CLASSES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
"""These two hold even where their objects are missing."""
PREEMPTS = "PreemptLowerPriority"
LOST = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
PATIENCE_S = 10
"""Kubernetes: 300. With 12 s until a silent node counts as lost, its pods are replaced within half a minute."""


def prioritize(review: Review) -> None:
    """Raises: Forbidden (no such class, or a number that is not the class's)."""
    if not (review.is_on("pods") and review.creates):
        return
    draft = review.draft
    name = draft.get("spec", "priorityClassName") or ""
    found_name, value, policy = _class(review, name)
    given = draft.get("spec", "priority")
    if given is not None and given != value:
        why = (
            f"the integer value of priority ({given}) must not be provided in pod spec; "
            f"priority admission controller computed {value} from the given PriorityClass name"
        )
        raise refusals.forbidden(review.intent.kind, review.intent.name, why)
    if found_name and found_name != name:
        draft.set(found_name, "spec", "priorityClassName")
    draft.default(value, "spec", "priority")
    draft.default(policy, "spec", "preemptionPolicy")


def _class(review: Review, name: str) -> tuple[str, int, str]:
    """(name, priority, preemption policy) of the class, or of the global default."""
    if name:
        found = review.state.get(PRIORITYCLASS, "", name)
        if found is not None:
            view: PriorityClass = found.view
            return name, view.value, view.preemption_policy
        if name in SYSTEM_CLASSES:
            return name, SYSTEM_CLASSES[name], PREEMPTS
        why = f"no PriorityClass with name {name} was found"
        raise refusals.forbidden(review.intent.kind, review.intent.name, why)
    best: PriorityClass | None = None
    for one in review.state.list(PRIORITYCLASS):
        view = one.view
        if view.global_default and (best is None or view.value < best.value):
            best = view
    return (best.metadata.name, best.value, best.preemption_policy) if best else ("", 0, PREEMPTS)


def tolerate(patience_s: int) -> Callable[[Review], None]:
    """So many seconds on a node that was lost, for pods that say nothing about it."""

    def mutate(review: Review) -> None:
        if not (review.is_on("pods") and review.creates):
            return
        present = review.draft.get("spec", "tolerations") or []
        added = [
            {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": patience_s}
            for key in LOST
            if not any(_tolerates(one, key) for one in present)
        ]
        if added:
            review.draft.set([*present, *added], "spec", "tolerations")

    return mutate


def _tolerates(toleration: Document, key: str) -> bool:
    return toleration.get("key", "") in ("", key) and toleration.get("effect", "") in ("", "NoExecute")
