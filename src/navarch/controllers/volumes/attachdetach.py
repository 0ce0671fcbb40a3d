"""Attach and detach, as a controller: collects for each node which volumes its pods use, and which it has.

Source: https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/volume-attachment-v1/
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from navarch.client.client import Client
from navarch.controllers.beginning import Beginning
from navarch.controllers.claims import controlled_by
from navarch.controllers.controller import Cache, Controller, Watch
from navarch.controllers.options import Setup
from navarch.controllers.plan import Plan
from navarch.controllers.protection import claim_index, claim_names
from navarch.controllers.volumes import attach
from navarch.controllers.volumes.attach import Disk, Observed
from navarch.kinds import CSIDRIVER, NODE, PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, POD, VOLUMEATTACHMENT
from navarch.kinds.node import ATTACHED_FOR
from navarch.kinds.object import Object

OURS = re.compile(r"csi-[0-9a-f]{64}")
CLAIMING, ON_NODE, OF_VOLUME, CLAIM = "claiming", "on-node", "of-volume", "claim"


def controller(setup: Setup) -> Controller[Observed]:
    """Keys are names of nodes. Whose volume waits to be let go since when is remembered, and forgotten with the
    process, as in Kubernetes."""
    leaving: dict[str, datetime] = {}
    told: dict[str, frozenset[str]] = {}
    given = Given()
    beginning = Beginning(VOLUMEATTACHMENT)

    def observe(cache: Cache, name: str) -> Observed | None:
        found = look(cache, name)
        if not beginning.over(cache[VOLUMEATTACHMENT]):
            return None if found is None else replace(found, begun=False)
        found = given.contended(name, found)
        if found is None:
            told.pop(name, None)
            return None
        used = {attach.name_of(disk.volume, name) for disk in found.wanted}
        for one in found.here:
            if one.name in used:
                leaving.pop(one.uid, None)
            else:
                leaving.setdefault(one.uid, setup.clock.now())
        before, told[name] = told.get(name, frozenset()), frozenset(attach.troubles(found))
        return replace(found, leaving=leaving, told=before, force_s=setup.options.force_detach_s)

    async def confirm(client: Client, observed: Observed) -> Observed:
        """Before anything is taken away: a node that says in the meantime that it uses a volume is a newer one."""
        if not observed.begun:
            await beginning.ask(client)
            return observed
        used = {attach.name_of(disk.volume, observed.name) for disk in observed.wanted}
        if observed.node is None or all(one.terminating or one.name in used for one in observed.here):
            return observed
        newest = await client.get(NODE, "", observed.name)
        return replace(observed, newest=newest.revision == observed.node.revision)

    def attachment_keys(cache: Cache, found: Object) -> Iterable[Hashable]:
        if cache[VOLUMEATTACHMENT].get("", found.name) is None:
            leaving.pop(found.uid, None)
        spec = found.view.spec
        return {spec.node_name: None, **dict.fromkeys(_users(cache, spec.source.persistent_volume_name))}

    return Controller(
        name="attachdetach",
        watches=(
            Watch(POD, _node_of, _pod_moved, {CLAIMING: claiming_index, CLAIM: claim_index}),
            Watch(NODE, lambda cache, node: (node.name,), _node_matters),
            Watch(VOLUMEATTACHMENT, attachment_keys, indexes={ON_NODE: _on_node, OF_VOLUME: _of_volume}),
            Watch(PERSISTENTVOLUMECLAIM, _users_of_claim, _bound_changed),
            Watch(PERSISTENTVOLUME, lambda cache, volume: _users(cache, volume.name), _bound_changed),
            Watch(CSIDRIVER, lambda cache, driver: ()),
        ),
        observe=observe,
        confirm=confirm,
        plan=_plan,
        component="attachdetach-controller",
        account="attachdetach-controller",
    )


class Given:
    """Volumes for one node at a time that nodes are being given, before any cache shows it: nodes are looked at side
    by side."""

    def __init__(self) -> None:
        self._nodes: dict[str, str] = {}

    def contended(self, name: str, found: Observed | None) -> Observed | None:
        """The same, with what others are being given marked as `given`. What this node is to get is remembered until
        it is looked at again, which is not before the cache shows what came of it."""
        for volume in [volume for volume, node in self._nodes.items() if node == name]:
            del self._nodes[volume]
        if found is None or found.node is None:
            return found
        present = {one.name for one in found.here}
        others: set[str] = set()
        for disk in found.wanted:
            volume = disk.volume.name
            if disk.rivals or attach.shared(disk.volume) or attach.name_of(disk.volume, name) in present:
                continue
            if self._nodes.setdefault(volume, name) != name:
                others.add(volume)
        return replace(found, given=others) if others else found


def _plan(observed: Observed, now: datetime) -> Plan:
    return attach.plan(observed, now)


def claiming_index(pod: Object) -> Iterable[str]:
    """By node, pods that may use a claim."""
    return (pod.glance.node,) if pod.glance.node and pod.glance.claims else ()


def _node_of(cache: Cache, pod: Object) -> Iterable[Hashable]:
    return claiming_index(pod)


def _pod_moved(old: Object, new: Object) -> bool:
    a, b = old.glance, new.glance
    return bool(a.node != b.node or a.terminal != b.terminal or old.uid != new.uid)


def _node_matters(old: Object, new: Object) -> bool:
    a, b = old.view, new.view
    return bool(
        a.status.volumes_in_use != b.status.volumes_in_use
        or a.status.volumes_attached != b.status.volumes_attached
        or a.ready != b.ready
        or a.spec.taints != b.spec.taints
        or (ATTACHED_FOR in a.metadata.annotations) != (ATTACHED_FOR in b.metadata.annotations)
    )


def _bound_changed(old: Object, new: Object) -> bool:
    return bool(old.view.spec != new.view.spec or old.view.status.phase != new.view.status.phase)


def _on_node(found: Object) -> Iterable[str]:
    return (found.view.spec.node_name,)


def _of_volume(found: Object) -> Iterable[str]:
    return (found.view.spec.source.persistent_volume_name,)


def _users_of_claim(cache: Cache, claim: Object) -> Iterable[Hashable]:
    return dict.fromkeys(
        pod.glance.node for pod in cache[POD].by(CLAIM, f"{claim.namespace}/{claim.name}") if pod.glance.node
    )


def _users(cache: Cache, volume: str) -> Iterable[Hashable]:
    """The nodes of pods whose claim is bound to it."""
    found = cache[PERSISTENTVOLUME].get("", volume)
    reference = None if found is None or found.view.spec.csi is None else found.view.spec.claim_ref
    claim = None if reference is None else cache[PERSISTENTVOLUMECLAIM].get(reference.namespace, reference.name)
    return () if claim is None else _users_of_claim(cache, claim)


def look(cache: Cache, name: str) -> Observed | None:
    """What there is to decide about the node; None where it is not ours to, or nothing."""
    node = cache[NODE].get("", name)
    if node is not None and ATTACHED_FOR not in node.view.metadata.annotations:
        return None
    here = [found for found in cache[VOLUMEATTACHMENT].by(ON_NODE, name) if OURS.fullmatch(found.name)]
    pods = [pod for pod in cache[POD].by(CLAIMING, name) if not pod.glance.terminal]
    reported = node is not None and node.view.status.volumes_attached
    if not here and not pods and not reported:
        return None
    sources = (cache[PERSISTENTVOLUME].get("", one.view.spec.source.persistent_volume_name) for one in here)
    volumes = {one.name: one for one in sources if one is not None and one.view.spec.csi is not None}
    return Observed(name, node, wanted(cache, name, pods), sorted(here, key=lambda one: one.name), volumes)


def wanted(cache: Cache, node: str, pods: Sequence[Object]) -> Sequence[Disk]:
    """The volumes that these pods use and that have to be attached, each once."""
    found: dict[str, tuple[Object, list[Object]]] = {}
    for pod in sorted(pods, key=lambda pod: pod.key):
        for volume in volumes_of(cache, pod):
            users = found.setdefault(volume.name, (volume, []))[1]
            if pod not in users:
                users.append(pod)
    return [_disk(cache, node, volume, users) for _, (volume, users) in sorted(found.items())]


def _disk(cache: Cache, node: str, volume: Object, pods: Sequence[Object]) -> Disk:
    rivals = [
        other
        for other in cache[VOLUMEATTACHMENT].by(OF_VOLUME, volume.name)
        if other.view.spec.node_name != node and OURS.fullmatch(other.name)
    ]
    places = {rival.view.spec.node_name for rival in rivals}
    reference = volume.view.spec.claim_ref
    users = cache[POD].by(CLAIM, f"{reference.namespace}/{reference.name}") if rivals else ()
    there = [pod for pod in users if pod.glance.node in places and not pod.glance.terminal]
    return Disk(volume, pods, rivals, sorted(there, key=lambda pod: pod.key))


def volumes_of(cache: Cache, pod: Object) -> Iterable[Object]:
    """Of drivers that attach; a driver that says nothing of itself does."""
    made = {f"{pod.name}-{volume.name}" for volume in pod.view.spec.volumes if volume.ephemeral is not None}
    for name in claim_names(pod):
        claim = cache[PERSISTENTVOLUMECLAIM].get(pod.namespace, name)
        if claim is None or claim.view.status.phase != "Bound" or (name in made and not controlled_by(claim, pod)):
            continue
        volume = cache[PERSISTENTVOLUME].get("", claim.view.spec.volume_name)
        if volume is None or volume.view.spec.csi is None:
            continue
        reference = volume.view.spec.claim_ref
        if reference is None or reference.uid != claim.uid:
            continue
        driver = cache[CSIDRIVER].get("", volume.view.spec.csi.driver)
        if driver is None or driver.view.spec.attach_required:
            yield volume
