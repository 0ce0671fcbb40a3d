"""Rules of what is asked of a volume: by PersistentVolumeClaims, and by pods that bring their own.

Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/#persistentvolumeclaims
"""

from __future__ import annotations

from navarch.kinds.rules import Faults
from navarch.objects import names, quantity
from navarch.objects.selector import check_document
from navarch.objects.value import Document, dig

MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")


def access_modes(faults: Faults, spec: Document, path: str) -> None:
    modes = spec.get("accessModes") or []
    for mode in modes:
        if mode not in MODES:
            faults.unsupported(f"{path}.accessModes", mode, MODES)
    if "ReadWriteOncePod" in modes and set(modes) != {"ReadWriteOncePod"}:
        faults.forbidden(f"{path}.accessModes", "may not use ReadWriteOncePod with other access modes")


def positive(faults: Faults, value: quantity.Quantity, field: str) -> None:
    try:
        found = quantity.nano(value)
    except quantity.BadQuantity as error:
        faults.invalid(field, value, str(error))
        return
    if found <= 0:
        faults.invalid(field, value, "must be greater than zero")


def claim_spec(faults: Faults, spec: Document, path: str) -> None:
    """Of a claim, or of what claims are made of for a pod."""
    if not spec.get("accessModes"):
        faults.required(f"{path}.accessModes", "at least 1 access mode is required")
    if "selector" in spec:
        faults.causes.extend(check_document(spec["selector"], f"{path}.selector"))
    access_modes(faults, spec, path)
    asked = dig(spec, "resources", "requests", default={})
    if "storage" not in asked:
        faults.required(f"{path}.resources[storage]")  # as Kubernetes names it
    else:
        positive(faults, asked["storage"], f"{path}.resources[storage]")
    if name := spec.get("storageClassName"):
        faults.checked(f"{path}.storageClassName", name, names.dns_subdomain(name))
    if "volumeMode" in spec and spec["volumeMode"] not in VOLUME_MODES:
        faults.unsupported(f"{path}.volumeMode", spec["volumeMode"], VOLUME_MODES)
    _sources(faults, spec, path)
    if name := spec.get("volumeAttributesClassName"):
        faults.checked(f"{path}.volumeAttributesClassName", name, names.dns_subdomain(name))


def _sources(faults: Faults, spec: Document, path: str) -> None:
    for field in ("dataSource", "dataSourceRef"):
        if field in spec:
            _data_source(faults, spec[field], f"{path}.{field}")
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is None or reference is None:
        return
    if reference.get("namespace"):
        detail = "may not be specified when dataSourceRef.namespace is specified"
        faults.invalid(path, f"{path}.dataSource", detail)
    elif any(source.get(field, "") != reference.get(field, "") for field in ("apiGroup", "kind", "name")):
        faults.invalid(path, f"{path}.dataSource", "must match dataSourceRef")


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
