"""Rules of the kinds by which CSI drivers and the cluster talk about volumes.

Source: https://kubernetes-csi.github.io/docs/ and
https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.base.errors import Cause
from navarch.kinds.persistentvolume_rules import volume_spec
from navarch.kinds.podspec.resource_rules import amount
from navarch.kinds.podspec.volume_rules import csi_driver
from navarch.kinds.rules import IMMUTABLE, INT32_MAX, Faults, repeats, same_but
from navarch.kinds.storage_rules import parameters, provisioner
from navarch.objects import names
from navarch.objects.selector import check_document
from navarch.objects.value import Document, dig

NODE_ID_MAX_BYTES = 256
METADATA_MAX_BYTES = 256 * 1024
ERROR_MAX_BYTES = 1024
GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
LIFECYCLES = ("Persistent", "Ephemeral")
TOKEN_LEAST_S = 600
TOKEN_MOST_S = 1 << 32
ALLOCATABLE_LEAST_S = 10


def driver_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    if "fsGroupPolicy" in spec and spec["fsGroupPolicy"] not in GROUP_POLICIES:
        faults.unsupported("spec.fsGroupPolicy", spec["fsGroupPolicy"], GROUP_POLICIES)
    requests: list[Document] = spec.get("tokenRequests") or []
    _token_requests(faults, requests, "spec.tokenRequests")
    for mode in spec.get("volumeLifecycleModes") or ():
        if mode not in LIFECYCLES:
            faults.unsupported("spec.volumeLifecycleModes", mode, LIFECYCLES)
    period_s = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if period_s is not None and period_s < ALLOCATABLE_LEAST_S:
        detail = f"must be greater than or equal to {ALLOCATABLE_LEAST_S} seconds"
        faults.invalid("spec.nodeAllocatableUpdatePeriodSeconds", period_s, detail)
    if "serviceAccountTokenInSecrets" in spec and not requests:
        detail = "serviceAccountTokenInSecrets is set but no tokenRequests are specified"
        faults.invalid("spec.serviceAccountTokenInSecrets", spec["serviceAccountTokenInSecrets"], detail)
    if old is not None:
        was: Document = old.get("spec") or {}
        faults.immutable("spec.attachedRequired", spec.get("attachRequired"), was.get("attachRequired"))
        faults.immutable("spec.volumeLifecycleModes", spec.get("volumeLifecycleModes"), was.get("volumeLifecycleModes"))
    return faults.causes


def _token_requests(faults: Faults, requests: list[Document], path: str) -> None:
    audiences: set[str] = set()
    for index, request in enumerate(requests):
        where, audience = f"{path}[{index}]", request.get("audience", "")
        if audience in audiences:
            faults.duplicate(f"{where}.audience", audience)
            continue
        audiences.add(audience)
        lifetime_s = request.get("expirationSeconds")
        if lifetime_s is not None and lifetime_s < TOKEN_LEAST_S:
            detail = "may not specify a duration less than 10 minutes"
            faults.invalid(f"{where}.expirationSeconds", lifetime_s, detail)
        if lifetime_s is not None and lifetime_s > TOKEN_MOST_S:
            detail = "may not specify a duration larger than 2^32 seconds"
            faults.invalid(f"{where}.expirationSeconds", lifetime_s, detail)


def node_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    drivers: list[Document] = dig(new, "spec", "drivers", default=[])
    taken: set[str] = set()
    for index, driver in enumerate(drivers):
        where, name = f"spec.drivers[{index}]", driver.get("name", "")
        csi_driver(faults, name, f"{where}.name")
        node_id = driver.get("nodeID", "")
        if not node_id:
            faults.required(f"{where}.nodeID")
        if len(node_id.encode()) > NODE_ID_MAX_BYTES:
            faults.invalid(f"{where}.nodeID", node_id, f"must be {NODE_ID_MAX_BYTES} characters or less")
        faults.not_negative(f"{where}.allocatable.count", dig(driver, "allocatable", "count"))
        if name in taken:
            faults.duplicate(f"{where}.name", name)
        taken.add(name)
        keys = driver.get("topologyKeys") or []
        twice = repeats(keys)
        for number, key in enumerate(keys):  # told of the driver, as Kubernetes tells it
            if not key:
                faults.required(where)
            if number in twice:
                faults.duplicate(where, key)
            faults.checked(where, key, names.qualified_name(key))
    known = {one.get("name"): one for one in dig(old, "spec", "drivers", default=())}
    for driver in drivers:
        if not same_but(driver, known.get(driver.get("name"), driver), "allocatable"):
            shown = {key: value for key, value in driver.items() if key != "allocatable"}
            faults.invalid("spec.drivers", shown, IMMUTABLE)
    return faults.causes


def capacity_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    name = new.get("storageClassName", "")
    if "nodeTopology" in new:
        faults.causes.extend(check_document(new["nodeTopology"], "nodeTopology"))
    faults.checked("storageClassName", name, names.dns_subdomain(name))
    for field in ("capacity", "maximumVolumeSize"):
        if field in new:
            amount(faults, new[field], field)
    if old is not None:
        for field in ("nodeTopology", "storageClassName"):
            faults.immutable(field, new.get(field), old.get(field))
    return faults.causes


def attachment_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """Of an attachment and of its status."""
    faults = Faults()
    spec: Document = new.get("spec") or {}
    if not spec.get("attacher"):
        faults.required("spec.attacher")
    _attached(faults, spec.get("source") or {}, "spec.source")
    node = spec.get("nodeName", "")
    faults.checked("spec.nodeName", node, names.dns_subdomain(node))
    status: Document = new.get("status") or {}
    held = status.get("attachmentMetadata") or {}
    if sum(len(key.encode()) + len(value.encode()) for key, value in held.items()) > METADATA_MAX_BYTES:
        faults.too_long("status.attachmentMetadata", METADATA_MAX_BYTES)
    for field in ("attachError", "detachError"):
        error: Document = status.get(field) or {}
        if len(error.get("message", "").encode()) > ERROR_MAX_BYTES:
            faults.too_long(f"status.{field}.message", METADATA_MAX_BYTES)  # that number is what Kubernetes says
        if error.get("errorCode", 0) < 0:
            faults.invalid(f"status.{field}.errorCode", error["errorCode"], names.out_of_range(0, INT32_MAX))
    if old is not None:
        faults.immutable("spec", spec, old.get("spec"))
    else:
        csi_driver(faults, spec.get("attacher", ""), "spec.attacher")
        if (name := dig(spec, "source", "persistentVolumeName")) is not None:
            faults.checked("spec.source.persistentVolumeName", name, names.dns_subdomain(name))
    return faults.causes


def _attached(faults: Faults, source: Document, path: str) -> None:
    inline, name = source.get("inlineVolumeSpec"), source.get("persistentVolumeName")
    detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
    if inline is None and name is None:
        faults.required(path, detail)
    elif inline is not None and name is not None:
        faults.forbidden(path, detail)
    elif inline is not None:
        volume_spec(faults, inline, f"{path}.inlineVolumeSpec", inline=True)
    elif not name:
        faults.required(f"{path}.persistentVolumeName", "must specify non empty persistentVolumeName")


def attributes_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    if old is not None:
        for field in ("driverName", "parameters"):
            if new.get(field) != old.get(field):
                faults.forbidden(field, f"updates to {field} are forbidden.")
    provisioner(faults, new.get("driverName", ""), "driverName")
    found: Document = new.get("parameters") or {}
    parameters(faults, found, "parameters")
    if not found:
        faults.required("parameters", "must contain at least one key/value pair")
    return faults.causes
