"""Rules of PersistentVolume, PersistentVolumeClaim and StorageClass.

Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.base.errors import Cause
from navarch.kinds.podspec.placement_rules import node_selector
from navarch.kinds.podspec.volume_rules import csi_driver
from navarch.kinds.rules import Faults, changed_fields, same_but
from navarch.objects import names, quantity
from navarch.objects.selector import check_document
from navarch.objects.value import Document, dig

MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
CLASS_RECLAIM_POLICIES = ("Delete", "Retain")
VOLUME_MODES = ("Block", "Filesystem")
BINDING_MODES = ("Immediate", "WaitForFirstConsumer")
NOT_A_SOURCE = {
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
}


def _access_modes(faults: Faults, spec: Document, path: str, detail: str = "") -> None:
    modes = spec.get("accessModes") or []
    if not modes:
        faults.required(f"{path}.accessModes", detail)
    for mode in modes:
        if mode not in MODES:
            faults.unsupported(f"{path}.accessModes", mode, MODES)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        detail = "may not use ReadWriteOncePod with other access modes"
        faults.forbidden(f"{path}.accessModes", detail)


def _storage(faults: Faults, amounts: Document, path: str) -> None:
    if "storage" not in amounts:
        faults.required(f"{path}[storage]")
    else:
        _positive(faults, amounts["storage"], f"{path}[storage]")


def _positive(faults: Faults, value: quantity.Quantity, field: str) -> None:
    try:
        found = quantity.nano(value)
    except quantity.BadQuantity as error:
        faults.invalid(field, value, str(error))
        return
    if found <= 0:
        faults.invalid(field, value, "must be greater than zero")


def volume_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    was: Document = (old or {}).get("spec") or {}
    if old is not None and spec == was:
        return ()
    _access_modes(faults, spec, "spec")
    if not spec.get("capacity"):
        faults.required("spec.capacity")
    else:
        if set(spec["capacity"]) != {"storage"}:
            faults.unsupported("spec.capacity", spec["capacity"], ("storage",))
        for name, value in spec["capacity"].items():
            _positive(faults, value, f"spec.capacity[{name}]")
    sources = [field for field in spec if field not in NOT_A_SOURCE]
    if not sources:
        faults.required("spec", "must specify a volume type")
    for extra in sources[1:]:
        faults.forbidden(f"spec.{extra}", "may not specify more than 1 volume type")
    faults.one_of("spec.persistentVolumeReclaimPolicy", spec.get("persistentVolumeReclaimPolicy"), RECLAIM_POLICIES)
    faults.one_of("spec.volumeMode", spec.get("volumeMode"), VOLUME_MODES)
    if required := dig(spec, "nodeAffinity", "required"):
        node_selector(faults, required, "spec.nodeAffinity.required")
    elif "nodeAffinity" in spec:
        faults.required("spec.nodeAffinity.required", "must specify required node constraints")
    if "hostPath" in spec and not spec["hostPath"].get("path"):
        faults.required("spec.hostPath.path")
    elif dig(spec, "hostPath", "path") == "/" and spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        detail = "may not be 'recycle' for a hostPath mount of '/'"
        faults.forbidden("spec.persistentVolumeReclaimPolicy", detail)
    if "csi" in spec:
        csi_driver(faults, spec["csi"].get("driver", ""), "spec.csi.driver")
        if not spec["csi"].get("volumeHandle"):
            faults.required("spec.csi.volumeHandle")
    if "nfs" in spec:
        for field in ("server", "path"):
            if not spec["nfs"].get(field):
                faults.required(f"spec.nfs.{field}")
    if "local" in spec and "nodeAffinity" not in spec:
        faults.required("spec.nodeAffinity", "Local volume requires node affinity")
    if name := spec.get("storageClassName"):
        faults.checked("spec.storageClassName", name, names.dns_subdomain(name))
    if old is not None:
        if {k: v for k, v in spec.items() if k in sources} != {k: v for k, v in was.items() if k not in NOT_A_SOURCE}:
            detail = "spec.persistentvolumesource is immutable after creation"
            faults.forbidden("spec.persistentvolumesource", detail)
        faults.immutable("volumeMode", spec.get("volumeMode"), was.get("volumeMode"))
        if "nodeAffinity" in was and spec.get("nodeAffinity") != was["nodeAffinity"]:
            detail = "field is immutable, except for updating from beta label to GA"
            faults.invalid("nodeAffinity", spec.get("nodeAffinity"), detail)
    return faults.causes


def claim_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    was: Document = (old or {}).get("spec") or {}
    if old is not None and spec == was:
        return ()
    _access_modes(faults, spec, "spec", "at least 1 access mode is required")
    _storage(faults, dig(spec, "resources", "requests", default={}), "spec.resources")  # as Kubernetes names it
    if "selector" in spec:
        faults.causes.extend(check_document(spec["selector"], "spec.selector"))
    if name := spec.get("storageClassName"):
        faults.checked("spec.storageClassName", name, names.dns_subdomain(name))
    faults.one_of("spec.volumeMode", spec.get("volumeMode"), VOLUME_MODES)
    for field in ("dataSource", "dataSourceRef"):
        if field in spec:
            _data_source(faults, spec[field], f"spec.{field}")
    if old is not None and not faults.causes:
        held = dig(old, "status", "capacity", "storage", default=0)
        _claim_update(faults, spec, was, dig(new, "status", "phase", default=""), held)
    return faults.causes


def _data_source(faults: Faults, found: Document, path: str) -> None:
    """Of what a claim's volume starts as a copy of."""
    for field in ("name", "kind"):
        if not found.get(field):
            faults.required(f"{path}.{field}")
    if group := found.get("apiGroup"):
        faults.checked(f"{path}.apiGroup", group, names.dns_subdomain(group))
    elif found.get("kind") != "PersistentVolumeClaim":
        detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        faults.invalid(path, found.get("kind", ""), detail)
    if namespace := found.get("namespace"):
        faults.checked(f"{path}.namespace", namespace, names.dns_label(namespace))


