"""PodDisruptionBudget: how many of its pods may be evicted at this moment.

Source: https://kubernetes.io/docs/concepts/workloads/pods/disruptions/
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from navarch.base.clock import rfc3339
from navarch.controllers.controller import Cache, Controller, Watch, own_key
from navarch.controllers.options import Setup
from navarch.controllers.plan import Action, Event, Plan, Status, soonest
from navarch.kinds import DEPLOYMENT, POD, PODDISRUPTIONBUDGET, REPLICASET, REPLICATIONCONTROLLER
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.objects import condition
from navarch.objects.selector import from_view
from navarch.objects.value import Document

EVICTION_TIMEOUT = timedelta(minutes=2)
"""An eviction that was allowed must have led to a deletion by then."""
SCALABLE: Mapping[tuple[str, str], Kind] = {
    (kind.group, kind.name): kind for kind in (DEPLOYMENT, REPLICASET, REPLICATIONCONTROLLER)
}


@dataclass(frozen=True, slots=True)
class Observed:
    """scale: pods that the controllers of these pods ask for; None when a pod has no controller that says so.

    unmanaged: a pod without such a controller, for the message.
    """

    budget: Object
    pods: Sequence[Object]
    scale: int | None = 0
    unmanaged: str = ""


def controller(setup: Setup) -> Controller[Observed]:
    return Controller(
        name="disruption",
        watches=(
            Watch(PODDISRUPTIONBUDGET, own_key),
            Watch(POD, pod_keys, pod_matters, seldom=True, of_head=True),
            *(Watch(kind, owner_keys, scale_changed) for kind in SCALABLE.values()),
        ),
        observe=observe,
        plan=plan,
        component="controllermanager",
        account="disruption-controller",
    )


def pod_keys(cache: Cache, pod: Object) -> Iterable[Hashable]:
    for budget in cache[PODDISRUPTIONBUDGET].list(pod.namespace):
        if from_view(budget.view.spec.selector).matches(pod.labels):
            yield budget.key


def owner_keys(cache: Cache, owner: Object) -> Iterable[Hashable]:
    """Any budget of the namespace may count an owner's replicas; of those there are few."""
    return [budget.key for budget in cache[PODDISRUPTIONBUDGET].list(owner.namespace)]


def pod_matters(old: Object, new: Object) -> bool:
    return bool(
        old.labels != new.labels
        or old.owners != new.owners
        or old.terminating != new.terminating
        or old.glance.phase != new.glance.phase
        or old.view.ready != new.view.ready
    )


def scale_changed(old: Object, new: Object) -> bool:
    return bool(old.view.spec.replicas != new.view.spec.replicas)


def observe(cache: Cache, key: tuple[str, str]) -> Observed | None:
    budget = cache[PODDISRUPTIONBUDGET].get(*key)
    if budget is None:
        return None
    selector = from_view(budget.view.spec.selector)
    pods = [pod for pod in cache[POD].list(budget.namespace) if selector.matches(pod.labels)]
    owners: dict[str, int] = {}
    for pod in pods:
        owner = _scaled_by(cache, pod)
        if owner is None:
            return Observed(budget, pods, None, pod.name)
        owners[owner.uid] = owner.view.spec.replicas
    return Observed(budget, pods, sum(owners.values()))


def _scaled_by(cache: Cache, pod: Object) -> Object | None:
    """The controller that says how many pods there should be: a Deployment before its ReplicaSet."""
    found: Object | None = None
    below = pod
    while True:
        reference = below.view.metadata.controller
        kind = SCALABLE.get((reference.api_version.rpartition("/")[0], reference.kind)) if reference else None
        owner = cache[kind].get(pod.namespace, reference.name) if kind is not None and reference else None
        if owner is None or owner.uid != reference.uid:
            return found
        found = below = owner


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    budget, pods = observed.budget, observed.pods
    view = budget.view
    if view.metadata.deletion_timestamp is not None:
        return Plan()
    actions: list[Action] = []
    if not pods:
        actions.append(Event(budget, "NoPods", "No matching pods found"))
    expected, desired, problem = _expected(observed)
    disrupted, late, next_s = _disrupted(observed, now)
    if late:
        message = "Pod was expected by PDB {}/{} to be deleted but it wasn't".format(*budget.key)
        actions += [Event(pod, "NotDeleted", message, "Warning") for pod in late]
    healthy = sum(pod.view.ready and not pod.view.terminating and pod.name not in disrupted for pod in pods)
    allowed = max(0, healthy - desired) if expected > 0 and not problem else 0
    if problem:
        actions.append(Event(budget, "CalculateExpectedPodCountFailed", problem, "Warning"))
    made = _status(observed, (expected, desired, healthy, allowed), disrupted, problem, now)
    said = view.status.observed_generation == view.metadata.generation
    if said:
        actions = [action for action in actions if isinstance(action, Event) and action.reason == "NotDeleted"]
    return Plan(tuple(actions), status=Status(budget, made), requeue_after_s=next_s)


def _expected(observed: Observed) -> tuple[int, int, str]:
    """(expected pods, pods that must stay healthy, what is wrong)."""
    spec = observed.budget.view.spec
    least, most = spec.min_available, spec.max_unavailable
    if isinstance(least, int):
        return len(observed.pods), least, ""
    if observed.scale is None:
        return 0, 0, f"found no controllers for pod {observed.unmanaged!r}".replace("'", '"')
    scale = observed.scale
    if most is not None:
        return scale, max(0, scale - _part(most, scale)), ""
    if least is not None:
        return scale, _part(least, scale), ""
    return len(observed.pods), 0, ""


def _part(value: int | str, total: int) -> int:
    """A number, or a percentage of `total` rounded up."""
    if isinstance(value, int):
        return value
    digits = value.removesuffix("%")
    return math.ceil(int(digits) * total / 100) if digits.isdecimal() else 0


def _disrupted(observed: Observed, now: datetime) -> tuple[dict[str, datetime], Sequence[Object], float | None]:
    """(pods whose eviction was allowed and is under way, those that should long be gone, when the next one is)."""
    left: dict[str, datetime] = {}
    late: list[Object] = []
    next_s: float | None = None
    for pod in observed.pods:
        at = observed.budget.view.status.disrupted_pods.get(pod.name)
        if at is None or pod.view.terminating:
            continue
        wait_s = (at + EVICTION_TIMEOUT - now).total_seconds()
        if wait_s < 0:
            late.append(pod)
        else:
            left[pod.name] = at
            next_s = soonest(next_s, wait_s + 1)
    return left, late, next_s


def _status(
    observed: Observed,
    counts: tuple[int, int, int, int],
    disrupted: Mapping[str, datetime],
    problem: str,
    now: datetime,
) -> Document:
    budget = observed.budget
    old = budget.document().get("status") or {}
    expected, desired, healthy, allowed = counts
    if problem:
        new = {"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": problem}
    elif allowed:
        new = {"type": "DisruptionAllowed", "status": "True", "reason": "SufficientPods", "message": ""}
    else:
        new = {"type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": ""}
    generation = budget.view.metadata.generation
    found: Document = {
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
        "disruptionsAllowed": allowed,
        "observedGeneration": generation,
        "conditions": condition.set(old.get("conditions"), {**new, "observedGeneration": generation}, now),
    }
    if disrupted:
        found["disruptedPods"] = {name: rfc3339(at) for name, at in disrupted.items()}
    return found
