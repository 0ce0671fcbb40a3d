"""Rules of a Pod: of a new one, and of what an update may change.

Source: https://kubernetes.io/docs/concepts/workloads/pods/#pod-update-and-replacement
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from navarch.base.errors import Cause
from navarch.kinds.pod.prepare import qos_class
from navarch.kinds.podspec.resource_rules import resources
from navarch.kinds.podspec.rules import pod_spec
from navarch.kinds.rules import Faults, changed_fields
from navarch.objects.value import Document

MUTABLE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` "
    "(allow it to be set to 1 if it was previously negative)"
)
FROZEN = f"pod updates may not change fields other than {MUTABLE}"


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    if old is None:
        _created(faults, spec)
    elif spec != old.get("spec"):
        _updated(faults, spec, old.get("spec") or {})
    return faults.causes


def _created(faults: Faults, spec: Document) -> None:
    pod_spec(faults, spec, "spec")
    if spec.get("ephemeralContainers"):
        faults.forbidden("spec.ephemeralContainers", "cannot be set on create")
    if spec.get("schedulingGates") and spec.get("nodeName"):
        faults.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared")


def _updated(faults: Faults, spec: Document, was: Document) -> None:
    """Of a spec that differs from the stored one."""
    pod_spec(faults, spec, "spec")
    for field in ("containers", "initContainers"):
        if len(spec.get(field) or ()) != len(was.get(field) or ()):
            faults.forbidden(f"spec.{field}", "pod updates may not add or remove containers")
            return
    _deadline(faults, spec.get("activeDeadlineSeconds"), was.get("activeDeadlineSeconds"))
    _tolerations(faults, spec.get("tolerations") or [], was.get("tolerations") or [])
    gates = {gate.get("name") for gate in was.get("schedulingGates") or ()}
    for index, gate in enumerate(spec.get("schedulingGates") or ()):
        if gate.get("name") not in gates:
            detail = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
            faults.forbidden(f"spec.schedulingGates[{index}].name", detail)
    if faults.causes:
        return
    expected = _as_before(spec, was)
    if expected != was:
        changed = ", ".join(changed_fields(expected, was, "spec"))
        faults.forbidden("spec", f"{FROZEN}\nchanged: {changed}")


def _deadline(faults: Faults, new_s: int | None, old_s: int | None) -> None:
    field = "spec.activeDeadlineSeconds"
    if old_s is None or new_s == old_s:
        return
    if new_s is None:
        faults.invalid(field, None, "must not update from a positive integer to nil value")
    elif new_s > old_s:
        faults.invalid(field, new_s, "must be less than or equal to previous value")


def _tolerations(faults: Faults, new: list[Document], old: list[Document]) -> None:
    if new == old:
        return
    kept = [_without_seconds(toleration) for toleration in new]
    if any(_without_seconds(toleration) not in kept for toleration in old):
        faults.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")


def _without_seconds(toleration: Document) -> Document:
    return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}


def _as_before(spec: Document, was: Document) -> Document:
    """The new spec with every change taken back that an update may make."""
    found = dict(spec)
    for field in ("containers", "initContainers"):
        if field in found:
            found[field] = [
                {**one, "image": old["image"]} if "image" in old else one
                for one, old in zip(found[field], was[field], strict=True)
            ]
    for field in ("activeDeadlineSeconds", "tolerations", "schedulingGates"):
        _restore(found, was, field)
    if was.get("terminationGracePeriodSeconds", 0) < 0 and found.get("terminationGracePeriodSeconds") == 1:
        _restore(found, was, "terminationGracePeriodSeconds")
    if was.get("schedulingGates"):
        _restore_placement(found, was)
    return found


def _restore(found: Document, was: Document, field: str) -> None:
    if field in was:
        found[field] = was[field]
    else:
        found.pop(field, None)


def _restore_placement(found: Document, was: Document) -> None:
    """A gated pod may be narrowed: more node labels asked for, node affinity added where there was none."""
    selected: Document = was.get("nodeSelector") or {}
    asked: Document = found.get("nodeSelector") or {}
    if selected.items() <= asked.items():
        _restore(found, was, "nodeSelector")
    if not (was.get("affinity") or {}).get("nodeAffinity") and found.get("affinity"):
        narrowed = {key: value for key, value in found["affinity"].items() if key != "nodeAffinity"}
        if narrowed == (was.get("affinity") or {}):
            _restore(found, was, "affinity")


def ephemeral_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """Debugging containers may be added, never changed or taken away."""
    faults = Faults()
    spec: Document = new.get("spec") or {}
    pod_spec(faults, spec, "spec")
    now = {one.get("name"): one for one in spec.get("ephemeralContainers") or ()}
    for was in ((old or {}).get("spec") or {}).get("ephemeralContainers") or ():
        name = was.get("name")
        if name not in now:
            detail = f'existing ephemeral containers "{name}" may not be removed\n'
            faults.forbidden("spec.ephemeralContainers", detail)
        elif now[name] != was:
            detail = f'existing ephemeral containers "{name}" may not be changed\n'
            faults.forbidden("spec.ephemeralContainers", detail)
    return faults.causes


RESIZABLE = ("cpu", "memory")


def resize_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """Only processor and memory may change, and never so that the pod falls into another class of service."""
    faults = Faults()
    spec: Document = new.get("spec") or {}
    was: Document = (old or {}).get("spec") or {}
    for field in ("containers", "initContainers"):
        for index, one in enumerate(spec.get(field) or ()):
            path = f"spec.{field}[{index}].resources"
            resources(faults, one.get("resources"), path)
            before = was[field][index].get("resources") or {}
            if _fixed(one.get("resources") or {}) != _fixed(before):
                faults.forbidden(path, "only cpu and memory resources are mutable")
    if qos_class(spec) != qos_class(was):
        faults.invalid("spec", qos_class(spec), "Pod QOS Class may not change as a result of resizing")
    return faults.causes


def _fixed(found: Document) -> dict[str, Any]:
    return {
        side: {name: value for name, value in (found.get(side) or {}).items() if name not in RESIZABLE}
        for side in ("limits", "requests")
    }
