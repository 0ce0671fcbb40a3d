"""Rules of a Pod: of a new one, and of what an update may change.

Source: https://kubernetes.io/docs/concepts/workloads/pods/#pod-update-and-replacement
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from navarch.base.errors import Cause
from navarch.kinds.pod.prepare import qos_class
from navarch.kinds.podspec import annotation_rules
from navarch.kinds.podspec.annotation_rules import MIRROR
from navarch.kinds.podspec.placement_rules import REQUIRED
from navarch.kinds.podspec.rules import pod_spec
from navarch.kinds.rules import Faults, changed_fields
from navarch.objects.value import Document, dig

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
        _annotated(faults, new, None)
        _created(faults, spec)
        return faults.causes
    _annotated(faults, new, old)
    if spec != old.get("spec"):
        _updated(faults, spec, old.get("spec") or {})
    return faults.causes


def _annotated(faults: Faults, new: Document, old: Document | None) -> None:
    """Annotations that say something to the system itself."""
    found: Document = (new.get("metadata") or {}).get("annotations") or {}
    was: Document = ((old or {}).get("metadata") or {}).get("annotations") or {}
    if found == was:
        return
    if old is not None:
        annotation_rules.changed(faults, found, was, "metadata.annotations")
    annotation_rules.annotated(faults, found, new.get("spec") or {}, "metadata.annotations", was)


def _created(faults: Faults, spec: Document) -> None:
    pod_spec(faults, spec, "spec", is_pod=True)
    if spec.get("ephemeralContainers"):
        faults.forbidden("spec.ephemeralContainers", "cannot be set on create")
    if spec.get("schedulingGates") and spec.get("nodeName"):
        faults.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared")


def _updated(faults: Faults, spec: Document, was: Document) -> None:
    """Of a spec that differs from the stored one."""
    pod_spec(faults, spec, "spec", is_pod=True)
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
    if gates:
        _narrowed(faults, spec, was)
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


def _narrowed(faults: Faults, spec: Document, was: Document) -> None:
    """What of a gated pod's placement changed must only ask for more."""
    selected: Document = was.get("nodeSelector") or {}
    asked: Document = spec.get("nodeSelector") or {}
    if not selected.items() <= asked.items():
        detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        faults.invalid("spec.nodeSelector", asked or None, detail)
    before, now = _terms(was), _terms(spec)
    field = f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms"
    if before and len(before) != len(now):
        detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        faults.invalid(field, now or None, detail)
        return
    for index, (old, new) in enumerate(zip(before, now, strict=False)):
        if not _only_more(new, old):
            faults.invalid(f"{field}[{index}]", new, "only additions are allowed (no mutations or deletions)")


def _terms(spec: Document) -> list[Document]:
    found: list[Document] = dig(spec, "affinity", "nodeAffinity", REQUIRED, "nodeSelectorTerms", default=[])
    return found


def _only_more(new: Document, old: Document) -> bool:
    fields = ("matchExpressions", "matchFields")
    if not any(old.get(field) for field in fields):
        return not any(new.get(field) for field in fields)
    return all((new.get(field) or [])[: len(old.get(field) or ())] == (old.get(field) or []) for field in fields)


def _restore(found: Document, was: Document, field: str) -> None:
    if field in was:
        found[field] = was[field]
    else:
        found.pop(field, None)


def _restore_placement(found: Document, was: Document) -> None:
    """Node labels and node affinity of a gated pod have rules of their own."""
    _restore(found, was, "nodeSelector")
    before: Document = was.get("affinity") or {}
    now = {key: value for key, value in (found.get("affinity") or {}).items() if key != "nodeAffinity"}
    if now == {key: value for key, value in before.items() if key != "nodeAffinity"}:
        _restore(found, was, "affinity")


def ephemeral_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """Debugging containers may be added, never changed or taken away."""
    faults = Faults()
    if MIRROR in dig(old, "metadata", "annotations", default={}):
        faults.forbidden("", "static pods do not support ephemeral containers")
        return faults.causes
    spec: Document = new.get("spec") or {}
    pod_spec(faults, spec, "spec", is_pod=True)
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
    if MIRROR in dig(old, "metadata", "annotations", default={}):
        faults.forbidden("", "static pods cannot be resized")
    elif dig(was, "os", "name") == "windows":
        faults.forbidden("", "windows pods cannot be resized")
    if faults.causes:
        return faults.causes
    pod_spec(faults, spec, "spec", is_pod=True)
    if qos_class(spec) != qos_class(was):
        faults.invalid("spec", qos_class(spec), "Pod QOS Class may not change as a result of resizing")
    pairs = [
        (one, before, f"spec.{field}[{index}].resources")
        for field in ("initContainers", "containers")
        for index, (one, before) in enumerate(zip(spec.get(field) or (), was.get(field) or (), strict=False))
        if field == "containers" or before.get("restartPolicy") == "Always"
    ]
    for one, before, path in pairs:
        _resized(faults, one, before, path)
    for one, before, _ in pairs:
        if _fixed(one.get("resources") or {}) != _fixed(before.get("resources") or {}):
            sidecar = " for sidecar containers" if before.get("restartPolicy") == "Always" else ""
            faults.forbidden("spec", f"only cpu and memory resources{sidecar} are mutable")
    for one, before in zip(spec.get("initContainers") or (), was.get("initContainers") or (), strict=False):
        if before.get("restartPolicy") != "Always" and one.get("resources") != before.get("resources"):
            faults.forbidden("spec", "resources for non-sidecar init containers are immutable")
    return faults.causes


def _resized(faults: Faults, one: Document, before: Document, path: str) -> None:
    """What was asked for or limited stays so, by whatever amount."""
    for side in ("requests", "limits"):
        now, then = (dig(found, "resources", side, default={}) for found in (one, before))
        if not then.keys() <= now.keys():
            faults.forbidden(f"{path}.{side}", f"resource {side} cannot be removed")


def _fixed(found: Document) -> dict[str, Any]:
    return {
        side: {name: value for name, value in (found.get(side) or {}).items() if name not in RESIZABLE}
        for side in ("limits", "requests")
    }
