"""ReplicationController: what ReplicaSet replaced; its selector is a plain mapping.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/replication-controller-v1/
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from navarch.base.errors import Cause
from navarch.kinds import warnings, workload_status
from navarch.kinds.kind import Column, Kind
from navarch.kinds.podspec.defaults import default_template
from navarch.kinds.printing import container_images, container_names, pairs
from navarch.kinds.replicaset import COUNTS, prepare
from navarch.kinds.rules import Faults
from navarch.kinds.view import Condition, ObjectMeta, View
from navarch.kinds.workload import counts, replicated_template
from navarch.objects.value import Document, Draft, dig


class ReplicationControllerSpec(View, frozen=True):
    """template: the pod template's document, only copied."""

    replicas: int = 1
    min_ready_seconds: int = 0
    selector: dict[str, str] = {}
    template: msgspec.Raw = msgspec.Raw(b"{}")


class ReplicationControllerStatus(View, frozen=True):
    replicas: int = 0
    fully_labeled_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()


class ReplicationController(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: ReplicationControllerSpec = ReplicationControllerSpec()
    status: ReplicationControllerStatus = ReplicationControllerStatus()


def default(draft: Draft) -> None:
    """A selector that is not given is the template's labels, and so are the controller's own labels."""
    default_template(draft, "spec", "template")
    draft.default(1, "spec", "replicas")
    if labels := draft.get("spec", "template", "metadata", "labels"):
        if not draft.get("spec", "selector"):
            draft.set(labels, "spec", "selector")
        if not draft.get("metadata", "labels"):
            draft.set(labels, "metadata", "labels")


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    if old is not None and spec == old.get("spec"):
        return ()
    selector: Document = spec.get("selector") or {}
    counts(faults, spec, "spec", "minReadySeconds")
    if not selector:
        faults.required("spec.selector")
    counts(faults, spec, "spec", "replicas")
    template = spec.get("template")
    if template is None:
        faults.required("spec.template")
    else:
        labels: Document = dig(template, "metadata", "labels", default={})
        matches = selector.items() <= labels.items()
        replicated_template(faults, template, "spec.template", matches, "ReplicationController")
    return faults.causes


def _selector(document: Document, now: datetime) -> str:
    return pairs(dig(document, "spec", "selector"))


REPLICATIONCONTROLLER = Kind(
    group="",
    version="v1",
    name="ReplicationController",
    plural="replicationcontrollers",
    short=("rc",),
    categories=("all",),
    view=ReplicationController,
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
        Column("Selector", _selector, priority=1, description="The labels of its pods."),
    ),
    fields={"status.replicas": ("status", "replicas")},
    field_zeros={"status.replicas": "0"},
    scale=(".spec.replicas", ".status.replicas", ".spec.selector"),
)
