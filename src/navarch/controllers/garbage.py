"""Garbage collection: what belonged to an owner goes when the owner goes, in the way that the deletion asked for.

Background: dependents of an owner that is gone are deleted. Foreground: the owner waits until those dependents that
block its deletion are gone. Orphan: dependents are only told that they have no owner any more.

The cache may lack an owner that was just made, so an absence is confirmed with the API before anything is deleted,
unless the deletion itself was seen.

Source: https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from navarch.base.errors import NotFound
from navarch.client.client import Client, Propagation
from navarch.controllers.controller import Cache, Controller, Watch, custom_watches
from navarch.controllers.options import Setup
from navarch.controllers.plan import Action, Delete, Event, Patch, Plan, Update
from navarch.kinds import EVENT, NAMESPACE
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.view import OwnerReference
from navarch.objects.meta import FOREGROUND, ORPHAN, owner_references, with_metadata
from navarch.objects.value import ABSENT

REMEMBERED = 20_000
OWNERS_AT_ONCE = 64

Key = tuple[Kind, str, str]


@dataclass(frozen=True, slots=True)
class Owner:
    """What became of an owner that an object names. present: None when that is not known yet."""

    reference: OwnerReference
    kind: Kind | None
    present: bool | None
    waiting: bool = False
    """It is there, but being deleted in the foreground."""
    astray: bool = False
    """It is there, but in a namespace from which it cannot own the object, and nobody was told yet."""


@dataclass(frozen=True, slots=True)
class Observed:
    object: Object
    owners: Sequence[Owner] = ()
    dependents: Sequence[Object] = ()


def controller(setup: Setup) -> Controller[Observed]:
    def collected() -> list[Kind]:
        return [kind for kind in setup.kinds.stored() if "delete" in kind.verbs and kind is not EVENT]

    collector = Collector(collected())
    setup.kinds.follow(lambda: collector.know(collected()))
    return Controller(
        name="garbagecollector",
        watches=tuple(Watch(kind, collector.keys, matters) for kind in collector.kinds if not kind.custom),
        grows=custom_watches(setup.kinds, lambda kind: Watch(kind, collector.keys, matters)),
        observe=collector.observe,
        confirm=collector.confirm,
        plan=plan,
        component="garbage-collector",
        account="generic-garbage-collector",
        workers=20,
    )


def matters(old: Object, new: Object) -> bool:
    """Whether owners, finalizers or the deletion changed."""
    if old.references != new.references or old.finalizers != new.finalizers:
        return True
    if not old.terminating and not new.terminating:
        return False
    return bool(old.view.metadata.deletion_timestamp != new.view.metadata.deletion_timestamp)


class Collector:
    """Finds what a change concerns. It remembers, in bounded number, which uids it saw go, and from which namespace,
    and of which wrong references it told (uids of the object and of its owner)."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self._gone: OrderedDict[str, str] = OrderedDict()
        self._told: OrderedDict[tuple[str, str], None] = OrderedDict()
        self.know(kinds)

    def know(self, kinds: Sequence[Kind]) -> None:
        """These are the kinds from now on."""
        self.kinds = kinds
        self._named = {(kind.group, kind.name): kind for kind in kinds}

    def keys(self, cache: Cache, found: Object) -> Iterable[Hashable]:
        if self._is_gone(cache, found):
            self._gone[found.uid] = found.namespace
            if len(self._gone) > REMEMBERED:
                self._gone.popitem(last=False)
            yield from map(_key, self._dependents(cache, found))
            yield from self._waiting_owners(cache, found)
            return
        if found.owners:
            if not self._is_kept(cache, found):
                yield _key(found)
            yield from self._waiting_owners(cache, found)
        if found.terminating and _held_by(found):
            yield _key(found)
            yield from map(_key, self._dependents(cache, found))

    def observe(self, cache: Cache, key: Key) -> Observed | None:
        if key[0] not in self.kinds:  # it was of a kind that is served no longer
            return None
        found = cache[key[0]].get(*key[1:])
        if found is None:
            return None
        if found.view.metadata.deletion_timestamp is not None:
            return Observed(found, (), self._dependents(cache, found)) if _held_by(found) else None
        if not found.owners:
            return None
        all_owners = [self._owner(cache, found, reference) for reference in found.view.metadata.owner_references]
        few = [_placed(cache, found, owner) for owner in all_owners[:OWNERS_AT_ONCE]]  # there may be thousands
        owners = (*few, *all_owners[OWNERS_AT_ONCE:])
        waiting = any(owner.waiting for owner in owners)
        return Observed(found, owners, self._dependents(cache, found) if waiting else ())

    def _owner(self, cache: Cache, found: Object, reference: OwnerReference) -> Owner:
        kind = self._named.get((reference.api_version.rpartition("/")[0], reference.kind))
        if self._gone.get(reference.uid) in ("", found.namespace):
            return Owner(reference, kind, False)
        if kind is None or _is_unfit(kind, found):
            return Owner(reference, kind, True)  # nobody can say, so nothing may be deleted for it
        owner = cache[kind].get(found.namespace if kind.namespaced else "", reference.name)
        if owner is None or owner.uid != reference.uid:
            return Owner(reference, kind, None)
        return Owner(reference, kind, True, _is_foreground(owner))

    def _is_kept(self, cache: Cache, found: Object) -> bool:
        """Whether all its owners are there and stay; should one of them go, its own change names its dependents."""
        owners = (self._owner(cache, found, reference) for reference in found.references)
        return not found.terminating and all(
            owner.present and not owner.waiting and not (owner.kind and _is_unfit(owner.kind, found))
            for owner in owners
        )

    def _waiting_owners(self, cache: Cache, found: Object) -> Iterable[Key]:
        for reference in found.references:
            kind = self._named.get((reference.api_version.rpartition("/")[0], reference.kind))
            if kind is not None:
                owner = cache[kind].get(found.namespace if kind.namespaced else "", reference.name)
                if owner is not None and _is_foreground(owner):
                    yield _key(owner)

    def _dependents(self, cache: Cache, owner: Object) -> Sequence[Object]:
        return [found for kind in self.kinds for found in cache[kind].owned_by(owner.uid)]

    async def confirm(self, client: Client, observed: Observed) -> Observed:
        """As `confirm`; and an owner is astray only once, for an object's every look would tell of it again."""
        confirmed = await confirm(client, observed)
        if not any(owner.astray for owner in confirmed.owners):
            return confirmed
        uid = confirmed.object.uid
        owners = tuple(
            replace(owner, astray=owner.astray and self._is_news((uid, owner.reference.uid)))
            for owner in confirmed.owners
        )
        return replace(confirmed, owners=owners)

    def _is_news(self, pair: tuple[str, str]) -> bool:
        if pair in self._told:
            return False
        self._told[pair] = None
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        return True

    def _is_gone(self, cache: Cache, found: Object) -> bool:
        present = cache[found.kind].get(*found.key)
        return present is None or present.uid != found.uid


