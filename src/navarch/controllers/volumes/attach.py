"""Which volumes of drivers are attached to a node, and which are to be: one VolumeAttachment for each.

A driver's attacher, which is none of ours, does the work and says so in the attachment's status. What is attached is
told in the node's status, where its agent waits for it. Nothing is taken from under an agent that has it mounted,
unless the node is out of service, or has been unwell for minutes.

Source: https://kubernetes.io/docs/reference/command-line-tools-reference/kube-controller-manager/,
https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/#non-graceful-node-shutdown
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime

from navarch.controllers.beginning import SOON_S
from navarch.controllers.node.taints import OUT_OF_SERVICE
from navarch.controllers.plan import Action, Create, Delete, Event, Plan, Status, soonest
from navarch.kinds import VOLUMEATTACHMENT
from navarch.kinds.object import Object
from navarch.objects.value import Document

IN_TREE = "kubernetes.io/csi/"
WAIT_S = 1.0
"""When to look again for a newer view of a node, and for what another one is being given."""
SHARED = frozenset(("ReadWriteMany", "ReadOnlyMany"))


@dataclass(frozen=True, slots=True)
class Disk:
    """A volume that pods of the node use. rivals: attachments of it to other nodes, and the pods there that use it."""

    volume: Object
    pods: Sequence[Object]
    rivals: Sequence[Object] = ()
    rival_pods: Sequence[Object] = ()


@dataclass(frozen=True, slots=True)
class Observed:
    """node: None where it is gone. here: its attachments, and volumes: of what, by name. leaving: since when nobody
    uses a volume any more, by the attachment's uid. force_s: how long an unwell node may keep one. told: troubles that
    were told before. begun: the caches show all that was attached by a process before this one. newest: the node is
    as the API has it. given: volumes that another node is being given at this moment, by name."""

    name: str
    node: Object | None
    wanted: Sequence[Disk] = ()
    here: Sequence[Object] = ()
    volumes: Mapping[str, Object] = field(default_factory=dict)
    leaving: Mapping[str, datetime] = field(default_factory=dict)
    force_s: float = 360.0
    told: AbstractSet[str] = frozenset()
    begun: bool = True
    newest: bool = True
    given: AbstractSet[str] = frozenset()


def name_of(volume: Object, node: str) -> str:
    """The name that every attacher and agent knows an attachment by."""
    csi = volume.view.spec.csi
    return "csi-" + hashlib.sha256(f"{csi.volume_handle}{csi.driver}{node}".encode()).hexdigest()


def title_of(volume: Object) -> str:
    """How a node's status names it."""
    csi = volume.view.spec.csi
    return f"{IN_TREE}{csi.driver}^{csi.volume_handle}"


def plan(observed: Observed, now: datetime) -> Plan:
    """The node's status first: it stops to promise a volume before that is taken away. Never raises."""
    if not observed.begun:
        return Plan(requeue_after_s=SOON_S)
    wanted = {name_of(disk.volume, observed.name): disk for disk in observed.wanted}
    doomed, wait_s = _doomed(observed, wanted, now)
    actions: list[Action] = []
    if observed.node is not None:
        actions += _report(observed, observed.node, wanted, doomed)
    actions += [event for key, events in troubles(observed).items() if key not in observed.told for event in events]
    actions += [Delete(found) for found in observed.here if found.uid in doomed]
    if observed.node is not None:
        present = {found.name for found in observed.here}
        actions += [
            Create(VOLUMEATTACHMENT, _attachment(disk.volume, observed.name, name))
            for name, disk in wanted.items()
            if name not in present and (shared(disk.volume) or not (disk.rivals or disk.volume.name in observed.given))
        ]
    if observed.given:
        wait_s = soonest(wait_s, WAIT_S)
    return Plan(tuple(actions), requeue_after_s=wait_s)


