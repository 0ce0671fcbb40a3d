"""PersistentVolume, PersistentVolumeClaim and StorageClass: disks that outlive pods.

Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from navarch.kinds import warnings
from navarch.kinds.kind import Column, Kind
from navarch.kinds.persistentvolume_rules import volume_rules
from navarch.kinds.podspec.container import Resources
from navarch.kinds.podspec.placement import NodeSelector
from navarch.kinds.podspec.volumes import CSISource, HostPathSource
from navarch.kinds.printing import UNSET, access_modes
from navarch.kinds.reference import NamedReference, ObjectReference
from navarch.kinds.storage_rules import claim_rules, claim_status_rules, class_rules
from navarch.kinds.view import Condition, LabelSelector, ObjectMeta, Quantity, View
from navarch.objects.value import Document, Draft, dig

CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
DEFAULT_CLASS_ANNOTATION = "storageclass.kubernetes.io/is-default-class"
PVC_PROTECTION, PV_PROTECTION = "kubernetes.io/pvc-protection", "kubernetes.io/pv-protection"
"""Finalizers of what may be in use."""
COPIED = (("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot"))
OLD_DEFAULT_CLASS_ANNOTATION = "storageclass.beta.kubernetes.io/is-default-class"


class LocalSource(View, frozen=True):
    path: str
    fs_type: str = ""


class CSIVolumeSource(CSISource, frozen=True):
    volume_handle: str = ""


class VolumeNodeAffinity(View, frozen=True):
    required: NodeSelector | None = None


class PersistentVolumeSpec(View, frozen=True):
    capacity: dict[str, Quantity] = {}
    access_modes: tuple[str, ...] = ()
    claim_ref: ObjectReference | None = None
    persistent_volume_reclaim_policy: str = "Retain"
    storage_class_name: str = ""
    mount_options: tuple[str, ...] = ()
    volume_mode: str = "Filesystem"
    node_affinity: VolumeNodeAffinity | None = None
    host_path: HostPathSource | None = None
    local: LocalSource | None = None
    csi: CSIVolumeSource | None = None
    volume_attributes_class_name: str = ""


class PersistentVolumeStatus(View, frozen=True):
    """phase: Pending, Available, Bound, Released, Failed."""

    phase: str = ""
    message: str = ""
    reason: str = ""


class PersistentVolume(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: PersistentVolumeSpec = PersistentVolumeSpec()
    status: PersistentVolumeStatus = PersistentVolumeStatus()


class PersistentVolumeClaimSpec(View, frozen=True):
    """storage_class_name: None asks for the default class, "" for none."""

    access_modes: tuple[str, ...] = ()
    selector: LabelSelector | None = None
    resources: Resources = Resources()
    volume_name: str = ""
    storage_class_name: str | None = None
    volume_mode: str = "Filesystem"
    data_source: NamedReference | None = None
    data_source_ref: NamedReference | None = None
    volume_attributes_class_name: str = ""


class PersistentVolumeClaimStatus(View, frozen=True):
    """phase: Pending, Bound, Lost."""

    phase: str = ""
    access_modes: tuple[str, ...] = ()
    capacity: dict[str, Quantity] = {}
    conditions: tuple[Condition, ...] = ()


class PersistentVolumeClaim(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: PersistentVolumeClaimSpec = PersistentVolumeClaimSpec()
    status: PersistentVolumeClaimStatus = PersistentVolumeClaimStatus()


class TopologyRequirement(View, frozen=True):
    key: str
    values: tuple[str, ...] = ()


class TopologyTerm(View, frozen=True):
    match_label_expressions: tuple[TopologyRequirement, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with these labels is there; a term without expressions is nowhere."""
        wanted = self.match_label_expressions
        return bool(wanted) and all(labels.get(one.key) in one.values for one in wanted)


