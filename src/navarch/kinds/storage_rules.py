"""Rules of PersistentVolumeClaim and StorageClass. Those of volumes are `volume_rules`'s.

Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.base.errors import Cause
from navarch.kinds.podspec.claim_rules import claim_spec
from navarch.kinds.podspec.resource_rules import amount
from navarch.kinds.rules import Faults, changed_fields, repeats, same_but
from navarch.objects import names, quantity
from navarch.objects.value import Document, dig

CLASS_RECLAIM_POLICIES = ("Delete", "Retain")
BINDING_MODES = ("Immediate", "WaitForFirstConsumer")
PARAMETERS_MOST = 512
PARAMETERS_MAX_BYTES = 256 * 1024
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
BOUND_ALONE = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
)


def claim_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    was: Document = (old or {}).get("spec") or {}
    if old is not None and spec == was:
        _annotation(faults, new, old)
        return faults.causes
    claim_spec(faults, spec, "spec")
    if old is not None and not faults.causes:
        _annotation(faults, new, old)
        held = dig(old, "status", "capacity", "storage", default=0)
        _claim_update(faults, spec, was, dig(new, "status", "phase", default=""), held)
    return faults.causes


def _annotation(faults: Faults, new: Document, old: Document) -> None:
    """The class of old, which stays, unless the spec is given the same one."""
    name, was = (dig(found, "metadata", "annotations", CLASS_ANNOTATION, default="") for found in (new, old))
    if name != was and dig(new, "spec", "storageClassName") != was:
        faults.invalid(f"metadata.annotations[{CLASS_ANNOTATION}]", name, "field is immutable")


def _claim_update(faults: Faults, spec: Document, was: Document, phase: str, held: quantity.Quantity) -> None:
    """held: what the claim has already, below which it cannot go back.

    A claim grows once it is bound, and is given its volume and its default class; nothing else of it changes."""
    free = [field for field in ("volumeName", "storageClassName") if not was.get(field)]
    free.append("resources")
    if phase == "Bound":
        free.append("volumeAttributesClassName")
    changed = (
        []
        if same_but(spec, was, *free)
        else changed_fields(
            {key: value for key, value in spec.items() if key not in free},
            {key: value for key, value in was.items() if key not in free},
            "spec",
        )
    )
    changed += _resources_changed(spec.get("resources") or {}, was.get("resources") or {}, phase == "Bound")
    if changed:
        faults.forbidden("spec", f"{BOUND_ALONE}\nchanged: {', '.join(changed)}")
    new_size = dig(spec, "resources", "requests", "storage")
    old_size = dig(was, "resources", "requests", "storage", default=0)
    if quantity.compare(new_size, old_size) < 0 and quantity.compare(new_size, held) <= 0:
        faults.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")
    faults.immutable("volumeMode", spec.get("volumeMode"), was.get("volumeMode"))
    if was.get("volumeAttributesClassName") is not None:
        name = spec.get("volumeAttributesClassName")
        if name is None:
            detail = "update from non-nil value to nil is forbidden"
            faults.forbidden("spec.volumeAttributesClassName", detail)
        elif name == "" and was["volumeAttributesClassName"]:
            detail = "update from non-nil value to an empty string is forbidden"
            faults.forbidden("spec.volumeAttributesClassName", detail)


def _resources_changed(found: Document, was: Document, grows: bool) -> list[str]:
    """Where two differ, but for the size of what may grow; the same amount may be written in another way."""
    changed = []
    for side in ("limits", "requests"):
        new, old = found.get(side) or {}, was.get(side) or {}
        for name in sorted({*new, *old}):
            if grows and (side, name) == ("requests", "storage"):
                continue
            if name not in new or name not in old or quantity.compare(new[name], old[name]) != 0:
                changed.append(f"spec.resources.{side}.{name}")
    return changed


def claim_status_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    for field in ("capacity", "allocatedResources"):
        for name, value in dig(new, "status", field, default={}).items():
            amount(faults, value, f"status.{field}[{name}]")
    return faults.causes


def class_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    provisioner(faults, new.get("provisioner", ""), "provisioner")
    parameters(faults, new.get("parameters") or {}, "parameters")
    if (policy := new.get("reclaimPolicy")) and policy not in CLASS_RECLAIM_POLICIES:
        faults.unsupported("reclaimPolicy", policy, CLASS_RECLAIM_POLICIES)
    if new.get("volumeBindingMode") not in BINDING_MODES:
        faults.unsupported("volumeBindingMode", new.get("volumeBindingMode", ""), BINDING_MODES)
    _topologies(faults, new.get("allowedTopologies") or [], "allowedTopologies")
    if old is not None:
        if (new.get("parameters") or {}) != (old.get("parameters") or {}):
            faults.forbidden("parameters", "updates to parameters are forbidden.")
        for field in ("provisioner", "reclaimPolicy"):
            if new.get(field) != old.get(field):
                faults.forbidden(field, f"updates to {field} are forbidden.")
        faults.immutable("volumeBindingMode", new.get("volumeBindingMode"), old.get("volumeBindingMode"))
    return faults.causes


def provisioner(faults: Faults, name: str, field: str) -> None:
    """Whoever makes volumes: a name, perhaps below a domain, in any case."""
    if not name:
        faults.required(field)
    else:
        faults.checked(field, name.lower(), names.qualified_name(name.lower()))


def parameters(faults: Faults, found: Document, field: str) -> None:
    """What only the provisioner understands."""
    if len(found) > PARAMETERS_MOST:
        faults.too_long(field, PARAMETERS_MOST)
        return
    if "" in found:
        faults.invalid(field, "", "field can not be empty.")
    if sum(len(key.encode()) + len(value.encode()) for key, value in found.items()) > PARAMETERS_MAX_BYTES:
        faults.too_long(field, PARAMETERS_MAX_BYTES)


def _topologies(faults: Faults, terms: list[Document], path: str) -> None:
    seen: set[frozenset[tuple[str, frozenset[str]]]] = set()
    for index, term in enumerate(terms):
        chosen: dict[str, frozenset[str]] = {}
        for number, one in enumerate(term.get("matchLabelExpressions") or ()):
            where, key = f"{path}[{index}].matchLabelExpressions[{number}]", one.get("key", "")
            values: list[str] = one.get("values") or []
            if not values:
                faults.required(f"{where}.values")
            for place in sorted(repeats(values)):
                faults.duplicate(f"{where}.values[{place}]", values[place])
            faults.checked(f"{where}.key", key, names.label_key(key))
            if key in chosen:
                faults.duplicate(f"{where}.key", key)
            chosen[key] = frozenset(values)
        if (whole := frozenset(chosen.items())) in seen:
            faults.duplicate(f"{path}[{index}].matchLabelExpressions", "")
        seen.add(whole)
