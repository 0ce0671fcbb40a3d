"""Rules of PersistentVolumes, and of the volumes that attachments carry in themselves.

Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from navarch.base.errors import Cause
from navarch.kinds.podspec.claim_rules import VOLUME_MODES, access_modes, positive
from navarch.kinds.podspec.placement_rules import node_selector
from navarch.kinds.podspec.volume_rules import ONE_TYPE, csi_driver, volume_source
from navarch.kinds.rules import Faults, changed_fields
from navarch.objects import names
from navarch.objects.value import Document, dig

RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
SOURCES = (
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
)
"""In which order Kubernetes looks for a volume's type."""
SECRETS = ("controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef")
INLINE = "may not be specified in the context of inline volumes"


def volume_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    was: Document = (old or {}).get("spec") or {}
    if old is not None and spec == was:
        return ()
    volume_spec(faults, spec, "spec")
    if old is not None:
        _update(faults, spec, was)
    return faults.causes


def volume_spec(faults: Faults, spec: Document, path: str, inline: bool = False) -> None:
    """inline: of a volume that is no object, within an attachment."""
    if inline:
        for field in ("claimRef", "capacity"):
            if spec.get(field):
                faults.forbidden(f"{path}.{field}", INLINE)
        if "csi" not in spec:
            faults.required(f"{path}.csi", "has to be specified in the context of inline volumes")
    if not spec.get("accessModes"):
        faults.required(f"{path}.accessModes")
    access_modes(faults, spec, path)
    policy = spec.get("persistentVolumeReclaimPolicy", "")
    if not inline:
        _capacity(faults, spec.get("capacity") or {}, f"{path}.capacity")
        if policy and policy not in RECLAIM_POLICIES:
            faults.unsupported(f"{path}.persistentVolumeReclaimPolicy", policy, RECLAIM_POLICIES)
    elif policy and policy != "Retain":
        detail = "may only be Retain in the context of inline volumes"
        faults.forbidden(f"{path}.persistentVolumeReclaimPolicy", detail)
    _affinity(faults, spec, path, inline)
    _sources(faults, spec, path)
    if policy == "Recycle" and posixpath.normpath(dig(spec, "hostPath", "path", default=".")).strip("/") == "":
        detail = "may not be 'recycle' for a hostPath mount of '/'"
        faults.forbidden(f"{path}.persistentVolumeReclaimPolicy", detail)
    _class_and_mode(faults, spec, path, inline)
    if (name := spec.get("volumeAttributesClassName")) is not None:
        if not name:
            faults.required(f"{path}.volumeAttributesClassName", "an empty string is disallowed")
        else:
            faults.checked(f"{path}.volumeAttributesClassName", name, names.dns_subdomain(name))
        if "csi" not in spec:
            faults.required(f"{path}.csi", "has to be specified when using volumeAttributesClassName")


def _capacity(faults: Faults, capacity: Document, path: str) -> None:
    if not capacity:
        faults.required(path)
    if set(capacity) != {"storage"}:
        faults.unsupported(path, capacity or None, ("storage",))
    for name, value in capacity.items():
        positive(faults, value, f"{path}[{name}]")


def _affinity(faults: Faults, spec: Document, path: str, inline: bool) -> None:
    if "nodeAffinity" not in spec:
        return
    if inline:
        faults.forbidden(f"{path}.nodeAffinity", INLINE)
    elif "required" not in spec["nodeAffinity"]:
        faults.required(f"{path}.nodeAffinity.required", "must specify required node constraints")
    else:
        node_selector(faults, spec["nodeAffinity"]["required"], f"{path}.nodeAffinity.required")


def _class_and_mode(faults: Faults, spec: Document, path: str, inline: bool) -> None:
    name, mode = spec.get("storageClassName"), spec.get("volumeMode")
    if name and inline:
        faults.forbidden(f"{path}.storageClassName", INLINE)
    elif name:
        faults.checked(f"{path}.storageClassName", name, names.dns_subdomain(name))
    if inline and mode not in (None, "Filesystem"):
        detail = "may not specify volumeMode other than Filesystem in the context of inline volumes"
        faults.forbidden(f"{path}.volumeMode", detail)
    elif mode is not None and mode not in VOLUME_MODES:
        faults.unsupported(f"{path}.volumeMode", mode, VOLUME_MODES)


def _sources(faults: Faults, spec: Document, path: str) -> None:
    """The first in Kubernetes' order counts; the others are only too many."""
    types = [type_ for type_ in SOURCES if type_ in spec]
    for index, type_ in enumerate(types):
        if index:
            faults.forbidden(f"{path}.{type_}", ONE_TYPE)
        elif type_ == "local":
            _local(faults, spec, path)
        elif type_ == "csi":
            _csi(faults, spec["csi"], f"{path}.csi")
        else:
            volume_source(faults, type_, spec[type_], f"{path}.{type_}")
    if not types:
        faults.required(path, "must specify a volume type")


def _local(faults: Faults, spec: Document, path: str) -> None:
    where = spec["local"].get("path", "")
    if not where:
        faults.required(f"{path}.local.path")
    elif ".." in where.split("/"):
        faults.invalid(f"{path}.local.path", where, "must not contain '..'")
    if "nodeAffinity" not in spec:
        faults.required(f"{path}.nodeAffinity", "Local volume requires node affinity")


def _csi(faults: Faults, found: Document, path: str) -> None:
    csi_driver(faults, found.get("driver", ""), f"{path}.driver")
    if not found.get("volumeHandle"):
        faults.required(f"{path}.volumeHandle")
    for field in SECRETS:
        for part, check in (("name", names.dns_subdomain), ("namespace", names.dns_label)) if field in found else ():
            if not (text := found[field].get(part)):
                faults.required(f"{path}.{field}.{part}")
            else:
                faults.checked(f"{path}.{field}.{part}", text, check(text))


def _update(faults: Faults, spec: Document, was: Document) -> None:
    new = {type_: spec[type_] for type_ in SOURCES if type_ in spec}
    old = {type_: was[type_] for type_ in SOURCES if type_ in was}
    if "csi" in new and "csi" in old and "controllerExpandSecretRef" not in old["csi"]:  # it may be given later
        new["csi"] = {key: value for key, value in new["csi"].items() if key != "controllerExpandSecretRef"}
    if new != old:
        changed = ", ".join(changed_fields(new, old, "spec"))
        detail = f"spec.persistentvolumesource is immutable after creation\nchanged: {changed}"
        faults.forbidden("spec.persistentvolumesource", detail)
    faults.immutable("volumeMode", spec.get("volumeMode"), was.get("volumeMode"))
    if "nodeAffinity" in was and spec.get("nodeAffinity") != was["nodeAffinity"]:
        detail = "field is immutable, except for updating from beta label to GA"
        faults.invalid("nodeAffinity", spec.get("nodeAffinity"), detail)
    if "volumeAttributesClassName" in was and "volumeAttributesClassName" not in spec:
        faults.forbidden("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden")
