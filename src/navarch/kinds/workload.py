"""Rules that all kinds with a pod template share.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/
"""

from __future__ import annotations

from typing import Any

from navarch.base.errors import BadRequest
from navarch.kinds.podspec.annotation_rules import annotated
from navarch.kinds.podspec.rules import pod_spec
from navarch.kinds.rules import Faults, check_annotations, check_labels
from navarch.objects import selector
from navarch.objects.value import Document, dig


def template(faults: Faults, found: Document, path: str) -> None:
    """A pod template by itself."""
    metadata: Document = found.get("metadata") or {}
    check_labels(faults, metadata.get("labels"), f"{path}.labels")
    check_annotations(faults, metadata.get("annotations"), f"{path}.annotations")
    spec: Document = found.get("spec") or {}
    if annotations := metadata.get("annotations"):
        annotated(faults, annotations, spec, f"{path}.annotations")
    pod_spec(faults, spec, f"{path}.spec")
    if spec.get("ephemeralContainers"):
        detail = "ephemeral containers not allowed in pod template"
        faults.forbidden(f"{path}.spec.ephemeralContainers", detail)


def replicated_template(faults: Faults, found: Document, path: str, matches: bool, owner: str) -> None:
    """A template whose pods are to be kept alive. matches: whether the workload's selector finds its pods."""
    if not matches:
        detail = "`selector` does not match template `labels`"
        faults.invalid(f"{path}.metadata.labels", dig(found, "metadata", "labels", default={}), detail)
    template(faults, found, path)
    spec: Document = found.get("spec") or {}
    if spec.get("restartPolicy") != "Always":
        faults.unsupported(f"{path}.spec.restartPolicy", spec.get("restartPolicy", ""), ("Always",))
    if spec.get("activeDeadlineSeconds") is not None:
        faults.forbidden(f"{path}.spec.activeDeadlineSeconds", f"activeDeadlineSeconds in {owner} is not Supported")


def selector_and_template(
    faults: Faults, spec: Document, path: str, what: str = "deployment", owner: str = "ReplicaSet"
) -> None:
    """Of a workload that selects by a LabelSelector. what, owner: its kind as the messages call it."""
    found = spec.get("selector")
    matches = found is not None
    if found is None:
        if owner != "DaemonSet":  # where none selects nothing, and that is told
            faults.required(f"{path}.selector")
    else:
        broken = list(selector.check_document(found, f"{path}.selector"))
        faults.causes.extend(broken)
        if not found.get("matchLabels") and not found.get("matchExpressions"):
            faults.invalid(f"{path}.selector", found, f"empty selector is invalid for {what}")
        elif not selects(found, spec):
            matches = False
        if broken and owner == "ReplicaSet":
            faults.invalid(f"{path}.selector", found, "invalid label selector")
    replicated_template(faults, spec.get("template") or {}, f"{path}.template", matches, owner)


def selects(found: Document, spec: Document) -> bool:
    """Whether a selector finds the template's pods; a broken one is told of elsewhere."""
    try:
        return selector.from_document(found).matches(dig(spec, "template", "metadata", "labels", default={}))
    except BadRequest:
        return True


def counts(faults: Faults, spec: Document, path: str, *fields: str) -> None:
    for field in fields:
        value: Any = spec.get(field)
        if value is not None and value < 0:
            faults.not_negative(f"{path}.{field}", value)