def _is_unfit(kind: Kind, found: Object) -> bool:
    """Whether no object of `kind` can own `found`: what is in no namespace can have no owner that is in one."""
    return kind.namespaced and not found.namespace


def _placed(cache: Cache, found: Object, owner: Owner) -> Owner:
    """It is looked for by its name in other namespaces; `found` has seldom an owner that is not where it should be."""
    kind = owner.kind
    if kind is None or not kind.namespaced or (owner.present is not None and not _is_unfit(kind, found)):
        return owner
    elsewhere = (one.name for one in cache[NAMESPACE].list() if one.name != found.namespace)
    others = (cache[kind].get(namespace, owner.reference.name) for namespace in elsewhere)
    return replace(owner, astray=any(other is not None and other.uid == owner.reference.uid for other in others))


async def confirm(client: Client, observed: Observed) -> Observed:
    """Ask the API for owners that the cache does not have."""
    if all(owner.present is not None for owner in observed.owners):
        return observed
    owners = []
    for number, owner in enumerate(observed.owners):
        if number % OWNERS_AT_ONCE == OWNERS_AT_ONCE - 1:
            await asyncio.sleep(0)  # the answers of an API in this process come at once, and owners may be thousands
        if owner.present is None and owner.kind is not None:
            owners.append(await _looked_up(client, observed.object, owner, owner.kind))
        else:
            owners.append(owner)
    return replace(observed, owners=tuple(owners))


