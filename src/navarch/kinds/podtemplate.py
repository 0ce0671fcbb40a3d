"""PodTemplate: a pod's description on its own.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-template-v1/
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from navarch.base.errors import Cause
from navarch.kinds import warnings
from navarch.kinds.kind import Column, Kind
from navarch.kinds.podspec.defaults import default_template
from navarch.kinds.printing import pairs
from navarch.kinds.rules import Faults
from navarch.kinds.workload import template
from navarch.objects.value import Document, Draft, dig


def default(draft: Draft) -> None:
    default_template(draft, "template")


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    template(faults, new.get("template") or {}, "template")
    return faults.causes


def _names(document: Document, now: datetime) -> str:
    return ",".join(found.get("name", "") for found in dig(document, "template", "spec", "containers", default=()))


def _images(document: Document, now: datetime) -> str:
    return ",".join(found.get("image", "") for found in dig(document, "template", "spec", "containers", default=()))


def _labels(document: Document, now: datetime) -> str:
    return pairs(dig(document, "template", "metadata", "labels"))


PODTEMPLATE = Kind(
    group="",
    version="v1",
    name="PodTemplate",
    plural="podtemplates",
    default=default,
    rules=rules,
    warn=warnings.pod_template,
    columns=(
        Column("Containers", _names, description="The names of its containers."),
        Column("Images", _images, description="Their images."),
        Column("Pod Labels", _labels, description="The labels of pods made from it."),
    ),
    age=False,
)
