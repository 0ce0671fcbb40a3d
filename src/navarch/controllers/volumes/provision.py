"""The cluster's own provisioner: a claim's volume is a folder of the node that the scheduler chose for its first pod.

It makes the object; the folder is made by that node's agent when a pod first uses it. The volume is pinned to the node,
so whatever uses the claim later runs there too.

Source: https://kubernetes.io/docs/concepts/storage/dynamic-provisioning/
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from datetime import datetime

from navarch.controllers.controller import Cache, Controller, Watch, own_key
from navarch.controllers.options import Setup
from navarch.controllers.plan import Create, Event, Patch, Plan, Status
from navarch.kinds import NODE, PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, STORAGECLASS
from navarch.kinds.object import Object
from navarch.kinds.storage import StorageClass
from navarch.kinds.storage_local import HOSTNAME, PROVISIONER_NAME
from navarch.kinds.storage_match import (
    PROVISIONED_BY,
    PROVISIONER,
    SELECTED_NODE,
    class_of,
    is_bound,
    reference_to,
    requested,
)
from navarch.objects import quantity
from navarch.objects.value import Document

MODES = {"ReadWriteOnce", "ReadWriteOncePod"}


@dataclass(frozen=True, slots=True)
class Observed:
    """node: the chosen one. made: whether the volume is there. root: the folder of all volumes on every node."""

    claim: Object
    storage_class: Object
    node: Object | None
    made: bool
    root: str


def controller(setup: Setup) -> Controller[Observed]:
    root = setup.options.local_path

    def observe(cache: Cache, key: tuple[str, str]) -> Observed | None:
        claim = cache[PERSISTENTVOLUMECLAIM].get(*key)
        if not root or claim is None or not _ours(claim):
            return None
        found = cache[STORAGECLASS].get("", class_of(claim))
        if found is None:
            return None
        node = claim.view.metadata.annotations.get(SELECTED_NODE, "")
        made = cache[PERSISTENTVOLUME].get("", name_of(claim)) is not None
        return Observed(claim, found, cache[NODE].get("", node) if node else None, made, root)

    return Controller(
        name="local-path-provisioner",
        watches=(
            Watch(PERSISTENTVOLUMECLAIM, own_key),
            Watch(STORAGECLASS, _claims_of_class),
            Watch(NODE, _nobody),
            Watch(PERSISTENTVOLUME, _nobody),
        ),
        observe=observe,
        plan=plan,
        component=PROVISIONER_NAME,
        account="persistent-volume-binder",
    )


def _claims_of_class(cache: Cache, found: Object) -> Iterable[Hashable]:
    """Those that may have been seen before their class was."""
    return [one.key for one in cache[PERSISTENTVOLUMECLAIM].list() if _ours(one) and class_of(one) == found.name]


def _nobody(cache: Cache, found: Object) -> Iterable[Hashable]:
    """Read, and to be in the cache before anything is decided; a change of it concerns no claim."""
    return ()


def _claim_of(cache: Cache, volume: Object) -> Iterable[Hashable]:
    reference = volume.view.spec.claim_ref
    return ((reference.namespace, reference.name),) if reference is not None else ()


def _ours(claim: Object) -> bool:
    view = claim.view
    return bool(
        view.metadata.annotations.get(PROVISIONER) == PROVISIONER_NAME
        and view.metadata.deletion_timestamp is None
        and not view.spec.volume_name
    )


def name_of(claim: Object) -> str:
    return f"pvc-{claim.uid}"


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    claim = observed.claim
    if observed.made:
        return Plan()
    if SELECTED_NODE not in claim.view.metadata.annotations:
        return _failed(observed, "configuration error, no node was specified")
    if observed.node is None:  # it has gone since: the scheduler is to choose again
        return Plan((Patch(claim, {"metadata": {"annotations": {SELECTED_NODE: None}}}),))
    if not observed.storage_class.view.allows(observed.node.labels):
        return _failed(observed, f"the class allows no volumes on the node {observed.node.name}")
    if claim.view.spec.volume_mode != "Filesystem":
        return _failed(observed, "only volumes of the mode Filesystem can be made")
    if not set(claim.view.spec.access_modes) <= MODES:
        return _failed(observed, "only the access modes ReadWriteOnce and ReadWriteOncePod are supported")
    done = Event(claim, "ProvisioningSucceeded", "Successfully provisioned volume {name}")
    refused = Event(claim, "ProvisioningFailed", "failed to create volume {name}: {error}", "Warning")
    begun = f'External provisioner is provisioning volume for claim "{claim.namespace}/{claim.name}"'
    return Plan((Event(claim, "Provisioning", begun), Create(PERSISTENTVOLUME, _volume(observed), done, refused)))


def _failed(observed: Observed, why: str) -> Plan:
    message = f'failed to provision volume with StorageClass "{observed.storage_class.name}": {why}'
    return Plan((Event(observed.claim, "ProvisioningFailed", message, "Warning"),))


def _volume(observed: Observed) -> Document:
    claim, view = observed.claim, observed.storage_class.view
    shape: StorageClass = view
    node = observed.node
    host = "" if node is None else node.labels.get(HOSTNAME, node.name)
    name = name_of(claim)
    terms = [{"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": [host]}]}]
    spec: Document = {
        "capacity": {"storage": claim.document()["spec"]["resources"]["requests"]["storage"]},
        "accessModes": list(claim.view.spec.access_modes),
        "persistentVolumeReclaimPolicy": shape.reclaim_policy,
        "storageClassName": observed.storage_class.name,
        "volumeMode": "Filesystem",
        "claimRef": reference_to(claim),
        "hostPath": {"path": f"{observed.root}/{name}", "type": "DirectoryOrCreate"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
    }
    metadata = {"name": name, "annotations": {PROVISIONED_BY: PROVISIONER_NAME}}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec}


@dataclass(frozen=True, slots=True)
class Growing:
    """volume: of a bound claim that asks for more than it was told it has."""

    claim: Object
    volume: Object


def expansion(setup: Setup) -> Controller[Growing]:
    return Controller(
        name="volume-expand",
        watches=(Watch(PERSISTENTVOLUMECLAIM, own_key), Watch(PERSISTENTVOLUME, _claim_of)),
        observe=_observe_growing,
        plan=expand,
        component="volume_expand",
        account="persistent-volume-binder",
    )


def _observe_growing(cache: Cache, key: tuple[str, str]) -> Growing | None:
    claim = cache[PERSISTENTVOLUMECLAIM].get(*key)
    if claim is None or not is_bound(claim) or not claim.view.status.capacity:
        return None
    if quantity.compare(requested(claim), claim.view.status.capacity.get("storage", 0)) <= 0:
        return None
    volume = cache[PERSISTENTVOLUME].get("", claim.view.spec.volume_name)
    return None if volume is None else Growing(claim, volume)


def expand(observed: Growing, now: datetime) -> Plan:
    """A folder needs nothing to grow; what another has made, another lets grow. Never raises."""
    claim, volume = observed.claim, observed.volume
    maker = volume.view.metadata.annotations.get(PROVISIONED_BY, "")
    if maker != PROVISIONER_NAME:
        message = "waiting for an external controller to expand this PVC"
        return Plan((Event(claim, "ExternalExpanding", message),))
    size = claim.document()["spec"]["resources"]["requests"]["storage"]
    grown = Patch(volume, {"spec": {"capacity": {"storage": size}}})
    status: Document = {**(claim.document().get("status") or {})}
    status["capacity"] = {**(status.get("capacity") or {}), "storage": size}
    done = Event(claim, "VolumeResizeSuccessful", "Resize volume succeeded")
    return Plan((grown,) if volume.view.spec.capacity.get("storage") != size else (), Status(claim, status, done))
