"""PriorityClass: a name for how important pods are.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/priority-class-v1/
"""

from __future__ import annotations

from datetime import datetime

from navarch.kinds.kind import AGE, Column, Kind
from navarch.kinds.view import ObjectMeta, View
from navarch.objects.value import Document, Draft


class PriorityClass(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    value: int = 0
    global_default: bool = False
    description: str = ""
    preemption_policy: str = "PreemptLowerPriority"


def default(draft: Draft) -> None:
    draft.default("PreemptLowerPriority", "preemptionPolicy")


def _is_default(found: Document, now: datetime) -> bool:
    return bool(found.get("globalDefault"))


PRIORITYCLASS = Kind(
    group="scheduling.k8s.io",
    version="v1",
    name="PriorityClass",
    plural="priorityclasses",
    short=("pc",),
    namespaced=False,
    view=PriorityClass,
    default=default,
    columns=(
        Column("Value", ".value", type="integer", description="The priority; more is more important."),
        Column("Global-Default", _is_default, type="boolean", description="Whether pods that name no class get it."),
        AGE,
        Column("PreemptionPolicy", ".preemptionPolicy", description="Whether its pods may push others out."),
    ),
    age=False,
)
