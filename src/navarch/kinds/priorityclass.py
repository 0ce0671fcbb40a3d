"""PriorityClass: a name for how important pods are.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/priority-class-v1/
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from navarch.base.errors import Cause
from navarch.kinds.kind import AGE, Column, Kind
from navarch.kinds.rules import Faults
from navarch.kinds.view import ObjectMeta, View
from navarch.objects.value import Document, Draft, dig

USER_MAX = 1_000_000_000
RESERVED_PREFIX = "system-"
SYSTEM_CLASSES = {"system-cluster-critical": 2 * USER_MAX, "system-node-critical": 2 * USER_MAX + 1000}


class PriorityClass(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    value: int = 0
    global_default: bool = False
    description: str = ""
    preemption_policy: str = "PreemptLowerPriority"


def default(draft: Draft) -> None:
    draft.default("PreemptLowerPriority", "preemptionPolicy")


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    name, value = dig(new, "metadata", "name", default=""), new.get("value", 0)
    if old is None:
        if name.startswith(RESERVED_PREFIX):
            if problem := _not_of_the_system(name, value, bool(new.get("globalDefault"))):
                detail = (
                    f"priority class names with '{RESERVED_PREFIX}' prefix are reserved for system use only. error: "
                )
                faults.forbidden("metadata.name", detail + problem)
        elif value > USER_MAX:
            detail = f"maximum allowed value of a user defined priority is {USER_MAX}"
            faults.forbidden("value", detail)
        faults.one_of("preemptionPolicy", new.get("preemptionPolicy"), ("PreemptLowerPriority", "Never"))
    else:
        if value != old.get("value", 0):
            faults.forbidden("value", "may not be changed in an update.")
        faults.immutable("preemptionPolicy", new.get("preemptionPolicy"), old.get("preemptionPolicy"))
    return faults.causes


def _not_of_the_system(name: str, value: int, by_default: bool) -> str:
    """In what it is not the class of Kubernetes' own that its name says; "" for one of them."""
    known = SYSTEM_CLASSES.get(name)
    if known is None:
        return f"{name} is not a known system priority class"
    if value != known:
        return f"value of {name} PriorityClass must be {known}"
    return f"globalDefault of {name} PriorityClass must be false" if by_default else ""


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
    rules=rules,
    generation_counts=None,
    columns=(
        Column("Value", ".value", type="integer", description="The priority; more is more important."),
        Column("Global-Default", _is_default, type="boolean", description="Whether pods that name no class get it."),
        AGE,
        Column("PreemptionPolicy", ".preemptionPolicy", description="Whether its pods may push others out."),
    ),
    age=False,
)
