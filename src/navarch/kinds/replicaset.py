"""ReplicaSet: a number of pods of one template.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/replica-set-v1/
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from navarch.base.errors import Cause
from navarch.kinds import warnings, workload_status
from navarch.kinds.kind import Column, Kind
from navarch.kinds.podspec.defaults import default_template
from navarch.kinds.printing import container_images, container_names, label_selector_cell
from navarch.kinds.rules import Faults
from navarch.kinds.view import Condition, LabelSelector, ObjectMeta, View
from navarch.kinds.workload import counts, selector_and_template
from navarch.objects.value import Document, Draft, dig


class ReplicaSetSpec(View, frozen=True):
    """template: the pod template's document, only copied."""

    replicas: int = 1
    min_ready_seconds: int = 0
    selector: LabelSelector = LabelSelector()
    template: msgspec.Raw = msgspec.Raw(b"{}")


class ReplicaSetStatus(View, frozen=True):
    replicas: int = 0
    fully_labeled_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    terminating_replicas: int | None = None
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()


class ReplicaSet(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: ReplicaSetSpec = ReplicaSetSpec()
    status: ReplicaSetStatus = ReplicaSetStatus()


def default(draft: Draft) -> None:
    default_template(draft, "spec", "template")
    draft.default(1, "spec", "replicas")


def prepare(draft: Draft, old: Document | None) -> None:
    if old is None:
        draft.set({"replicas": 0}, "status")


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    was: Document = (old or {}).get("spec") or {}
    if old is not None and spec == was:
        return ()
    selector_and_template(faults, spec, "spec")
    counts(faults, spec, "spec", "replicas", "minReadySeconds")
    if old is not None:
        faults.immutable("spec.selector", spec.get("selector"), was.get("selector"))
    return faults.causes


def desired(document: Document, now: datetime) -> int:
    return int(dig(document, "spec", "replicas", default=0))


def current(document: Document, now: datetime) -> int:
    return int(dig(document, "status", "replicas", default=0))


def ready(document: Document, now: datetime) -> int:
    return int(dig(document, "status", "readyReplicas", default=0))


COUNTS = (
    Column("Desired", desired, type="integer", description="How many pods there should be."),
    Column("Current", current, type="integer", description="How many there are."),
    Column("Ready", ready, type="integer", description="How many of them are ready."),
)

REPLICASET = Kind(
    group="apps",
    version="v1",
    name="ReplicaSet",
    plural="replicasets",
    short=("rs",),
    categories=("all",),
    view=ReplicaSet,
    default=default,
    rules=rules,
    warn=warnings.workload,
    prepare=prepare,
    subresources=("status", "scale"),
    subresource_rules={"status": workload_status.replicaset},
    columns=(
        *COUNTS,
        Column("Containers", container_names, priority=1, description="The names of the template's containers."),
        Column("Images", container_images, priority=1, description="Their images."),
        Column("Selector", label_selector_cell, priority=1, description="The labels of its pods."),
    ),
    fields={"status.replicas": ("status", "replicas")},
    field_zeros={"status.replicas": "0"},
    scale=(".spec.replicas", ".status.replicas", ".spec.selector"),
)
