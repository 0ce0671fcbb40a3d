"""ResourceClaim, ResourceClaimTemplate, DeviceClass, ResourceSlice, DeviceTaintRule: devices that drivers have.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
"""

from __future__ import annotations

from datetime import datetime

from navarch.kinds.device_rules import claim_rules, class_rules, taint_rules, taint_status_rules, template_rules
from navarch.kinds.device_slice_rules import slice_rules
from navarch.kinds.device_status_rules import drop_deallocated, status_rules
from navarch.kinds.kind import Column, Kind
from navarch.objects.value import Document, Draft, dig

GROUP = "resource.k8s.io"


def default_claim(draft: Draft) -> None:
    _default_requests(draft, "spec")
    for index in draft.each("status", "allocation", "devices", "results"):
        _default_tolerations(draft, "status", "allocation", "devices", "results", index)


def default_template(draft: Draft) -> None:
    _default_requests(draft, "spec", "spec")


def _default_requests(draft: Draft, *path: str) -> None:
    for index in draft.each(*path, "devices", "requests"):
        request: tuple[str | int, ...] = (*path, "devices", "requests", index)
        if draft.has(*request, "exactly"):
            _default_request(draft, *request, "exactly")
        for number in draft.each(*request, "firstAvailable"):
            _default_request(draft, *request, "firstAvailable", number)


def _default_request(draft: Draft, *path: str | int) -> None:
    if not draft.get(*path, "allocationMode"):
        draft.set("ExactCount", *path, "allocationMode")
    if draft.get(*path, "allocationMode") == "ExactCount" and not draft.get(*path, "count"):
        draft.set(1, *path, "count")
    _default_tolerations(draft, *path)


def _default_tolerations(draft: Draft, *path: str | int) -> None:
    for index in draft.each(*path, "tolerations"):
        if not draft.get(*path, "tolerations", index, "operator"):
            draft.set("Equal", *path, "tolerations", index, "operator")


def prepare_claim(draft: Draft, old: Document | None) -> None:
    if old is None:
        draft.set({}, "status")


def _state(found: Document, now: datetime) -> str:
    words = ["deleted"] if dig(found, "metadata", "deletionTimestamp") is not None else []
    if dig(found, "status", "allocation") is None:
        return words[0] if words else "pending"
    words.append("allocated")
    if dig(found, "status", "reservedFor"):
        words.append("reserved")
    return ",".join(words)


RESOURCECLAIM = Kind(
    group=GROUP,
    version="v1",
    name="ResourceClaim",
    plural="resourceclaims",
    default=default_claim,
    rules=claim_rules,
    prepare=prepare_claim,
    subresources=("status",),
    prepare_status=drop_deallocated,
    subresource_rules={"status": status_rules},
    counts_generation=False,
    columns=(Column("State", _state, description="Whether it has its devices."),),
)

RESOURCECLAIMTEMPLATE = Kind(
    group=GROUP,
    version="v1",
    name="ResourceClaimTemplate",
    plural="resourceclaimtemplates",
    default=default_template,
    rules=template_rules,
    counts_generation=False,
)

DEVICECLASS = Kind(
    group=GROUP,
    version="v1",
    name="DeviceClass",
    plural="deviceclasses",
    namespaced=False,
    rules=class_rules,
)

RESOURCESLICE = Kind(
    group=GROUP,
    version="v1",
    name="ResourceSlice",
    plural="resourceslices",
    namespaced=False,
    rules=slice_rules,
    columns=(
        Column("Node", ".spec.nodeName", description="The node that has the devices."),
        Column("Driver", ".spec.driver", description="The driver that publishes them."),
        Column("Pool", ".spec.pool.name", description="The pool that they belong to."),
    ),
    fields={"spec.driver": ("spec", "driver"), "spec.nodeName": ("spec", "nodeName")},
)

DEVICETAINTRULE = Kind(
    group=GROUP,
    version="v1beta2",
    name="DeviceTaintRule",
    plural="devicetaintrules",
    namespaced=False,
    rules=taint_rules,
    prepare=prepare_claim,
    subresources=("status",),
    subresource_rules={"status": taint_status_rules},
)
