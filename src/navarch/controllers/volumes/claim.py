"""What a claim needs next: a volume to be bound to, somebody to make one, or a word about why it waits.

A binding is four writes, in this order: the volume is given to the claim, it says so, the claim names the volume, it
says so. Whichever was the last before a crash, the plan goes on from there, and a volume never has two claims, because
the first of the four is refused when the volume is not as it was seen.

Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/#binding
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from navarch.base.clock import rfc3339
from navarch.controllers.plan import Action, Event, Patch, Plan, Status
from navarch.kinds.object import Object
from navarch.kinds.storage import StorageClass
from navarch.kinds.storage_match import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    OLD_PROVISIONER,
    PROVISIONER,
    SELECTED_NODE,
    best,
    class_of,
    completed,
    is_for,
    mismatch,
    names_no_class,
    taking,
)
from navarch.objects.value import Document

WAIT_FOR_CONSUMER = "WaitForFirstConsumer"
OF_THE_CLUSTER = "kubernetes.io/"
"""How provisioners begin that would be in the cluster itself; there are none any more."""


@dataclass(frozen=True, slots=True)
class Observed:
    """named: the volume of `spec.volumeName`. volumes: those that are kept for the claim, and the free ones of its
    class. default_class: for claims that name no class. stuck: the names of pods that use the claim and found no node.
    """

    claim: Object
    named: Object | None = None
    volumes: Sequence[Object] = ()
    storage_class: Object | None = None
    default_class: Object | None = None
    stuck: Sequence[str] = ()


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    claim = observed.claim
    if completed(claim):
        return _bound_once(observed, now)
    if claim.view.spec.volume_name:
        return _names_volume(observed, now)
    if claim.view.metadata.deletion_timestamp is not None:
        return Plan()
    chosen = best(claim, observed.volumes, delayed=delayed(observed))
    return _without_volume(observed) if chosen is None else bind(chosen, claim, now)


def delayed(observed: Observed) -> bool:
    """Whether the scheduler chooses first."""
    if observed.storage_class is None or SELECTED_NODE in observed.claim.view.metadata.annotations:
        return False
    view: StorageClass = observed.storage_class.view
    return view.volume_binding_mode == WAIT_FOR_CONSUMER


def _without_volume(observed: Observed) -> Plan:
    claim, default = observed.claim, observed.default_class
    if names_no_class(claim) and default is not None:
        return Plan((Patch(claim, {"spec": {"storageClassName": default.name}}),))
    name = class_of(claim)
    if delayed(observed):
        return _waits(claim, _waits_for_pods(observed))
    if not name:
        message = "no persistent volumes available for this claim and no storage class is set"
        return _waits(claim, Event(claim, "FailedBinding", message))
    if observed.storage_class is None:
        message = f'storageclass.storage.k8s.io "{name}" not found'
        return _waits(claim, Event(claim, "ProvisioningFailed", message, "Warning"))
    provisioner = observed.storage_class.view.provisioner
    if provisioner.startswith(OF_THE_CLUSTER):
        message = f"no volume plugin matched name: {provisioner}"
        return _waits(claim, Event(claim, "ProvisioningFailed", message, "Warning"))
    annotations = {PROVISIONER: provisioner, OLD_PROVISIONER: provisioner}
    present = claim.view.metadata.annotations
    if all(present.get(key) == value for key, value in annotations.items()):
        return Plan(status=_pending(claim))
    message = (
        f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the "
        "system administrator. If volume creation is delayed, please verify that the provisioner is running and "
        "correctly registered."
    )
    asked = Patch(claim, {"metadata": {"annotations": annotations}})
    return Plan((asked, Event(claim, "ExternalProvisioning", message)), _pending(claim))


def _waits_for_pods(observed: Observed) -> Event:
    claim, pods = observed.claim, observed.stuck
    if not pods:
        return Event(claim, "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
    message = f"waiting for pod{'s' if len(pods) > 1 else ''} {','.join(pods)} to be scheduled"
    return Event(claim, "WaitForPodScheduled", message)


def _waits(claim: Object, said: Event) -> Plan:
    return Plan((said,), _pending(claim))


def _pending(claim: Object) -> Status:
    return Status(claim, {**_own(claim), "phase": "Pending"})


def _own(claim: Object) -> Document:
    """Its status without what it has from its volume."""
    return {key: value for key, value in (claim.document().get("status") or {}).items() if key not in LENT}


def _names_volume(observed: Observed, now: datetime) -> Plan:
    claim, volume = observed.claim, observed.named
    if volume is None:
        return Plan(status=_pending(claim))
    if volume.view.spec.claim_ref is None:
        if fault := mismatch(volume, claim):
            message = f'Cannot bind to requested volume "{volume.name}": {fault}'
            return _waits(claim, Event(claim, "VolumeMismatch", message, "Warning"))
        return bind(volume, claim, now)
    if is_for(volume, claim):
        return bind(volume, claim, now)
    message = f'volume "{volume.name}" already bound to a different claim.'
    return _waits(claim, Event(claim, "FailedBinding", message, "Warning"))


def _bound_once(observed: Observed, now: datetime) -> Plan:
    claim, volume = observed.claim, observed.named
    if not claim.view.spec.volume_name:
        message = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
        return _lost(claim, "ClaimLost", message)
    if volume is None:
        return _lost(claim, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
    reference = volume.view.spec.claim_ref
    if reference is None or reference.uid == claim.uid:
        return bind(volume, claim, now)
    message = "Two claims are bound to the same volume, this one is bound incorrectly"
    return _lost(claim, "ClaimMisbound", message)


def _lost(claim: Object, reason: str, message: str) -> Plan:
    """Its sizes are told no more; the event comes once."""
    said = () if claim.view.status.phase == "Lost" else (Event(claim, reason, message, "Warning"),)
    return Plan(said, Status(claim, {**_own(claim), "phase": "Lost"}))


LENT = ("accessModes", "capacity", "currentVolumeAttributesClassName")
"""Of a claim's status, what it has from its volume."""


