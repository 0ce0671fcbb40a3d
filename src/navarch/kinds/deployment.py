"""Deployment: a declared version of an application, kept running in a declared number of pods.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/deployment-v1/
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from navarch.kinds.kind import AGE, Column, Kind
from navarch.kinds.podspec.defaults import default_template
from navarch.kinds.printing import container_images, container_names, label_selector_cell
from navarch.kinds.view import Condition, LabelSelector, ObjectMeta, View
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
    prepare=prepare,
    subresources=("status", "scale"),
    columns=(
        Column("Ready", _ready, description="How many pods are ready, of how many."),
        Column("Up-to-date", _updated, type="integer", description="How many pods are of the declared version."),
        Column("Available", _available, type="integer", description="How many have been ready for long enough."),
        AGE,
        Column("Containers", container_names, priority=1, description="The names of the template's containers."),
        Column("Images", container_images, priority=1, description="Their images."),
        Column("Selector", label_selector_cell, priority=1, description="The labels of its pods."),
    ),
    age=False,
    scale=(".spec.replicas", ".status.replicas", ".spec.selector"),
)