class StorageClass(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    provisioner: str = ""
    parameters: dict[str, str] = {}
    reclaim_policy: str = "Delete"
    mount_options: tuple[str, ...] = ()
    allow_volume_expansion: bool = False
    volume_binding_mode: str = "Immediate"
    allowed_topologies: tuple[TopologyTerm, ...] = ()

    def allows(self, labels: Mapping[str, str]) -> bool:
        """Whether its volumes may be made where a node has these labels."""
        return not self.allowed_topologies or any(term.holds(labels) for term in self.allowed_topologies)

    @property
    def is_default(self) -> bool:
        annotations = self.metadata.annotations
        return "true" in (annotations.get(DEFAULT_CLASS_ANNOTATION), annotations.get(OLD_DEFAULT_CLASS_ANNOTATION))


def default_volume(draft: Draft) -> None:
    draft.default("Retain", "spec", "persistentVolumeReclaimPolicy")
    draft.default("Filesystem", "spec", "volumeMode")
    if draft.has("spec", "hostPath"):
        draft.default("", "spec", "hostPath", "type")


def default_claim(draft: Draft) -> None:
    """What the volume is a copy of stands in an old field and in a new one."""
    draft.default("Filesystem", "spec", "volumeMode")
    if draft.has("spec", "dataSource"):
        draft.default(draft.get("spec", "dataSource"), "spec", "dataSourceRef")
    elif draft.has("spec", "dataSourceRef") and not draft.get("spec", "dataSourceRef", "namespace"):
        reference = draft.get("spec", "dataSourceRef")
        draft.set({key: value for key, value in reference.items() if key != "namespace"}, "spec", "dataSource")


def default_class(draft: Draft) -> None:
    draft.default("Delete", "reclaimPolicy")
    draft.default("Immediate", "volumeBindingMode")


def prepare_pending(draft: Draft, old: Document | None) -> None:
    if old is None:
        draft.set({"phase": "Pending"}, "status")


def prepare_claim(draft: Draft, old: Document | None) -> None:
    """The old field for what the volume is a copy of never held anything but these."""
    prepare_pending(draft, old)
    source: Document | None = draft.get("spec", "dataSource")
    if (
        source is None
        or "dataSource" in dig(old, "spec", default={})
        or "dataSourceRef" in dig(old, "spec", default={})
    ):
        return
    if (source.get("apiGroup", ""), source.get("kind")) not in COPIED:
        draft.remove("spec", "dataSource")


def storage_class(document: Document, now: datetime) -> str:
    annotated = dig(document, "metadata", "annotations", CLASS_ANNOTATION)
    return str(dig(document, "spec", "storageClassName", default="") if annotated is None else annotated)


def _phase(document: Document, now: datetime) -> str:
    terminating = dig(document, "metadata", "deletionTimestamp") is not None
    return "Terminating" if terminating else dig(document, "status", "phase", default="")


def _volume_capacity(volume: Document, now: datetime) -> str:
    return str(dig(volume, "spec", "capacity", "storage", default="0"))


def _volume_modes(volume: Document, now: datetime) -> str:
    return access_modes(dig(volume, "spec", "accessModes"))


def _claim(volume: Document, now: datetime) -> str:
    claim = dig(volume, "spec", "claimRef")
    return f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else ""


def _mode(document: Document, now: datetime) -> str:
    return str(dig(document, "spec", "volumeMode", default=UNSET))


def _attributes(document: Document, now: datetime) -> str:
    return str(dig(document, "spec", "volumeAttributesClassName", default=UNSET))


def _claim_capacity(claim: Document, now: datetime) -> str:
    return str(dig(claim, "status", "capacity", "storage", default="0")) if _bound(claim) else ""


def _claim_modes(claim: Document, now: datetime) -> str:
    return access_modes(dig(claim, "status", "accessModes")) if _bound(claim) else ""


def _bound(claim: Document) -> bool:
    return bool(dig(claim, "spec", "volumeName"))


def _class_name(found: Document, now: datetime) -> str:
    name = dig(found, "metadata", "name", default="")
    annotations = dig(found, "metadata", "annotations", default={})
    marks = (annotations.get(DEFAULT_CLASS_ANNOTATION), annotations.get(OLD_DEFAULT_CLASS_ANNOTATION))
    return f"{name} (default)" if "true" in marks else name


def _expansion(found: Document, now: datetime) -> bool:
    return bool(found.get("allowVolumeExpansion"))


PERSISTENTVOLUME = Kind(
    group="",
    version="v1",
    name="PersistentVolume",
    plural="persistentvolumes",
    short=("pv",),
    namespaced=False,
    view=PersistentVolume,
    default=default_volume,
    rules=volume_rules,
    warn=warnings.persistent_volume,
    prepare=prepare_pending,
    subresources=("status",),
    counts_generation=False,
    columns=(
        Column("Capacity", _volume_capacity, description="How much it holds."),
        Column("Access Modes", _volume_modes, description="How it may be mounted."),
        Column("Reclaim Policy", ".spec.persistentVolumeReclaimPolicy", description="What follows its claim's end."),
        Column("Status", _phase, description="Whether a claim holds it."),
        Column("Claim", _claim, description="The claim that holds it."),
        Column("StorageClass", storage_class, description="Its class."),
        Column("VolumeAttributesClass", _attributes, description="The class of its attributes."),
        Column("Reason", ".status.reason", description="Why it is in that state."),
        Column("VolumeMode", _mode, priority=1, description="Filesystem, or Block."),
    ),
)

PERSISTENTVOLUMECLAIM = Kind(
    group="",
    version="v1",
    name="PersistentVolumeClaim",
    plural="persistentvolumeclaims",
    short=("pvc",),
    view=PersistentVolumeClaim,
    default=default_claim,
    rules=claim_rules,
    warn=warnings.persistent_volume_claim,
    prepare=prepare_claim,
    subresources=("status",),
    subresource_rules={"status": claim_status_rules},
    counts_generation=False,
    columns=(
        Column("Status", _phase, description="Whether it has a volume."),
        Column("Volume", ".spec.volumeName", description="Its volume."),
        Column("Capacity", _claim_capacity, description="How much the volume holds."),
        Column("Access Modes", _claim_modes, description="How it may be mounted."),
        Column("StorageClass", storage_class, description="Its class."),
        Column("VolumeAttributesClass", _attributes, description="The class of its attributes."),
        Column("VolumeMode", _mode, priority=1, description="Filesystem, or Block."),
    ),
)

STORAGECLASS = Kind(
    group="storage.k8s.io",
    version="v1",
    name="StorageClass",
    plural="storageclasses",
    short=("sc",),
    namespaced=False,
    view=StorageClass,
    default=default_class,
    rules=class_rules,
    warn=warnings.storage_class,
    counts_generation=False,
    columns=(
        Column("Name", _class_name, format="name", description="The name of the class."),
        Column("Provisioner", ".provisioner", description="What makes volumes of it."),
        Column("ReclaimPolicy", ".reclaimPolicy", description="What follows a claim's end."),
        Column("VolumeBindingMode", ".volumeBindingMode", description="When a claim gets its volume."),
        Column("AllowVolumeExpansion", _expansion, description="Whether claims may grow."),
    ),
    named=False,
)