def _doomed(observed: Observed, wanted: Mapping[str, Disk], now: datetime) -> tuple[frozenset[str], float | None]:
    """(uids of attachments that go now, when others may have to)."""
    node = observed.node
    well = node is not None and node.view.ready
    fenced = node is not None and any(taint.key == OUT_OF_SERVICE for taint in node.view.spec.taints)
    in_use = None if node is None else frozenset(node.view.status.volumes_in_use)
    doomed: set[str] = set()
    wait_s: float | None = None
    if not observed.newest:
        return frozenset(), WAIT_S
    for found in observed.here:
        if found.name in wanted or found.terminating:
            continue
        volume = observed.volumes.get(found.view.spec.source.persistent_volume_name)
        mounted = in_use is None or (volume is not None and title_of(volume) in in_use)
        left_s = observed.force_s - (now - observed.leaving.get(found.uid, now)).total_seconds()
        if not mounted or fenced or (not well and left_s <= 0):
            doomed.add(found.uid)
        elif not well:
            wait_s = soonest(wait_s, left_s)
    return frozenset(doomed), wait_s


def _report(observed: Observed, node: Object, wanted: Mapping[str, Disk], doomed: AbstractSet[str]) -> Sequence[Action]:
    """What is attached, in the node's status; and to the pods, what newly is."""
    status = node.document().get("status") or {}
    before = status.get("volumesAttached") or []
    known = {one.get("name", "") for one in before}
    titles: set[str] = set()
    events: list[Action] = []
    for found in observed.here:
        volume = observed.volumes.get(found.view.spec.source.persistent_volume_name)
        if volume is None or found.terminating or found.uid in doomed or not found.view.status.attached:
            continue
        titles.add(title_of(volume))
        disk = wanted.get(found.name)
        if disk is not None and title_of(volume) not in known:
            message = f'AttachVolume.Attach succeeded for volume "{volume.name}" '
            events += [Event(pod, "SuccessfulAttachVolume", message) for pod in disk.pods]
    others = [one for one in before if not str(one.get("name", "")).startswith(IN_TREE)]
    made = [*others, *({"name": title, "devicePath": ""} for title in sorted(titles))]
    if made == before:
        return ()
    kept = {key: value for key, value in status.items() if key != "volumesAttached"}
    return (Status(node, {**kept, "volumesAttached": made} if made else kept), *events)


def troubles(observed: Observed) -> Mapping[str, Sequence[Event]]:
    """What keeps pods from their volumes, each by what tells it from others."""
    found: dict[str, Sequence[Event]] = {}
    present = {one.name: one for one in observed.here}
    for disk in observed.wanted:
        own = present.get(name_of(disk.volume, observed.name))
        if own is not None:
            error = own.view.status.attach_error
            if error is not None and not own.view.status.attached:
                message = f'AttachVolume.Attach failed for volume "{disk.volume.name}" : {error.message}'
                found[f"{own.uid} {error.time} {error.message}"] = _tell(disk.pods, message)
        elif not shared(disk.volume) and any(rival.view.status.attached for rival in disk.rivals):
            found[f"shared {disk.volume.name}"] = [_multiple(disk, pod) for pod in disk.pods]
    return found


def _tell(pods: Sequence[Object], message: str) -> Sequence[Event]:
    return [Event(pod, "FailedAttachVolume", message, "Warning") for pod in pods]


def _multiple(disk: Disk, pod: Object) -> Event:
    """Pods of other namespaces are only counted: their names are not for everybody."""
    near = [other.name for other in disk.rival_pods if other.namespace == pod.namespace]
    far = len(disk.rival_pods) - len(near)
    if near:
        why = f"Volume is already used by pod(s) {', '.join(near)}"
        why += f" and {far} pod(s) in different namespaces" if far else ""
    elif far:
        why = f"Volume is already used by {far} pod(s) in different namespaces"
    else:
        why = "Volume is already exclusively attached to one node and can't be attached to another"
    return _tell((pod,), f'Multi-Attach error for volume "{disk.volume.name}" {why}')[0]


def shared(volume: Object) -> bool:
    """Whether several nodes may have it; where nothing is said, they may."""
    modes = volume.view.spec.access_modes
    return not modes or not SHARED.isdisjoint(modes)


def _attachment(volume: Object, node: str, name: str) -> Document:
    return {
        "apiVersion": VOLUMEATTACHMENT.api_version,
        "kind": VOLUMEATTACHMENT.name,
        "metadata": {"name": name},
        "spec": {
            "attacher": volume.view.spec.csi.driver,
            "nodeName": node,
            "source": {"persistentVolumeName": volume.name},
        },
    }