def _claim_update(faults: Faults, spec: Document, was: Document, phase: str, held: quantity.Quantity) -> None:
    """held: what the claim has already, below which it cannot go back.

    A claim grows once it is bound, and is given its volume and its default class; nothing else of it changes."""
    free = ["resources", "volumeAttributesClassName"]
    free += [field for field in ("volumeName", "storageClassName") if not was.get(field)]
    if not same_but(spec, was, *free):
        changed = ", ".join(changed_fields(spec, was, "spec"))
        detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound"
        faults.forbidden("spec", f"{detail} claims\nchanged: {changed}")
        return
    new_size = dig(spec, "resources", "requests", "storage")
    old_size = dig(was, "resources", "requests", "storage", default=0)
    if quantity.compare(new_size, old_size) < 0 and quantity.compare(new_size, held) <= 0:
        faults.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")
    elif new_size != old_size and phase != "Bound":
        detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound"
        faults.forbidden("spec", f"{detail} claims\nchanged: spec.resources.requests.storage")


def class_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    if not new.get("provisioner"):
        faults.required("provisioner")
    if new.get("reclaimPolicy") not in CLASS_RECLAIM_POLICIES:
        faults.unsupported("reclaimPolicy", new.get("reclaimPolicy", ""), CLASS_RECLAIM_POLICIES)
    faults.one_of("volumeBindingMode", new.get("volumeBindingMode"), BINDING_MODES)
    for key in new.get("parameters") or {}:
        if not key:
            faults.invalid("parameters", key, "field can not be empty.")
    if old is not None:
        if (new.get("parameters") or {}) != (old.get("parameters") or {}):
            faults.forbidden("parameters", "updates to parameters are forbidden.")
        for field in ("provisioner", "reclaimPolicy"):
            if new.get(field) != old.get(field):
                faults.forbidden(field, f"updates to {field} are forbidden.")
        faults.immutable("volumeBindingMode", new.get("volumeBindingMode"), old.get("volumeBindingMode"))
    return faults.causes
