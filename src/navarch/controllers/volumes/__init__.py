"""Volumes and claims: binding one to the other, and what becomes of a volume whose claim has gone.

Claims that pods bring along are made in `ephemeral`; making and growing volumes is `provision`'s and `expand`'s part,
choosing a volume by node the scheduler's.

Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from navarch.base.errors import NotFound
from navarch.client.client import Client
from navarch.controllers.controller import Cache, Controller, Watch, own_key
from navarch.controllers.options import Setup
from navarch.controllers.protection import claim_index, claim_names
from navarch.controllers.volumes import claim, volume
from navarch.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, POD, STORAGECLASS
from navarch.kinds.object import Object
from navarch.kinds.storage_match import class_of, completed, names_no_class

FREE, CLAIMED, WAITING, NAMED, USED = "free", "claimed", "waiting", "named", "claim"
UNCLASSED = "\n"
"""In the index of waiting claims, those that take the default class; no class has that name."""


def claims(setup: Setup) -> Controller[claim.Observed]:
    """One worker: two claims that look for a volume at once would choose the same."""
    return Controller(
        name="persistentvolume-binder",
        watches=(
            Watch(PERSISTENTVOLUMECLAIM, own_key, indexes={WAITING: _waiting, NAMED: _named}),
            Watch(PERSISTENTVOLUME, _claims_of, indexes={FREE: _free, CLAIMED: claimed}),
            Watch(STORAGECLASS, _claims_of_class),
            Watch(POD, _claims_of_stuck, _got_stuck, {USED: claim_index}),
        ),
        observe=_observe_claim,
        plan=claim.plan,
        component="persistentvolume-controller",
        account="persistent-volume-binder",
        workers=1,
    )


def volumes(setup: Setup) -> Controller[volume.Observed]:
    return Controller(
        name="persistentvolume-reclaimer",
        watches=(
            Watch(PERSISTENTVOLUME, own_key, indexes={CLAIMED: claimed}),
            Watch(PERSISTENTVOLUMECLAIM, _volumes_of),
        ),
        observe=_observe_volume,
        confirm=_confirm,
        plan=volume.plan,
        component="persistentvolume-controller",
        account="persistent-volume-binder",
    )


def _free(found: Object) -> Iterable[str]:
    return (class_of(found),) if found.view.spec.claim_ref is None else ()


def claimed(found: Object) -> Iterable[str]:
    reference = found.view.spec.claim_ref
    return (f"{reference.namespace}/{reference.name}",) if reference is not None else ()


def _waiting(found: Object) -> Iterable[str]:
    if completed(found) or found.view.spec.volume_name:
        return ()
    return (UNCLASSED,) if names_no_class(found) else (class_of(found),)


def _named(found: Object) -> Iterable[str]:
    return (found.view.spec.volume_name,) if found.view.spec.volume_name else ()


def _claims_of(cache: Cache, found: Object) -> Iterable[Hashable]:
    """Those that the volume is kept for, or bound to, and, while nobody has it, all that may want it."""
    informer = cache[PERSISTENTVOLUMECLAIM]
    keys: list[Hashable] = [claim.key for claim in informer.by(NAMED, found.name)]
    reference = found.view.spec.claim_ref
    if reference is not None:
        keys.append((reference.namespace, reference.name))
    elif found.view.status.phase == "Available":
        wanted = class_of(found)
        keys += [claim.key for claim in informer.by(WAITING, wanted)]
        keys += [claim.key for claim in informer.by(WAITING, UNCLASSED)] if not wanted else []
    return keys


def _claims_of_class(cache: Cache, found: Object) -> Iterable[Hashable]:
    informer = cache[PERSISTENTVOLUMECLAIM]
    return [claim.key for name in (found.name, UNCLASSED) for claim in informer.by(WAITING, name)]


def _volumes_of(cache: Cache, found: Object) -> Iterable[Hashable]:
    kept = [("", volume.name) for volume in cache[PERSISTENTVOLUME].by(CLAIMED, f"{found.namespace}/{found.name}")]
    name = found.view.spec.volume_name
    return [*kept, ("", name)] if name else kept


def stuck(pod: Object) -> bool:
    """Whether the scheduler looked for a node for it and found none; most pods have no claims, which is seen first."""
    glance = pod.glance
    if not glance.claims or glance.node or glance.terminal:
        return False
    return any(one.type == "PodScheduled" and one.status == "False" for one in pod.view.status.conditions)


def _got_stuck(old: Object, new: Object) -> bool:
    return stuck(new) and not stuck(old)


def _claims_of_stuck(cache: Cache, pod: Object) -> Iterable[Hashable]:
    """They wait for its node, and say so."""
    return [(pod.namespace, name) for name in claim_names(pod)] if stuck(pod) else []


def _default_class(cache: Cache) -> Object | None:
    """The youngest of those that are marked, of equals the first by name, as admission chooses it."""
    marked = [found for found in cache[STORAGECLASS].list() if found.view.is_default]
    by_name = sorted(marked, key=lambda one: one.name)
    return max(by_name, key=lambda one: one.view.metadata.creation_timestamp, default=None)


def _observe_claim(cache: Cache, key: tuple[str, str]) -> claim.Observed | None:
    found = cache[PERSISTENTVOLUMECLAIM].get(*key)
    if found is None:
        return None
    name = class_of(found)
    informer = cache[PERSISTENTVOLUME]
    kept = tuple(informer.by(CLAIMED, f"{found.namespace}/{found.name}"))
    return claim.Observed(
        claim=found,
        named=informer.get("", found.view.spec.volume_name) if found.view.spec.volume_name else None,
        volumes=() if found.view.spec.volume_name else (*kept, *informer.by(FREE, name)),
        storage_class=cache[STORAGECLASS].get("", name) if name else None,
        default_class=_default_class(cache) if names_no_class(found) else None,
        stuck=sorted(pod.name for pod in cache[POD].by(USED, f"{found.namespace}/{found.name}") if stuck(pod)),
    )


def _observe_volume(cache: Cache, key: tuple[str, str]) -> volume.Observed | None:
    found = cache[PERSISTENTVOLUME].get(*key)
    if found is None:
        return None
    reference = found.view.spec.claim_ref
    if reference is None:
        return volume.Observed(found, None)
    return volume.Observed(found, cache[PERSISTENTVOLUMECLAIM].get(reference.namespace, reference.name))


async def _confirm(client: Client, observed: volume.Observed) -> volume.Observed:
    """No volume is given up because a cache is behind: the API itself is asked whether the claim has gone."""
    reference = observed.volume.view.spec.claim_ref
    if reference is None or not reference.uid:
        return observed
    if observed.claim is not None and observed.claim.uid == reference.uid:
        return observed
    if observed.volume.view.status.phase in volume.GIVEN_UP:
        return observed
    try:
        found = await client.get(PERSISTENTVOLUMECLAIM, reference.namespace, reference.name)
    except NotFound:
        return volume.Observed(observed.volume, None)
    return volume.Observed(observed.volume, found)
