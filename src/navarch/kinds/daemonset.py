"""DaemonSet: one pod of a template on every node that it fits.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/daemon-set-v1/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from navarch.base.errors import Cause
from navarch.kinds import warnings, workload_status
from navarch.kinds.daemonset_view import DaemonSet
from navarch.kinds.kind import AGE, Column, Kind
from navarch.kinds.podspec.defaults import default_template
from navarch.kinds.printing import container_images, container_names, label_selector_cell, pairs
from navarch.kinds.rules import Faults, int_or_percent, share
from navarch.kinds.workload import counts, selector_and_template
from navarch.objects.value import Document, Draft, dig

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
STRATEGIES = ("RollingUpdate", "OnDelete")
COUNTS = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")


def default(draft: Draft) -> None:
    default_template(draft, "spec", "template")
    draft.default("RollingUpdate", "spec", "updateStrategy", "type")
    if draft.get("spec", "updateStrategy", "type") == "RollingUpdate":
        draft.default(1, "spec", "updateStrategy", "rollingUpdate", "maxUnavailable")
        draft.default(0, "spec", "updateStrategy", "rollingUpdate", "maxSurge")
    draft.default(10, "spec", "revisionHistoryLimit")


def prepare(draft: Draft, old: Document | None) -> None:
    """Counts the versions of the template in an annotation, which old clients read."""
    if old is None:
        draft.set(dict.fromkeys(COUNTS, 0), "status")
        draft.set("1", "metadata", "annotations", TEMPLATE_GENERATION)
        return
    known = str(dig(old, "metadata", "annotations", TEMPLATE_GENERATION, default="1"))
    count = int(known) if known.isdecimal() else 1
    filled = Draft(draft.document)
    default_template(filled, "spec", "template")
    if filled.get("spec", "template") != dig(old, "spec", "template"):
        count += 1
    if draft.get("metadata", "annotations", TEMPLATE_GENERATION) != str(count):
        draft.set(str(count), "metadata", "annotations", TEMPLATE_GENERATION)


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    was: Document = (old or {}).get("spec") or {}
    if old is not None and spec == was:
        return ()
    if old is not None:
        faults.immutable("spec.selector", spec.get("selector"), was.get("selector"))
    selector_and_template(faults, spec, "spec", "daemonset", "DaemonSet")
    counts(faults, spec, "spec", "minReadySeconds", "revisionHistoryLimit")
    _strategy(faults, spec.get("updateStrategy") or {}, "spec.updateStrategy")
    return faults.causes


def _strategy(faults: Faults, strategy: Document, path: str) -> None:
    if strategy.get("type") not in STRATEGIES:
        faults.unsupported(path, strategy, STRATEGIES)
    elif strategy["type"] == "RollingUpdate":
        rolling: Document = strategy.get("rollingUpdate") or {}
        for field in ("maxUnavailable", "maxSurge"):
            int_or_percent(faults, rolling.get(field, 0), f"{path}.rollingUpdate.{field}")
        unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
        if share(unavailable) and share(surge):
            detail = "may not be set when maxUnavailable is non-zero"
            faults.invalid(f"{path}.rollingUpdate.maxSurge", surge, detail)
        elif not share(unavailable) and not share(surge):
            faults.required(f"{path}.rollingUpdate.maxUnavailable", "cannot be 0 when maxSurge is 0")


def _count(field: str) -> Callable[[Document, datetime], int]:
    return lambda found, now: int(dig(found, "status", field, default=0))


def _node_selector(found: Document, now: datetime) -> str:
    return pairs(dig(found, "spec", "template", "spec", "nodeSelector"))


DAEMONSET = Kind(
    group="apps",
    version="v1",
    name="DaemonSet",
    plural="daemonsets",
    short=("ds",),
    categories=("all",),
    view=DaemonSet,
    default=default,
    rules=rules,
    warn=warnings.templated,
    prepare=prepare,
    subresources=("status",),
    subresource_rules={"status": workload_status.daemonset},
    columns=(
        Column(
            "Desired", _count("desiredNumberScheduled"), type="integer", description="On how many nodes it belongs."
        ),
        Column("Current", _count("currentNumberScheduled"), type="integer", description="On how many of them it is."),
        Column("Ready", _count("numberReady"), type="integer", description="On how many of them it is ready."),
        Column("Up-to-date", _count("updatedNumberScheduled"), type="integer", description="How many are up to date."),
        Column("Available", _count("numberAvailable"), type="integer", description="How many are available."),
        Column("Node Selector", _node_selector, description="The labels of nodes where it belongs."),
        AGE,
        Column("Containers", container_names, priority=1, description="The names of the template's containers."),
        Column("Images", container_images, priority=1, description="Their images."),
        Column("Selector", label_selector_cell, priority=1, description="The labels of its pods."),
    ),
    age=False,
)
