"""CSIDriver, CSINode, CSIStorageCapacity, VolumeAttachment, VolumeAttributesClass: volumes from outside the cluster.

Source: https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from navarch.kinds.csi_rules import attachment_rules, attributes_rules, capacity_rules, driver_rules, node_rules
from navarch.kinds.kind import Column, Kind
from navarch.kinds.printing import NONE, UNSET
from navarch.kinds.view import ObjectMeta, View
from navarch.objects.value import Document, Draft, dig

GROUP = "storage.k8s.io"

DEFAULT_ATTRIBUTES = "volumeattributesclass.alpha.kubernetes.io/is-default-class"
"""The annotation of the VolumeAttributesClass that is shown as the default."""


class DriverToken(View, frozen=True):
    """A token of the pod's service account that a driver is given."""

    audience: str = ""
    expiration_seconds: int | None = None


class CSIDriverSpec(View, frozen=True):
    attach_required: bool = True
    pod_info_on_mount: bool = False
    fs_group_policy: str = "ReadWriteOnceWithFSType"
    volume_lifecycle_modes: tuple[str, ...] = ("Persistent",)
    token_requests: tuple[DriverToken, ...] = ()
    requires_republish: bool = False
    service_account_token_in_secrets: bool = False
    node_allocatable_update_period_seconds: int | None = None


class CSIDriver(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: CSIDriverSpec = CSIDriverSpec()


class AttachmentSource(View, frozen=True):
    persistent_volume_name: str = ""


class AttachmentSpec(View, frozen=True):
    attacher: str = ""
    node_name: str = ""
    source: AttachmentSource = AttachmentSource()


class VolumeError(View, frozen=True):
    message: str = ""
    time: datetime | None = None


class AttachmentStatus(View, frozen=True):
    attached: bool = False
    attach_error: VolumeError | None = None


class VolumeAttachment(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: AttachmentSpec = AttachmentSpec()
    status: AttachmentStatus = AttachmentStatus()


DRIVER: dict[str, Any] = {
    "attachRequired": True,
    "podInfoOnMount": False,
    "storageCapacity": False,
    "fsGroupPolicy": "ReadWriteOnceWithFSType",
    "volumeLifecycleModes": ["Persistent"],
    "requiresRepublish": False,
    "seLinuxMount": False,
}


def default_driver(draft: Draft) -> None:
    for field, value in DRIVER.items():
        draft.default(value, "spec", field)
    if not draft.get("spec", "volumeLifecycleModes"):
        draft.set(DRIVER["volumeLifecycleModes"], "spec", "volumeLifecycleModes")


def prepare_attachment(draft: Draft, old: Document | None) -> None:
    if old is None:
        draft.set({"attached": False}, "status")


def _modes(found: Document, now: datetime) -> str:
    return ",".join(dig(found, "spec", "volumeLifecycleModes", default=())) or NONE


def _audiences(found: Document, now: datetime) -> str:
    requests = dig(found, "spec", "tokenRequests")
    return UNSET if requests is None else ",".join(request.get("audience", "") for request in requests)


def _drivers(found: Document, now: datetime) -> int:
    return len(dig(found, "spec", "drivers", default=()))


def _volume(found: Document, now: datetime) -> str:
    return str(dig(found, "spec", "source", "persistentVolumeName", default=""))


def _attached(found: Document, now: datetime) -> bool:
    return bool(dig(found, "status", "attached"))


def _free(found: Document, now: datetime) -> str:
    return str(found.get("capacity", UNSET))


def _class_name(found: Document, now: datetime) -> str:
    name = dig(found, "metadata", "name", default="")
    is_default = dig(found, "metadata", "annotations", DEFAULT_ATTRIBUTES) == "true"
    return f"{name} (default)" if is_default else str(name)


def _flag(field: str) -> Any:
    return lambda found, now: bool(dig(found, "spec", field))


CSIDRIVER = Kind(
    group=GROUP,
    version="v1",
    name="CSIDriver",
    plural="csidrivers",
    namespaced=False,
    view=CSIDriver,
    default=default_driver,
    rules=driver_rules,
    columns=(
        Column("AttachRequired", _flag("attachRequired"), type="boolean", description="Whether volumes are attached."),
        Column("PodInfoOnMount", _flag("podInfoOnMount"), type="boolean", description="Whether it is told of the pod."),
        Column(
            "StorageCapacity", _flag("storageCapacity"), type="boolean", description="Whether it tells what is free."
        ),
        Column("TokenRequests", _audiences, description="For whom it gets the pod's tokens."),
        Column(
            "RequiresRepublish", _flag("requiresRepublish"), type="boolean", description="Whether it is called again."
        ),
        Column("Modes", _modes, description="How long its volumes live."),
    ),
)

CSINODE = Kind(
    group=GROUP,
    version="v1",
    name="CSINode",
    plural="csinodes",
    namespaced=False,
    rules=node_rules,
    counts_generation=False,
    columns=(Column("Drivers", _drivers, type="integer", description="How many drivers the node has."),),
)

CSISTORAGECAPACITY = Kind(
    group=GROUP,
    version="v1",
    name="CSIStorageCapacity",
    plural="csistoragecapacities",
    rules=capacity_rules,
    counts_generation=False,
    columns=(
        Column("StorageClassName", ".storageClassName", description="The class of the volumes."),
        Column("Capacity", _free, description="How much is free for them."),
    ),
    age=False,
)

VOLUMEATTACHMENT = Kind(
    group=GROUP,
    version="v1",
    name="VolumeAttachment",
    plural="volumeattachments",
    namespaced=False,
    view=VolumeAttachment,
    rules=attachment_rules,
    prepare=prepare_attachment,
    subresources=("status",),
    subresource_rules={"status": attachment_rules},
    counts_generation=False,
    columns=(
        Column("Attacher", ".spec.attacher", format="name", description="The driver that attaches."),
        Column("PV", _volume, description="The volume."),
        Column("Node", ".spec.nodeName", description="The node."),
        Column("Attached", _attached, type="boolean", description="Whether it is attached."),
    ),
)

VOLUMEATTRIBUTESCLASS = Kind(
    group=GROUP,
    version="v1",
    name="VolumeAttributesClass",
    plural="volumeattributesclasses",
    short=("vac",),
    namespaced=False,
    rules=attributes_rules,
    counts_generation=False,
    columns=(
        Column("Name", _class_name, format="name", description="The name of the class."),
        Column("DriverName", ".driverName", description="The driver that knows the attributes."),
    ),
    named=False,
)