def bind(volume: Object, claim: Object, now: datetime) -> Plan:
    """The writes that are missing of the four."""
    actions: list[Action] = []
    if changes := taking(volume, claim):
        actions.append(Patch(volume, changes))
    actions.append(phase_of(volume, "Bound", now))
    changes = {}
    annotations = {}
    if claim.view.spec.volume_name != volume.name:
        changes["spec"] = {"volumeName": volume.name}
        annotations[BOUND_BY_CONTROLLER] = "yes"
    if not completed(claim):
        annotations[BIND_COMPLETED] = "yes"
    if annotations:
        changes["metadata"] = {"annotations": annotations}
        actions.append(Patch(claim, changes))
    return Plan(tuple(actions), Status(claim, _bound(volume, claim)))


def _bound(volume: Object, claim: Object) -> Document:
    """The size and the class of attributes are taken over when the claim becomes bound; later they change with the
    expansion and the driver alone."""
    status: Document = {**(claim.document().get("status") or {}), "phase": "Bound"}
    status["accessModes"] = list(volume.view.spec.access_modes)
    if claim.view.status.phase != "Bound" or not claim.view.status.capacity:
        status["capacity"] = dict(volume.document()["spec"]["capacity"])
    if claim.view.status.phase != "Bound" and (attributes := volume.view.spec.volume_attributes_class_name):
        status["currentVolumeAttributesClassName"] = attributes
    return status


def phase_of(volume: Object, phase: str, now: datetime, message: str = "") -> Status:
    before = volume.document().get("status") or {}
    if before.get("phase") == phase and message in ("", before.get("message", "")):
        return Status(volume, before)
    status = {"phase": phase, "lastPhaseTransitionTime": rfc3339(now)}
    if message:
        status["message"] = message
    return Status(volume, status)
