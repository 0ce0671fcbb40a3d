"""PodDisruptionBudget, and the Eviction that must respect it.

Source: https://kubernetes.io/docs/concepts/workloads/pods/disruptions/
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from navarch.base.errors import Cause
from navarch.kinds.condition_rules import conditions
from navarch.kinds.kind import Column, Kind
from navarch.kinds.rules import Faults, int_or_percent
from navarch.kinds.view import Condition, LabelSelector, ObjectMeta, View
from navarch.kinds.workload import counts
from navarch.objects.selector import check_document
from navarch.objects.value import Document, Draft, dig

NOT_SET = "N/A"
COUNTS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
EVICTION_POLICIES = ("AlwaysAllow", "IfHealthyBudget")


class PodDisruptionBudgetSpec(View, frozen=True):
    """Of min_available and max_unavailable (numbers or percentages) at most one is set. selector None: no pod."""

    min_available: int | str | None = None
    max_unavailable: int | str | None = None
    selector: LabelSelector | None = None
    unhealthy_pod_eviction_policy: str = "IfHealthyBudget"


class PodDisruptionBudgetStatus(View, frozen=True):
    observed_generation: int = 0
    disrupted_pods: dict[str, datetime | None] = {}
    disruptions_allowed: int = 0
    current_healthy: int = 0
    desired_healthy: int = 0
    expected_pods: int = 0
    conditions: tuple[Condition, ...] = ()


class PodDisruptionBudget(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: PodDisruptionBudgetSpec = PodDisruptionBudgetSpec()
    status: PodDisruptionBudgetStatus = PodDisruptionBudgetStatus()


def prepare(draft: Draft, old: Document | None) -> None:
    if old is None:
        draft.set(dict.fromkeys(COUNTS, 0), "status")


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    if "minAvailable" in spec and "maxUnavailable" in spec:
        faults.invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")
    for field in ("minAvailable", "maxUnavailable"):
        if field in spec:
            int_or_percent(faults, spec[field], f"spec.{field}")
    if "selector" in spec:
        faults.causes.extend(check_document(spec["selector"], "spec.selector"))
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in EVICTION_POLICIES:
        faults.unsupported("spec.unhealthyPodEvictionPolicy", policy, EVICTION_POLICIES)
    return faults.causes


def status_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    status: Document = new.get("status") or {}
    conditions(faults, status.get("conditions") or [], "status.conditions")
    counts(faults, status, "status", *COUNTS)
    return faults.causes


def _minimum(budget: Document, now: datetime) -> str:
    return str(dig(budget, "spec", "minAvailable", default=NOT_SET))


def _maximum(budget: Document, now: datetime) -> str:
    return str(dig(budget, "spec", "maxUnavailable", default=NOT_SET))


def _allowed(budget: Document, now: datetime) -> int:
    return int(dig(budget, "status", "disruptionsAllowed", default=0))


PODDISRUPTIONBUDGET = Kind(
    group="policy",
    version="v1",
    name="PodDisruptionBudget",
    plural="poddisruptionbudgets",
    short=("pdb",),
    view=PodDisruptionBudget,
    rules=rules,
    prepare=prepare,
    subresources=("status",),
    subresource_rules={"status": status_rules},
    columns=(
        Column("Min Available", _minimum, description="How many pods must be available."),
        Column("Max Unavailable", _maximum, description="How many may be unavailable."),
        Column("Allowed Disruptions", _allowed, type="integer", description="How many may be evicted now."),
    ),
)


class DeletePreconditions(View, frozen=True):
    uid: str = ""
    resource_version: str = ""


class DeleteOptions(View, frozen=True):
    grace_period_seconds: int | None = None
    preconditions: DeletePreconditions | None = None
    propagation_policy: str = ""
    dry_run: tuple[str, ...] = ()


class Eviction(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    delete_options: DeleteOptions = DeleteOptions()


EVICTION = Kind(group="policy", version="v1", name="Eviction", plural="", view=Eviction, verbs=())
