"""Claims that pods use, and volumes that are bound, outlive their deletion until that is over.

Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from datetime import datetime

from navarch.base.errors import NotFound
from navarch.client.client import Client
from navarch.controllers.claims import controlled_by
from navarch.controllers.controller import Cache, Controller, Watch, own_key
from navarch.controllers.options import Setup
from navarch.controllers.plan import Patch, Plan
from navarch.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, POD
from navarch.kinds.object import Object
from navarch.kinds.storage import PV_PROTECTION, PVC_PROTECTION


@dataclass(frozen=True, slots=True)
class Observed:
    """found: a claim or a volume. finalizer: by which it is held. used: it must stay."""

    found: Object
    finalizer: str
    used: bool


def claims(setup: Setup) -> Controller[Observed]:
    """A claim goes when no pod that is on a node names it any more, and be it one that ended."""
    return Controller(
        name="pvc-protection",
        watches=(
            Watch(PERSISTENTVOLUMECLAIM, own_key),
            Watch(POD, _claims_of_pod, _pod_matters, {"claim": claim_index}),
        ),
        observe=_observe_claim,
        confirm=_confirm,
        plan=plan,
        account="pvc-protection-controller",
    )


def volumes(setup: Setup) -> Controller[Observed]:
    """A volume goes when it is bound no more."""

    def observe(cache: Cache, key: tuple[str, str]) -> Observed | None:
        found = cache[PERSISTENTVOLUME].get(*key)
        return None if found is None else Observed(found, PV_PROTECTION, found.view.status.phase == "Bound")

    return Controller(
        name="pv-protection",
        watches=(Watch(PERSISTENTVOLUME, own_key),),
        observe=observe,
        plan=plan,
        account="pv-protection-controller",
    )


def claim_names(pod: Object) -> Iterable[str]:
    """Claims that the pod's volumes name, and those that are made for it."""
    if not pod.glance.claims:
        return  # most pods have none, and looking closer costs a view
    for volume in pod.view.spec.volumes:
        if volume.persistent_volume_claim is not None:
            yield volume.persistent_volume_claim.claim_name
        elif volume.ephemeral is not None:
            yield f"{pod.name}-{volume.name}"


def claim_index(pod: Object) -> Iterable[str]:
    return (f"{pod.namespace}/{name}" for name in claim_names(pod))


def _claims_of_pod(cache: Cache, pod: Object) -> Iterable[Hashable]:
    return ((pod.namespace, name) for name in claim_names(pod))


def _pod_matters(old: Object, new: Object) -> bool:
    a, b = old.glance, new.glance
    return bool(a.node != b.node or (b.claims and new.terminating and _is_shut_down(new) != _is_shut_down(old)))


def _is_shut_down(pod: Object) -> bool:
    """Deleted, and its node is done with it or was not waited for: it may be held by a finalizer alone."""
    metadata = pod.view.metadata
    return metadata.deletion_timestamp is not None and metadata.deletion_grace_period_seconds == 0


def uses(pod: Object, claim: Object) -> bool:
    """Whether it is on a node and names the claim, or has it as its own and is not done with it."""
    if not pod.glance.node or not pod.glance.claims:
        return False
    for volume in pod.view.spec.volumes:
        if volume.persistent_volume_claim is not None:
            if volume.persistent_volume_claim.claim_name == claim.name:
                return True
        elif volume.ephemeral is not None and f"{pod.name}-{volume.name}" == claim.name and controlled_by(claim, pod):
            return not _is_shut_down(pod)
    return False


def _observe_claim(cache: Cache, key: tuple[str, str]) -> Observed | None:
    found = cache[PERSISTENTVOLUMECLAIM].get(*key)
    if found is None:
        return None
    used = any(uses(pod, found) for pod in cache[POD].by("claim", f"{key[0]}/{key[1]}"))
    return Observed(found, PVC_PROTECTION, used)


async def _confirm(client: Client, observed: Observed) -> Observed:
    """A pod may have come that the cache does not have: nothing is let go before the API itself was asked."""
    found = observed.found
    if observed.used or found.view.metadata.deletion_timestamp is None:
        return observed
    try:
        listed = await client.list(POD, found.namespace)
    except NotFound:
        return observed
    used = any(uses(pod, found) for pod in listed.items)
    return Observed(found, observed.finalizer, used)


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    found, finalizers = observed.found, observed.found.view.metadata.finalizers
    if found.view.metadata.deletion_timestamp is None:
        if observed.finalizer in finalizers:
            return Plan()
        return Plan((_with(found, (*finalizers, observed.finalizer)),))
    if observed.used or observed.finalizer not in finalizers:
        return Plan()
    return Plan((_with(found, [name for name in finalizers if name != observed.finalizer]),))


def _with(found: Object, finalizers: Iterable[str]) -> Patch:
    return Patch(found, {"metadata": {"finalizers": list(finalizers) or None}})