async def _looked_up(client: Client, found: Object, owner: Owner, kind: Kind) -> Owner:
    try:
        present = await client.get(kind, found.namespace if kind.namespaced else "", owner.reference.name)
    except NotFound:
        return replace(owner, present=False)
    same = present.uid == owner.reference.uid
    return replace(owner, present=same, waiting=same and _is_foreground(present))


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    found = observed.object
    if found.view.metadata.deletion_timestamp is not None:
        if ORPHAN in found.view.metadata.finalizers:
            return Plan((*_let_go(observed), _released(found)))
        return _foreground(observed)
    told = tuple(_astray(found, owner.reference) for owner in observed.owners if owner.astray)
    return Plan((*told, *_collected(observed)))


def _collected(observed: Observed) -> Sequence[Action]:
    found = observed.object
    absent = [owner for owner in observed.owners if owner.present is False]
    waiting = [owner for owner in observed.owners if owner.waiting]
    solid = [owner for owner in observed.owners if owner.present is not False and not owner.waiting]
    if solid:
        gone = {owner.reference.uid for owner in (*absent, *waiting)}
        return (_without_owners(found, gone),) if gone else ()
    if waiting and observed.dependents:
        freed = _unblock(observed)
        return (*freed, Delete(found, propagation="Foreground", guarded=not freed))
    if not observed.owners:
        return ()
    return (Delete(found, propagation=_policy(found), guarded=True),)  # it may have been given an owner since


def _astray(found: Object, reference: OwnerReference) -> Event:
    owner = f"{reference.api_version}/{reference.kind}, namespace: {found.namespace}, name: {reference.name}"
    message = f'ownerRef [{owner}, uid: {reference.uid}] does not exist in namespace "{found.namespace}"'
    return Event(found, "OwnerRefInvalidNamespace", message, "Warning")


def _policy(found: Object) -> Propagation:
    if ORPHAN in found.view.metadata.finalizers:
        return "Orphan"
    return "Foreground" if FOREGROUND in found.view.metadata.finalizers else "Background"


def _foreground(observed: Observed) -> Plan:
    """The dependents are deleted by their own keys; the owner goes when none blocks any more."""
    uid = observed.object.uid
    blocking = any(
        reference.uid == uid and reference.block_owner_deletion
        for dependent in observed.dependents
        for reference in dependent.view.metadata.owner_references
    )
    return Plan() if blocking else Plan((_without_finalizer(observed.object, FOREGROUND),))


def _let_go(observed: Observed) -> Sequence[Action]:
    return [_without_owners(dependent, {observed.object.uid}) for dependent in observed.dependents]


def _unblock(observed: Observed) -> Sequence[Action]:
    """Two objects that own each other must not wait for each other for ever."""
    if not any(_is_foreground(dependent) for dependent in observed.dependents):
        return ()
    references = owner_references(observed.object.document())
    if not any(reference.get("blockOwnerDeletion") for reference in references):
        return ()
    freed = [
        {**reference, "blockOwnerDeletion": False} if reference.get("blockOwnerDeletion") else reference
        for reference in references
    ]
    return (Patch(observed.object, {"metadata": {"ownerReferences": freed}}),)


def _without_owners(found: Object, uids: Iterable[str]) -> Patch:
    gone = frozenset(uids)
    left = [reference for reference in owner_references(found.document()) if reference.get("uid") not in gone]
    return Patch(found, {"metadata": {"ownerReferences": left or None}})


def _without_finalizer(found: Object, finalizer: str) -> Patch:
    left = [name for name in found.view.metadata.finalizers if name != finalizer]
    return Patch(found, {"metadata": {"finalizers": left or None}})


def _released(found: Object) -> Update:
    """Without the finalizer that kept an owner until its dependents are let go.

    An update, so that it is no neighbour of their patches: it has to wait for all of them, or those that could not be
    let go would be deleted.
    """
    left = [name for name in found.view.metadata.finalizers if name != ORPHAN]
    return Update(found, with_metadata(found.document(), finalizers=left or ABSENT))


def _held_by(found: Object) -> bool:
    finalizers = found.view.metadata.finalizers
    return FOREGROUND in finalizers or ORPHAN in finalizers


def _is_foreground(found: Object) -> bool:
    metadata = found.view.metadata
    return metadata.deletion_timestamp is not None and FOREGROUND in metadata.finalizers


def _key(found: Object) -> Key:
    return (found.kind, found.namespace, found.name)
