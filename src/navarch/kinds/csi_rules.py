"""Rules of the kinds by which CSI drivers and the cluster talk about volumes.

Source: https://kubernetes-csi.github.io/docs/ and
https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.base.errors import Cause
from navarch.kinds.podspec.resource_rules import amount
from navarch.kinds.rules import Faults, repeats, same_but
from navarch.objects import names
from navarch.objects.selector import check_document
from navarch.objects.value import Document, dig

DRIVER_NAME_MAX = 63
NODE_ID_MAX = 256
GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
LIFECYCLES = ("Ephemeral", "Persistent")
TOKEN_LEAST_S = 600
TOKEN_MOST_S = 1 << 32
ALLOCATABLE_LEAST_S = 10


def driver_name(faults: Faults, name: str, field: str) -> None:
    if not name:
        faults.required(field)
        return
    if len(name) > DRIVER_NAME_MAX:
        faults.too_long(field, DRIVER_NAME_MAX)
    faults.checked(field, name, names.dns_subdomain(name.lower()))


def driver_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    name = dig(new, "metadata", "name", default="")
    if len(name) > DRIVER_NAME_MAX:
        faults.too_long("metadata.name", DRIVER_NAME_MAX)
    if old is not None:
        was: Document = old.get("spec") or {}
        faults.immutable("spec.attachedRequired", spec.get("attachRequired"), was.get("attachRequired"))
        faults.immutable("spec.volumeLifecycleModes", spec.get("volumeLifecycleModes"), was.get("volumeLifecycleModes"))
    if spec.get("fsGroupPolicy") not in GROUP_POLICIES:
        faults.unsupported("spec.fsGroupPolicy", spec.get("fsGroupPolicy", ""), GROUP_POLICIES)
    for mode in spec.get("volumeLifecycleModes") or ():
        if mode not in LIFECYCLES:
            faults.unsupported("spec.volumeLifecycleModes", mode, LIFECYCLES)
    audiences: set[str] = set()
    for index, request in enumerate(spec.get("tokenRequests") or ()):
        where, audience = f"spec.tokenRequests[{index}]", request.get("audience", "")
        if audience in audiences:
            faults.duplicate(f"{where}.audience", audience)
        audiences.add(audience)
        lifetime_s = request.get("expirationSeconds")
        if lifetime_s is not None and lifetime_s < TOKEN_LEAST_S:
            detail = "may not specify a duration less than 10 minutes"
            faults.invalid(f"{where}.expirationSeconds", lifetime_s, detail)
        if lifetime_s is not None and lifetime_s > TOKEN_MOST_S:
            detail = "may not specify a duration larger than 2^32 seconds"
            faults.invalid(f"{where}.expirationSeconds", lifetime_s, detail)
    period_s = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if period_s is not None and period_s < ALLOCATABLE_LEAST_S:
        detail = f"must be greater than or equal to {ALLOCATABLE_LEAST_S} seconds"
        faults.invalid("spec.nodeAllocatableUpdatePeriodSeconds", period_s, detail)
    return faults.causes


def node_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    drivers: list[Document] = dig(new, "spec", "drivers", default=[])
    known = {one.get("name"): one for one in dig(old, "spec", "drivers", default=())}
    taken: set[str] = set()
    for index, driver in enumerate(drivers):
        where, name = f"spec.drivers[{index}]", driver.get("name", "")
        driver_name(faults, name, f"{where}.name")
        if name in taken:
            faults.duplicate(f"{where}.name", name)
        taken.add(name)
        if not driver.get("nodeID"):
            faults.required(f"{where}.nodeID")
        elif len(driver["nodeID"]) > NODE_ID_MAX:
            faults.invalid(f"{where}.nodeID", driver["nodeID"], f"must be {NODE_ID_MAX} characters or less")
        keys = driver.get("topologyKeys") or []
        twice = repeats(keys)
        for number, key in enumerate(keys):
            if not key:
                faults.required(f"{where}.topologyKeys")
            else:
                faults.checked(f"{where}.topologyKeys", key, names.qualified_name(key))
            if number in twice:
                faults.duplicate(f"{where}.topologyKeys", key)
        faults.not_negative(f"{where}.allocatable.count", dig(driver, "allocatable", "count"))
        if name in known and not same_but(driver, known[name], "allocatable"):
            faults.invalid("spec.drivers", driver, "field is immutable")
    return faults.causes


def capacity_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    name = new.get("storageClassName", "")
    if not name:
        faults.required("storageClassName")
    else:
        faults.checked("storageClassName", name, names.dns_subdomain(name))
    if "nodeTopology" in new:
        faults.causes.extend(check_document(new["nodeTopology"], "nodeTopology"))
    for field in ("capacity", "maximumVolumeSize"):
        if field in new:
            amount(faults, new[field], field)
    if old is not None:
        for field in ("nodeTopology", "storageClassName"):
            faults.immutable(field, new.get(field), old.get(field))
    return faults.causes


def attachment_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    if old is not None:
        faults.immutable("spec", spec, old.get("spec"))
    driver_name(faults, spec.get("attacher", ""), "spec.attacher")
    source: Document = spec.get("source") or {}
    inline, name = source.get("inlineVolumeSpec"), source.get("persistentVolumeName")
    if (inline is None) == (name is None):
        detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        if inline is None:
            faults.required("spec.source", detail)
        else:
            faults.invalid("spec.source", source, detail)
    elif name is not None:
        if not name:
            faults.required("spec.source.persistentVolumeName", "must specify non empty persistentVolumeName")
        else:
            faults.checked("spec.source.persistentVolumeName", name, names.dns_subdomain(name))
    node = spec.get("nodeName", "")
    faults.checked("spec.nodeName", node, names.dns_subdomain(node))
    return faults.causes


def attributes_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    driver_name(faults, new.get("driverName", ""), "driverName")
    parameters: Document = new.get("parameters") or {}
    if not parameters:
        faults.required("parameters", "must contain at least one key/value pair")
    if "" in parameters:
        faults.invalid("parameters", "", "field can not be empty.")
    if old is not None:
        for field in ("driverName", "parameters"):
            if new.get(field) != old.get(field):
                faults.forbidden(field, f"updates to {field} are forbidden.")
    return faults.causes
