"""Which volume fits which claim: what binding goes by, in the controller and in the scheduler alike.

Pure, on views. Writing the binding is `controllers.volumes`' part, choosing a node `scheduler`'s.

Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/#binding
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from navarch.kinds.object import Object
from navarch.kinds.storage import CLASS_ANNOTATION, PersistentVolume, PersistentVolumeClaim
from navarch.objects import quantity
from navarch.objects.selector import from_view
from navarch.objects.value import Document

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
PROVISIONER = "volume.kubernetes.io/storage-provisioner"
OLD_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
NO_PROVISIONER = "kubernetes.io/no-provisioner"


def class_of(found: Object) -> str:
    """The class of a volume or a claim, "" for none; the annotation of old goes first, even where it says ""."""
    view = found.view
    return str(view.metadata.annotations.get(CLASS_ANNOTATION, view.spec.storage_class_name) or "")


def names_no_class(claim: Object) -> bool:
    """Whether it takes the default class, as soon as there is one."""
    view: PersistentVolumeClaim = claim.view
    return view.spec.storage_class_name is None and CLASS_ANNOTATION not in view.metadata.annotations


def completed(claim: Object) -> bool:
    """Whether it was bound once: it is never bound to another volume."""
    return BIND_COMPLETED in claim.view.metadata.annotations


def is_bound(claim: Object) -> bool:
    """Whether pods may use it."""
    return completed(claim) and bool(claim.view.spec.volume_name)


def is_for(volume: Object, claim: Object) -> bool:
    """Whether the volume is kept for, or bound to, this claim and no other."""
    reference = volume.view.spec.claim_ref
    if reference is None or (reference.namespace, reference.name) != claim.key:
        return False
    return not reference.uid or bool(reference.uid == claim.uid)


def requested(claim: Object) -> quantity.Quantity:
    return claim.view.spec.resources.requests.get("storage", 0)  # type: ignore[no-any-return]


def capacity(volume: Object) -> quantity.Quantity:
    return volume.view.spec.capacity.get("storage", 0)  # type: ignore[no-any-return]


def _offers(volume: Object, claim: Object) -> bool:
    """Whether it is large enough and of the mode asked for, which holds for pre-bound ones as well."""
    view: PersistentVolume = volume.view
    return (
        view.metadata.deletion_timestamp is None
        and view.spec.volume_mode == claim.view.spec.volume_mode
        and view.spec.volume_attributes_class_name == claim.view.spec.volume_attributes_class_name
        and quantity.compare(capacity(volume), requested(claim)) >= 0
    )


def mismatch(volume: Object, claim: Object) -> str:
    """Why a claim cannot have the volume that it names, "" when it can."""
    if volume.view.metadata.deletion_timestamp is not None:
        return f'the volume is marked for deletion "{volume.name}"'
    if quantity.compare(capacity(volume), requested(claim)) < 0:
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if volume.view.spec.volume_attributes_class_name != claim.view.spec.volume_attributes_class_name:
        return "volumeAttributesClassName does not match"
    if volume.view.spec.volume_mode != claim.view.spec.volume_mode:
        return "incompatible volumeMode"
    if not set(claim.view.spec.access_modes) <= set(volume.view.spec.access_modes):
        return "incompatible accessMode"
    return ""


def _rank(volume: Object) -> tuple[int, int, str]:
    """Few access modes first, as the volume with many may be needed for another; then the smallest."""
    return (len(volume.view.spec.access_modes), quantity.nano(capacity(volume)), volume.name)


def best(
    claim: Object,
    volumes: Iterable[Object],
    *,
    delayed: bool = False,
    reachable: Callable[[Object], bool] | None = None,
) -> Object | None:
    """The volume to bind the claim to: one that is kept for it, else the smallest that fits.

    delayed: only one that is kept for it; the scheduler chooses among the others. reachable: from the node asked about.
    """
    fitting = [volume for volume in volumes if _offers(volume, claim)]
    kept = [volume for volume in fitting if is_for(volume, claim)]
    if kept:
        chosen = min(kept, key=_rank)
        return chosen if reachable is None or reachable(chosen) else None
    if delayed:
        return None
    wanted, modes, selector = class_of(claim), set(claim.view.spec.access_modes), claim.view.spec.selector
    picked = None if selector is None else from_view(selector)
    free = [
        volume
        for volume in fitting
        if volume.view.spec.claim_ref is None
        and volume.view.status.phase == "Available"
        and class_of(volume) == wanted
        and modes <= set(volume.view.spec.access_modes)
        and (picked is None or picked.matches(volume.labels))
        and (reachable is None or reachable(volume))
    ]
    return min(free, key=_rank, default=None)


def reference_to(claim: Object) -> Document:
    """A volume's `claimRef`."""
    return {
        "kind": "PersistentVolumeClaim",
        "namespace": claim.namespace,
        "name": claim.name,
        "uid": claim.uid,
        "apiVersion": "v1",
        "resourceVersion": str(claim.revision),
    }


def taking(volume: Object, claim: Object) -> Document:
    """The merge patch that gives the volume to the claim; {} where the claim has it."""
    reference = volume.view.spec.claim_ref
    changes: Document = {}
    if not is_for(volume, claim) or (reference is not None and reference.uid != claim.uid):
        changes["spec"] = {"claimRef": reference_to(claim)}
    if not is_for(volume, claim) and BOUND_BY_CONTROLLER not in volume.view.metadata.annotations:
        changes["metadata"] = {"annotations": {BOUND_BY_CONTROLLER: "yes"}}
    return changes
