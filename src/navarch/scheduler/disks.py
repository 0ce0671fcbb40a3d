"""What the table knows of claims and volumes: which nodes a pod's claims allow, and what they need before it runs.

A claim that is bound ties its pods to where the volume can be reached. One that waits for its first consumer is given
a volume, or a node where one is to be made, once the pod's place is known; then the binder binds it.

Source: https://kubernetes.io/docs/concepts/storage/storage-classes/#volume-binding-mode
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from navarch.kinds.object import Object
from navarch.kinds.storage_match import (
    NO_PROVISIONER,
    SELECTED_NODE,
    best,
    class_of,
    is_bound,
)
from navarch.scheduler.csi import Csi
from navarch.scheduler.facts import NodeFacts, PodFacts
from navarch.scheduler.terms import Key, node_term_holds, node_term_key
from navarch.scheduler.views import NodeSelectorTerm, VolumeShape

if TYPE_CHECKING:
    from navarch.scheduler.table import Table

WAIT = "WaitForFirstConsumer"
NOTHING = "node(s) didn't find available persistent volumes to bind"
NO_ROOM = "node(s) did not have enough free storage"


@dataclass(slots=True)
class Disks:
    """By name, all that there are; loose: volumes without a claim, and those kept for one, by class."""

    claims: dict[tuple[str, str], Object] = field(default_factory=dict)
    volumes: dict[str, Object] = field(default_factory=dict)
    classes: dict[str, Object] = field(default_factory=dict)
    loose: dict[str, dict[str, Object]] = field(default_factory=dict)
    kept: dict[tuple[str, str], dict[str, Object]] = field(default_factory=dict)
    csi: Csi = field(default_factory=Csi)

    def add(self, found: Object) -> None:
        match found.kind.name:
            case "StorageClass":
                self.classes[found.name] = found
            case "PersistentVolumeClaim":
                self.claims[found.key] = found
            case "CSINode" | "CSIDriver" | "CSIStorageCapacity" | "VolumeAttachment":
                self.csi.add(found)
            case _:
                self.volumes[found.name] = found
                reference = found.view.spec.claim_ref
                if reference is None:
                    self.loose.setdefault(class_of(found), {})[found.name] = found
                else:
                    self.kept.setdefault((reference.namespace, reference.name), {})[found.name] = found

    def remove(self, found: Object) -> None:
        match found.kind.name:
            case "StorageClass":
                self.classes.pop(found.name, None)
            case "PersistentVolumeClaim":
                self.claims.pop(found.key, None)
            case "CSINode" | "CSIDriver" | "CSIStorageCapacity" | "VolumeAttachment":
                self.csi.remove(found)
            case _:
                self.volumes.pop(found.name, None)
                reference = found.view.spec.claim_ref
                if reference is None:
                    self.loose.get(class_of(found), {}).pop(found.name, None)
                else:
                    self.kept.get((reference.namespace, reference.name), {}).pop(found.name, None)

    def of(self, pod: PodFacts) -> list[Object]:
        found = (self.claims.get((pod.namespace, name)) for name, _ in pod.claims)
        return [claim for claim in found if claim is not None]

    def candidates(self, claim: Object) -> list[Object]:
        kept, loose = self.kept.get(claim.key, {}), self.loose.get(class_of(claim), {})
        return [*kept.values(), *loose.values()]

    def waits(self, claim: Object) -> bool:
        """Whether its class leaves the choice to the scheduler."""
        found = self.classes.get(class_of(claim))
        return found is not None and found.view.volume_binding_mode == WAIT

    def can_be_made(self, claim: Object, node: NodeFacts) -> bool:
        """Whether somebody makes volumes of its class, and there."""
        found = self.classes.get(class_of(claim))
        if found is None or found.view.provisioner == NO_PROVISIONER:
            return False
        return bool(found.view.allows(node.labels))

    def has_room(self, claim: Object, node: NodeFacts) -> bool:
        """Whether there is enough left to make its volume there."""
        name = class_of(claim)
        driver = self.classes[name].view.provisioner
        return self.csi.has_room(driver, name, claim.view.spec.resources.requests.get("storage", 0), node)

    def trouble(self, pod: PodFacts) -> str:
        """Why the pod can go nowhere, as Kubernetes says it; "" when its claims do not stand in its way."""
        for name, own in pod.claims:
            claim = self.claims.get((pod.namespace, name))
            if claim is None and own:
                return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
            if claim is None:
                return f'persistentvolumeclaim "{name}" not found'
            if claim.view.status.phase == "Lost":
                volume = claim.view.spec.volume_name
                return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume}"'
            if claim.view.metadata.deletion_timestamp is not None:
                return f'persistentvolumeclaim "{name}" is being deleted'
            if own and pod.uid not in claim.owners:
                return (
                    f"PVC {pod.namespace}/{name} was not created for pod {pod.namespace}/{pod.name} (pod is not owner)"
                )
        if any(not is_bound(claim) and not self.waits(claim) for claim in self.of(pod)):
            return "pod has unbound immediate PersistentVolumeClaims"
        return ""


def terms_of(volume: Object) -> tuple[NodeSelectorTerm, ...] | None:
    """None where it can be reached from everywhere."""
    shape: VolumeShape = volume.as_view(VolumeShape)
    affinity = shape.spec.node_affinity
    return None if affinity is None or affinity.required is None else affinity.required.node_selector_terms


def terms_key(terms: Iterable[NodeSelectorTerm]) -> Key:
    return tuple(node_term_key(term) for term in terms)


def reaches(node: NodeFacts, volume: Object) -> bool:
    terms = terms_of(volume)
    return terms is None or any(node_term_holds(term, node.name, node.labels) for term in terms)


@dataclass(frozen=True, slots=True)
class Needs:
    """given: volume and claim. asked: claims whose volumes are to be made on `node`. Both empty: wait."""

    node: str
    given: tuple[tuple[Object, Object], ...] = ()
    asked: tuple[Object, ...] = ()


def settle(disks: Disks, pod: PodFacts, node: NodeFacts) -> Needs | str:
    """What its unbound claims would need on that node, or why they cannot have it."""
    given: list[tuple[Object, Object]] = []
    asked: list[Object] = []
    taken: set[str] = set()
    for claim in disks.of(pod):
        if is_bound(claim):
            continue
        chosen = claim.view.metadata.annotations.get(SELECTED_NODE)
        if chosen is not None:
            if chosen != node.name:
                return NOTHING
            continue
        free = [volume for volume in disks.candidates(claim) if volume.name not in taken]
        found = best(claim, free, reachable=lambda volume: reaches(node, volume))
        if found is not None:
            taken.add(found.name)
            given.append((found, claim))
        elif not disks.can_be_made(claim, node):
            return NOTHING
        elif not disks.has_room(claim, node):
            return NO_ROOM
        else:
            asked.append(claim)
    return Needs(node.name, tuple(given), tuple(asked))


def needs(table: Table, pod: PodFacts, name: str) -> Needs | None:
    """What has to be done on the chosen node before the pod is bound to it; None when nothing."""
    node = table.nodes[table.number[name]]
    if node is None or all(is_bound(claim) for claim in table.disks.of(pod)):
        return None
    found = settle(table.disks, pod, node)
    return found if isinstance(found, Needs) else Needs(name)
