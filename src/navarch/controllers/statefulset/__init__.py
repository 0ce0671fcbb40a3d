"""StatefulSet: pods with names, claims and an order of their own."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import replace

from navarch.client.client import Client
from navarch.controllers import controllerrevision
from navarch.controllers.claims import ORPHANS, claim, orphan_index, still_there
from navarch.controllers.controller import Cache, Controller, Watch, controller_key, own_key
from navarch.controllers.options import Setup
from navarch.controllers.statefulset.identity import claim_names, ordinal_of, pod_name
from navarch.controllers.statefulset.plan import Observed, plan
from navarch.kinds import CONTROLLERREVISION, PERSISTENTVOLUMECLAIM, POD, STATEFULSET
from navarch.kinds.object import Object
from navarch.objects.selector import from_view

__all__ = ["Observed", "controller", "plan"]


def controller(setup: Setup) -> Controller[Observed]:
    return Controller(
        name="statefulset",
        watches=(
            Watch(STATEFULSET, own_key),
            Watch(POD, pod_keys, indexes={ORPHANS: orphan_index}, of_head=True),
            Watch(CONTROLLERREVISION, revision_keys, indexes={ORPHANS: orphan_index}),
            Watch(PERSISTENTVOLUMECLAIM, claim_keys, claim_matters),
        ),
        observe=observe,
        confirm=confirm,
        plan=plan,
        component="statefulset-controller",
        account="statefulset-controller",
    )


def observe(cache: Cache, key: tuple[str, str]) -> Observed | None:
    owner = cache[STATEFULSET].get(*key)
    if owner is None:
        return None
    selector = from_view(owner.view.spec.selector)
    pods = claim(owner, selector, cache[POD])
    start = owner.view.spec.ordinals.start
    ordinals = set(range(start, start + owner.view.spec.replicas))
    names = {pod_name(owner, ordinal) for ordinal in ordinals}
    present = {pod.name for pod in (*pods.kept, *pods.orphans)}
    taken = frozenset(name for name in names - present if cache[POD].get(owner.namespace, name) is not None)
    volumes = {}
    if owner.view.spec.volume_claim_templates:
        ordinals |= {number for pod in pods.kept if (number := ordinal_of(pod, owner)) is not None}
        wanted = [name for ordinal in ordinals for name in claim_names(owner, ordinal).values()]
        found = [cache[PERSISTENTVOLUMECLAIM].get(owner.namespace, name) for name in wanted]
        volumes = {one.name: one for one in found if one is not None}
    return Observed(
        owner,
        pods,
        claim(owner, selector, cache[CONTROLLERREVISION]),
        cache[CONTROLLERREVISION].get(owner.namespace, controllerrevision.candidate(owner).name),
        volumes,
        taken,
    )


async def confirm(client: Client, observed: Observed) -> Observed:
    adopting = observed.claim.orphans or observed.revisions.orphans
    if not adopting or await still_there(client, observed.statefulset):
        return observed
    return replace(
        observed,
        claim=replace(observed.claim, orphans=()),
        revisions=replace(observed.revisions, orphans=()),
    )


_controller_key = controller_key(STATEFULSET)


def pod_keys(cache: Cache, pod: Object) -> Iterable[Hashable]:
    """The set that controls it, else those that select it or wait for its name."""
    if pod.controller is not None:
        yield from _controller_key(cache, pod)
    elif not pod.terminating:
        yield from _selecting(cache, pod)
    head, _, tail = pod.name.rpartition("-")
    if tail.isdecimal() and cache[STATEFULSET].get(pod.namespace, head) is not None:
        yield (pod.namespace, head)


def revision_keys(cache: Cache, revision: Object) -> Iterable[Hashable]:
    if revision.controller is not None:
        return _controller_key(cache, revision)
    return _selecting(cache, revision)


def claim_keys(cache: Cache, volume: Object) -> Iterable[Hashable]:
    """The set whose pod has a claim of that name: `data-web-0` may be of `web`, or of `data-web`'s namesake."""
    parts = volume.name.split("-")
    if not parts[-1].isdecimal():
        return
    for first in range(1, len(parts) - 1):
        key = (volume.namespace, "-".join(parts[first:-1]))
        if cache[STATEFULSET].get(*key) is not None:
            yield key


def claim_matters(old: Object, new: Object) -> bool:
    a, b = old.view.metadata, new.view.metadata
    return bool(a.owner_references != b.owner_references or a.deletion_timestamp != b.deletion_timestamp)


def _selecting(cache: Cache, found: Object) -> Iterable[Hashable]:
    return [
        owner.key
        for owner in cache[STATEFULSET].list(found.namespace)
        if from_view(owner.view.spec.selector).matches(found.labels)
    ]
