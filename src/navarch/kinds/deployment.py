"""Deployment: a declared version of an application, kept running in a declared number of pods.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/deployment-v1/
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from navarch.base.errors import Cause
from navarch.kinds import warnings, workload_status
from navarch.kinds.kind import AGE, Column, Kind
from navarch.kinds.podspec.defaults import default_template
from navarch.kinds.printing import container_images, container_names, label_selector_cell
from navarch.kinds.rules import Faults, count_or_percent, int_or_percent, share
from navarch.kinds.view import Condition, LabelSelector, ObjectMeta, View
from navarch.kinds.workload import counts, selector_and_template
from navarch.objects.value import Document, Draft, dig

QUARTER = "25%"


class RollingUpdate(View, frozen=True):
    """Numbers of pods, or percentages of the replicas."""

    max_surge: int | str = QUARTER
    max_unavailable: int | str = QUARTER


class DeploymentStrategy(View, frozen=True):
    """type: RollingUpdate or Recreate."""

    type: str = "RollingUpdate"
    rolling_update: RollingUpdate = RollingUpdate()


class DeploymentSpec(View, frozen=True):
    """template: the pod template's document, only copied."""

    replicas: int = 1
    selector: LabelSelector = LabelSelector()
    template: msgspec.Raw = msgspec.Raw(b"{}")
    strategy: DeploymentStrategy = DeploymentStrategy()
    min_ready_seconds: int = 0
    revision_history_limit: int = 10
    paused: bool = False
    progress_deadline_seconds: int = 600


class DeploymentStatus(View, frozen=True):
    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    unavailable_replicas: int = 0
    terminating_replicas: int | None = None
    collision_count: int = 0
    conditions: tuple[Condition, ...] = ()

    def condition(self, type: str) -> Condition | None:
        return next((condition for condition in self.conditions if condition.type == type), None)


class Deployment(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()


def default(draft: Draft) -> None:
    default_template(draft, "spec", "template")
    draft.default(1, "spec", "replicas")
    draft.default("RollingUpdate", "spec", "strategy", "type")
    if draft.get("spec", "strategy", "type") == "RollingUpdate":
        draft.default(QUARTER, "spec", "strategy", "rollingUpdate", "maxUnavailable")
        draft.default(QUARTER, "spec", "strategy", "rollingUpdate", "maxSurge")
    draft.default(10, "spec", "revisionHistoryLimit")
    draft.default(600, "spec", "progressDeadlineSeconds")


def prepare(draft: Draft, old: Document | None) -> None:
    if old is None:
        draft.set({}, "status")


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    was: Document = (old or {}).get("spec") or {}
    if old is not None and spec == was:
        return ()
    selector_and_template(faults, spec, "spec")
    counts(faults, spec, "spec", "replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    _strategy(faults, spec.get("strategy") or {}, "spec.strategy")
    deadline_s, ready_s = spec.get("progressDeadlineSeconds"), spec.get("minReadySeconds", 0)
    if deadline_s is not None and deadline_s <= ready_s:
        faults.invalid("spec.progressDeadlineSeconds", deadline_s, "must be greater than minReadySeconds")
    if old is not None:
        faults.immutable("spec.selector", spec.get("selector"), was.get("selector"))
    return faults.causes


def _strategy(faults: Faults, strategy: Document, path: str) -> None:
    rolling = strategy.get("rollingUpdate")
    match strategy.get("type"):
        case "Recreate":
            if rolling is not None:
                detail = "may not be specified when strategy `type` is 'Recreate'"
                faults.forbidden(f"{path}.rollingUpdate", detail)
        case "RollingUpdate":
            rolling = rolling or {}
            int_or_percent(faults, rolling.get("maxUnavailable", 0), f"{path}.rollingUpdate.maxUnavailable")
            count_or_percent(faults, rolling.get("maxSurge", 0), f"{path}.rollingUpdate.maxSurge")
            unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
            if share(unavailable) == 0 and share(surge) == 0:
                detail = "may not be 0 when `maxSurge` is 0"
                faults.invalid(f"{path}.rollingUpdate.maxUnavailable", unavailable, detail)
        case _:
            faults.unsupported(path, strategy, ("Recreate", "RollingUpdate"))


def _ready(deployment: Document, now: datetime) -> str:
    ready = dig(deployment, "status", "readyReplicas", default=0)
    return f"{ready}/{dig(deployment, 'spec', 'replicas', default=0)}"


def _updated(deployment: Document, now: datetime) -> int:
    return int(dig(deployment, "status", "updatedReplicas", default=0))


def _available(deployment: Document, now: datetime) -> int:
    return int(dig(deployment, "status", "availableReplicas", default=0))


DEPLOYMENT = Kind(
    group="apps",
    version="v1",
    name="Deployment",
    plural="deployments",
    short=("deploy",),
    categories=("all",),
    view=Deployment,
    default=default,
    rules=rules,
    warn=warnings.workload,
    prepare=prepare,
    generation_counts=("annotations",),
    subresources=("status", "scale"),
    subresource_rules={"status": workload_status.deployment},
    columns=(
        Column("Ready", _ready, description="How many pods are ready, of how many."),
        Column("Up-to-date", _updated, description="How many pods are of the declared version."),
        Column("Available", _available, description="How many have been ready for long enough."),
        AGE,
        Column("Containers", container_names, priority=1, description="The names of the template's containers."),
        Column("Images", container_images, priority=1, description="Their images."),
        Column("Selector", label_selector_cell, priority=1, description="The labels of its pods."),
    ),
    age=False,
    scale=(".spec.replicas", ".status.replicas", ".spec.selector"),
)
