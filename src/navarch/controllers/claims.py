"""Who owns what: adopting objects that match a selector and have no controller, letting go of those that no longer do.

Pure, but for `still_there`, which asks the API whether the owner still lives before it adopts anything.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#non-template-pod-acquisitions
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from navarch.base.errors import NotFound
from navarch.client.client import Client
from navarch.client.informer import Informer
from navarch.controllers.controller import new_owner_reference
from navarch.controllers.plan import Patch
from navarch.kinds.object import Object
from navarch.objects.meta import owner_references
from navarch.objects.selector import Selector

ORPHANS = "orphans"


def orphan_index(found: Object) -> Iterable[str]:
    """By namespace, the objects that no controller owns; to be named `ORPHANS`."""
    if found.controller is None:
        return (found.namespace,)
    return ()


def controlled_by(found: Object, owner: Object) -> bool:
    if owner.uid not in found.owners:
        return False
    reference = found.controller
    return reference is not None and reference.uid == owner.uid


@dataclass(frozen=True, slots=True)
class Claim:
    """kept: owned and matching. lost: owned, but no longer matching. orphans: matching, without a controller."""

    kept: Sequence[Object] = ()
    lost: Sequence[Object] = ()
    orphans: Sequence[Object] = ()


def claim(owner: Object, selector: Selector, informer: Informer) -> Claim:
    """What of the informer's kind belongs to `owner`, now or soon. The informer needs the index `ORPHANS`."""
    kept: list[Object] = []
    lost: list[Object] = []
    fits: dict[int, bool] = {}
    for found in informer.owned_by(owner.uid):
        if found.namespace == owner.namespace and controlled_by(found, owner):
            labels = found.labels  # mostly the same mapping for all: asked about once
            fit = fits.get(id(labels))
            if fit is None:
                fit = fits[id(labels)] = selector.matches(labels)
            (kept if fit else lost).append(found)
    orphans = [
        found
        for found in informer.by(ORPHANS, owner.namespace)
        if selector.matches(found.labels) and not found.terminating
    ]
    return Claim(kept, lost, orphans)


def adopt(found: Object, owner: Object) -> Patch:
    references = [*owner_references(found.document()), new_owner_reference(owner)]
    return Patch(found, {"metadata": {"ownerReferences": references}})


def release(found: Object, owner: Object) -> Patch:
    left = [reference for reference in owner_references(found.document()) if reference.get("uid") != owner.uid]
    return Patch(found, {"metadata": {"ownerReferences": left or None}})


async def still_there(client: Client, owner: Object) -> bool:
    """Whether the API itself still has `owner`, and not on its way out; caches may be behind."""
    try:
        present = await client.get(owner.kind, *owner.key)
    except NotFound:
        return False
    return present.uid == owner.uid and present.view.metadata.deletion_timestamp is None
