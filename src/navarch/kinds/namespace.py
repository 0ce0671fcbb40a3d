"""Namespace: a scope for names, and what is deleted together.

Source: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/namespace-v1/
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.base.errors import Cause
from navarch.kinds.kind import ALL_VERBS, Column, Kind
from navarch.kinds.rules import Faults
from navarch.kinds.view import Condition, ObjectMeta, View
from navarch.objects import names
from navarch.objects.value import Document, Draft, dig

FINALIZER = "kubernetes"
NAME_LABEL = "kubernetes.io/metadata.name"


class NamespaceSpec(View, frozen=True):
    """finalizers: what must happen before a terminating namespace goes; changed through `finalize` alone."""

    finalizers: tuple[str, ...] = ()


class NamespaceStatus(View, frozen=True):
    """phase: Active or Terminating."""

    phase: str = "Active"
    conditions: tuple[Condition, ...] = ()


class Namespace(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: NamespaceSpec = NamespaceSpec()
    status: NamespaceStatus = NamespaceStatus()


def default(draft: Draft) -> None:
    """Every namespace carries its own name as a label, so that selectors can name it."""
    if (name := draft.get("metadata", "name")) and draft.get("metadata", "labels", NAME_LABEL) != name:
        draft.set(name, "metadata", "labels", NAME_LABEL)


def prepare(draft: Draft, old: Document | None) -> None:
    """The first finalizer and phase; an update keeps the finalizers that are stored."""
    if old is None:
        draft.set({"phase": "Active"}, "status")
        found = draft.get("spec", "finalizers", default=[])
        if FINALIZER not in found:
            draft.set([*found, FINALIZER], "spec", "finalizers")
        return
    draft.set(old.get("spec", {}), "spec")


def prepare_finalize(draft: Draft, old: Document) -> None:
    """`finalize` changes the finalizers and nothing else: the status stays as it is stored."""
    if "status" in old:
        draft.set(old["status"], "status")


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """An update keeps the finalizers that are stored, and there is nothing else."""
    faults = Faults()
    for finalizer in dig(new, "spec", "finalizers", default=()) if old is None else ():
        _finalizer(faults, finalizer, "spec.finalizers")
    return faults.causes


def finalize_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """The paths have numbers here alone."""
    faults = Faults()
    for index, finalizer in enumerate(dig(new, "spec", "finalizers", default=())):
        _finalizer(faults, finalizer, f"spec.finalizers[{index}]")
    return faults.causes


def _finalizer(faults: Faults, finalizer: str, field: str) -> None:
    faults.checked(field, finalizer, names.qualified_name(finalizer))
    if not names.is_finalizer(finalizer):
        faults.invalid(field, finalizer, names.NO_FINALIZER)


def status_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """A namespace is Terminating exactly while it is being deleted."""
    faults = Faults()
    phase = dig(new, "status", "phase", default="")
    if dig(new, "metadata", "deletionTimestamp") is None:
        if phase != "Active":
            faults.invalid("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")
    elif phase != "Terminating":
        faults.invalid("status.Phase", phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")
    return faults.causes


NAMESPACE = Kind(
    group="",
    version="v1",
    name="Namespace",
    plural="namespaces",
    short=("ns",),
    namespaced=False,
    view=Namespace,
    default=default,
    rules=rules,
    subresource_rules={"status": status_rules, "finalize": finalize_rules},
    prepare=prepare,
    name_rule=names.dns_label,
    subresource_prepare={"finalize": prepare_finalize},
    verbs=tuple(verb for verb in ALL_VERBS if verb != "deletecollection"),
    subresources=("status", "finalize"),
    counts_generation=False,
    columns=(Column("Status", ".status.phase", description="Active, or Terminating."),),
    fields={"status.phase": ("status", "phase")},
)
