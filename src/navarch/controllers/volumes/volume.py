"""What a volume's state is, and what follows when its claim has gone: kept, or handed back to be removed.

A volume that somebody else made is removed by them; one of the cluster's own is deleted here. Nothing is recycled:
there is no recycler.

Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/#reclaiming
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from navarch.controllers.plan import Action, Delete, Event, Patch, Plan
from navarch.controllers.volumes.claim import phase_of
from navarch.kinds.object import Object
from navarch.kinds.storage_local import PROVISIONER_NAME
from navarch.kinds.storage_match import BOUND_BY_CONTROLLER, PROVISIONED_BY
from navarch.objects.value import Document

GIVEN_UP = ("Released", "Failed")
DELETABLE = re.compile("/tmp/.+")
"""The folders on nodes that Kubernetes would remove itself, where its controllers run; here none are."""


@dataclass(frozen=True, slots=True)
class Observed:
    """claim: that of `claimRef`'s name, whatever its uid."""

    volume: Object
    claim: Object | None


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    volume, claim = observed.volume, observed.claim
    reference = volume.view.spec.claim_ref
    if reference is None or not reference.uid:
        return Plan(status=phase_of(volume, "Available", now))
    if claim is None or claim.uid != reference.uid:
        return _released(volume, now)
    name = claim.view.spec.volume_name
    if name == volume.name:
        return Plan(status=phase_of(volume, "Bound", now))
    if not name:
        return _mode(volume, claim)
    if PROVISIONED_BY in volume.view.metadata.annotations and _policy(volume) == "Delete":
        return _released(volume, now)  # made for the claim, which has found another
    return _unbind(volume, now)


def _policy(volume: Object) -> str:
    return str(volume.view.spec.persistent_volume_reclaim_policy)


def _mode(volume: Object, claim: Object) -> Plan:
    """The claim's own plan binds them, unless they can never be."""
    if volume.view.spec.volume_mode == claim.view.spec.volume_mode:
        return Plan()
    on = (
        f'Cannot bind PersistentVolume to requested PersistentVolumeClaim "{claim.name}" due to incompatible '
        "volumeMode."
    )
    of = (
        f'Cannot bind PersistentVolume "{volume.name}" to requested PersistentVolumeClaim due to incompatible '
        "volumeMode."
    )
    return Plan((Event(volume, "VolumeMismatch", on, "Warning"), Event(claim, "VolumeMismatch", of, "Warning")))


def _unbind(volume: Object, now: datetime) -> Plan:
    """What the controller did is undone; what a user asked for stays, without the claim's uid."""
    changes: Document = {"spec": {"claimRef": {"uid": None, "resourceVersion": None}}}
    if BOUND_BY_CONTROLLER in volume.view.metadata.annotations:
        changes = {"metadata": {"annotations": {BOUND_BY_CONTROLLER: None}}, "spec": {"claimRef": None}}
    return Plan((Patch(volume, changes),), phase_of(volume, "Available", now))


def _released(volume: Object, now: datetime) -> Plan:
    """Its state is told first; what failed stays Failed."""
    status = volume.view.status
    policy, provisioner = _policy(volume), volume.view.metadata.annotations.get(PROVISIONED_BY, "")
    if status.phase not in GIVEN_UP:
        return Plan(status=phase_of(volume, "Released", now))
    if policy == "Retain" or (policy == "Delete" and provisioner not in ("", PROVISIONER_NAME)):
        return Plan()
    if policy == "Delete" and provisioner == PROVISIONER_NAME:
        return Plan(() if volume.view.metadata.deletion_timestamp is not None else (Delete(volume),))
    message, reason = "No recycler plugin found for the volume!", "VolumeFailedRecycle"
    path = volume.view.spec.host_path.path if volume.view.spec.host_path is not None else None
    if policy == "Delete" and path is not None and not DELETABLE.search(path):
        message = f"host_path deleter only supports {DELETABLE.pattern} but received provided {path}"
        reason = "VolumeFailedDelete"
    elif policy == "Delete":
        message = f'error getting deleter volume plugin for volume "{volume.name}": no deletable volume plugin matched'
        reason = "VolumeFailedDelete"
    if status.phase == "Failed" and status.message == message:
        return Plan()
    said: tuple[Action, ...] = (Event(volume, reason, message, "Warning"),)
    return Plan(said, phase_of(volume, "Failed", now, message))
