"""Deployment: rolls versions of an application out over ReplicaSets, and back."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import replace

from navarch.client.client import Client
from navarch.controllers.claims import ORPHANS, claim, orphan_index, still_there
from navarch.controllers.controller import Cache, Controller, Watch, controller_key, controller_name, own_key
from navarch.controllers.deployment import rollback
from navarch.controllers.deployment.plan import Observed, plan
from navarch.controllers.deployment.revision import candidate_name, current
from navarch.controllers.options import Setup
from navarch.kinds import DEPLOYMENT, POD, REPLICASET
from navarch.kinds.object import Object
from navarch.objects.selector import from_view


def controller(setup: Setup) -> Controller[Observed]:
    return Controller(
        name="deployment",
        watches=(
            Watch(DEPLOYMENT, own_key),
            Watch(REPLICASET, replicaset_keys, indexes={ORPHANS: orphan_index}),
            Watch(POD, pod_keys, changed=pod_matters, seldom=True, of_head=True),
        ),
        observe=observe,
        confirm=confirm,
        plan=plan,
        component="deployment-controller",
        account="deployment-controller",
    )


def observe(cache: Cache, key: tuple[str, str]) -> Observed | None:
    deployment = cache[DEPLOYMENT].get(*key)
    if deployment is None:
        return None
    found = claim(deployment, from_view(deployment.view.spec.selector), cache[REPLICASET])
    pods = {}
    if looks_at_pods(deployment):
        pods = {revision.uid: cache[POD].owned_by(revision.uid) for revision in found.kept}
    namesake = None
    if current(deployment, found.kept) is None:  # else no revision is about to be made
        namesake = cache[REPLICASET].get(deployment.namespace, candidate_name(deployment))
    return Observed(deployment, found, pods, namesake)


def looks_at_pods(deployment: Object) -> bool:
    return deployment.view.spec.strategy.type == "Recreate" or rollback.is_wanted(deployment)


async def confirm(client: Client, observed: Observed) -> Observed:
    if not observed.claim.orphans or await still_there(client, observed.deployment):
        return observed
    return replace(observed, claim=replace(observed.claim, orphans=()))


def replicaset_keys(cache: Cache, found: Object) -> Iterable[Hashable]:
    if found.controller is not None:
        return controller_key(DEPLOYMENT)(cache, found)
    return [
        deployment.key
        for deployment in cache[DEPLOYMENT].list(found.namespace)
        if from_view(deployment.view.spec.selector).matches(found.labels)
    ]


def pod_keys(cache: Cache, pod: Object) -> Iterable[Hashable]:
    """The Deployments whose plans look at pods; the others learn all that they need from ReplicaSets."""
    revision = cache[REPLICASET].get(pod.namespace, controller_name(pod, REPLICASET))
    if revision is None:
        return ()
    deployment = cache[DEPLOYMENT].get(pod.namespace, controller_name(revision, DEPLOYMENT))
    return (deployment.key,) if deployment is not None and looks_at_pods(deployment) else ()


def pod_matters(old: Object, new: Object) -> bool:
    """What the plan reads of a pod: whether it ended, and why its containers wait."""
    before, after = old.view.status, new.view.status
    return bool(
        before.phase != after.phase
        or before.container_statuses != after.container_statuses
        or before.init_container_statuses != after.init_container_statuses
    )
