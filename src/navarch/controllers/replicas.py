"""A number of pods of one template: what ReplicaSet and ReplicationController share.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, ItemsView, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from navarch.client.client import Client
from navarch.controllers.claims import ORPHANS, Claim, adopt, claim, orphan_index, release, still_there
from navarch.controllers.controller import Cache, Controller, Watch, controller_key, own_key
from navarch.controllers.plan import Action, Create, Delete, Failure, Plan, Status, soonest
from navarch.controllers.ranking import cheapest_first
from navarch.controllers.template import create_pod, delete_pod, pod_of, template_of
from navarch.kinds import POD
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.pod import Pod
from navarch.objects import condition
from navarch.objects.meta import labels_of
from navarch.objects.selector import Selector
from navarch.objects.value import Document

BURST = 500
"""The most pods that one plan makes or deletes."""

SelectorOf = Callable[[Object], Selector]
"""The selector of a ReplicaSet or a ReplicationController."""


@dataclass(frozen=True, slots=True)
class Observed:
    """claim: pods of any phase. related: active pods of the whole application, for the choice of whom to delete."""

    owner: Object
    claim: Claim
    related: Sequence[Object] = ()


def controller(
    name: str, kind: Kind, selector_of: SelectorOf, related: Callable[[Cache, Object], Sequence[Object]]
) -> Controller[Observed]:
    def observe(cache: Cache, key: tuple[str, str]) -> Observed | None:
        owner = cache[kind].get(*key)
        if owner is None:
            return None
        found = claim(owner, selector_of(owner), cache[POD])
        surplus = sum(map(_live, found.kept)) > owner.view.spec.replicas
        return Observed(owner, found, related(cache, owner) if surplus else ())

    of_controller = controller_key(kind)

    def pod_keys(cache: Cache, pod: Object) -> Iterable[Hashable]:
        if pod.controller is not None:
            return of_controller(cache, pod)
        if pod.terminating:
            return ()
        return [owner.key for owner in cache[kind].list(pod.namespace) if selector_of(owner).matches(pod.labels)]

    return Controller(
        name=name,
        watches=(Watch(kind, own_key), Watch(POD, pod_keys, indexes={ORPHANS: orphan_index}, of_head=True)),
        observe=observe,
        confirm=confirm,
        plan=plan,
        component=f"{name}-controller",
        account=f"{name}-controller",
    )


def _live(pod: Object) -> bool:
    """As `Pod.live`, without a closer look, for there may be thousands."""
    return not pod.terminating and not pod.glance.terminal


async def confirm(client: Client, observed: Observed) -> Observed:
    if not observed.claim.orphans or await still_there(client, observed.owner):
        return observed
    return replace(observed, claim=replace(observed.claim, orphans=()))


def plan(observed: Observed, now: datetime) -> Plan:
    """Make as many active pods as the owner asks for. Never raises."""
    owner = observed.owner
    spec = owner.view.spec
    closing = owner.view.metadata.deletion_timestamp is not None
    actions: list[Action] = []
    kept = [pod for pod in observed.claim.kept if _live(pod)]
    if not closing:
        orphans = [pod for pod in observed.claim.orphans if _live(pod)]
        actions += [adopt(pod, owner) for pod in orphans]
        actions += [release(pod, owner) for pod in observed.claim.lost if _live(pod)]
        kept += orphans
        actions += _scale(observed, kept, now)
    leaving = [pod for pod in observed.claim.kept if pod.terminating and not pod.glance.terminal]
    made = partial(status, owner, kept, len(leaving), now)
    return Plan(
        tuple(actions),
        status=None if _none_yet(observed, actions) else Status(owner, made(None)),
        failed=lambda failures: (Status(owner, made(failures[0])),),
        requeue_after_s=next_available_s(kept, spec.min_ready_seconds, now),
    )


def _none_yet(observed: Observed, actions: Sequence[Action]) -> bool:
    """The first pods are about to be made: that there is none is told already, and what comes of them is told when they
    are seen (or at once, if they are refused)."""
    alone = not observed.claim.kept and not observed.owner.view.status.replicas
    return alone and any(isinstance(action, Create) for action in actions)


def _scale(observed: Observed, kept: Sequence[Object], now: datetime) -> Sequence[Action]:
    owner = observed.owner
    missing: int = owner.view.spec.replicas - len(kept)
    if missing > 0:
        return (create_pod(owner, pod_of(owner, template_of(owner))),) * min(missing, BURST)
    if missing < 0:
        doomed = cheapest_first(kept, observed.related or kept, now) if -missing < len(kept) else kept
        return [delete_pod(owner, pod) for pod in doomed[: min(-missing, BURST)]]
    return ()


def status(owner: Object, pods: Sequence[Object], terminating: int, now: datetime, failure: Failure | None) -> Document:
    """pods: the active ones. failure: the first action that was refused."""
    document = owner.document()
    old = document.get("status") or {}
    wanted = labels_of(msgspec.json.decode(owner.view.spec.template)).items()
    min_ready_s = owner.view.spec.min_ready_seconds
    ready = [pod for pod in pods if pod.glance.ready]
    counts = {
        "fullyLabeledReplicas": _labelled(pods, wanted),
        "readyReplicas": len(ready),
        "availableReplicas": sum(is_available(pod.view, min_ready_s, now) for pod in ready)
        if min_ready_s
        else len(ready),
    }
    found: Document = {"replicas": len(pods)} | {name: count for name, count in counts.items() if count}
    if owner.kind.group == "apps":
        found["terminatingReplicas"] = terminating
    if generation := owner.view.metadata.generation:
        found["observedGeneration"] = generation
    if conditions := _conditions(old.get("conditions"), failure, now):
        found["conditions"] = conditions
    return found


def _labelled(pods: Sequence[Object], wanted: ItemsView[str, str]) -> int:
    """How many have all the labels; pods of one template share theirs."""
    shared = Counter(id(pod.labels) for pod in pods)
    known = {id(pod.labels): pod.labels for pod in pods}
    return sum(number for which, number in shared.items() if wanted <= known[which].items())


def _conditions(old: list[dict[str, Any]] | None, failure: Failure | None, now: datetime) -> list[dict[str, Any]]:
    if failure is None:
        return condition.remove(old, "ReplicaFailure")
    if condition.get(old, "ReplicaFailure"):
        return list(old or ())
    reason = "FailedDelete" if isinstance(failure.action, Delete) else "FailedCreate"
    new = {"type": "ReplicaFailure", "status": "True", "reason": reason, "message": failure.message}
    return condition.set(old, new, now)


def is_available(pod: Pod, min_ready_s: int, now: datetime) -> bool:
    """Ready, and for long enough."""
    if not pod.ready:
        return False
    since = pod.ready_since
    return min_ready_s == 0 or (since is not None and since + timedelta(seconds=min_ready_s) <= now)


def next_available_s(pods: Sequence[Object], min_ready_s: int, now: datetime) -> float | None:
    """In how many seconds the next ready pod becomes available, if time alone will make one so."""
    if min_ready_s == 0:
        return None
    waits = [
        (pod.view.ready_since - now).total_seconds() + min_ready_s
        for pod in pods
        if pod.view.ready_since is not None and not is_available(pod.view, min_ready_s, now)
    ]
    return soonest(*waits)
