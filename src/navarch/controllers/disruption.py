"""PodDisruptionBudget: how many of its pods may be evicted at this moment.

Source: https://kubernetes.io/docs/concepts/workloads/pods/disruptions/
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import orjson

from navarch.base.clock import rfc3339
from navarch.base.errors import ApiError, NotFound
from navarch.client.client import Client
from navarch.controllers.controller import Cache, Controller, Watch, own_key
from navarch.controllers.options import Setup
from navarch.controllers.plan import Action, Event, Plan, Status, soonest
from navarch.kinds import DEPLOYMENT, POD, PODDISRUPTIONBUDGET, REPLICASET, REPLICATIONCONTROLLER, STATEFULSET
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.registry import Kinds
from navarch.kinds.view import LabelSelector, OwnerReference
from navarch.objects import condition
from navarch.objects.selector import from_view
from navarch.objects.value import Document

ALLOWED = "DisruptionAllowed"
COUNTS = ("currentHealthy", "desiredHealthy", "expectedPods")
EVICTION_TIMEOUT = timedelta(minutes=2)
"""An eviction that was allowed must have led to a deletion by then."""
SCALABLE: Mapping[tuple[str, str], Kind] = {
    (kind.group, kind.name): kind for kind in (DEPLOYMENT, REPLICASET, REPLICATIONCONTROLLER, STATEFULSET)
}


@dataclass(frozen=True, slots=True)
class Observed:
    """scale: pods that the controllers of these pods ask for. unmanaged: whether a pod has no controller; such pods are
    not counted. others: controllers of other kinds, each with a pod of its, that the API itself is to be asked about.
    problem: why nobody can say how many pods there should be."""

    budget: Object
    pods: Sequence[Object]
    scale: int = 0
    unmanaged: bool = False
    others: Sequence[tuple[OwnerReference, str]] = ()
    problem: str = ""


def controller(setup: Setup) -> Controller[Observed]:
    async def confirm(client: Client, observed: Observed) -> Observed:
        """Ask what custom resources scale their pods to."""
        for reference, pod in observed.others:
            found = await _asked(client, setup.kinds, observed.budget.namespace, reference, pod)
            if isinstance(found, str):
                return replace(observed, problem=found)
            observed = replace(observed, scale=observed.scale + found)
        return observed

    return Controller(
        name="disruption",
        watches=(
            Watch(PODDISRUPTIONBUDGET, own_key),
            Watch(POD, pod_keys, pod_matters, seldom=True, of_head=True),
            *(Watch(kind, owner_keys, scale_changed, seldom=True) for kind in SCALABLE.values()),
        ),
        observe=observe,
        confirm=confirm,
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
    if not _is_relative(budget):
        return Observed(budget, pods)
    scales: dict[str, int] = {}
    others: dict[str, tuple[OwnerReference, str]] = {}
    for pod in pods:
        reference = pod.controller
        if reference is None:
            continue
        owner = _scaled_by(cache, pod, reference)
        if owner is not None:
            scales[owner.uid] = owner.view.spec.replicas
        elif _known(reference) is not None:
            return Observed(budget, pods, problem=_nobody(pod.name))
        else:
            others.setdefault(reference.uid, (reference, pod.name))
    unmanaged = any(pod.controller is None for pod in pods)
    return Observed(budget, pods, sum(scales.values()), unmanaged, tuple(others.values()))


def _is_relative(budget: Object) -> bool:
    """Whether it asks for a share of what there should be, and not for a number of what there is."""
    spec = budget.view.spec
    return spec.max_unavailable is not None or isinstance(spec.min_available, str)


def _known(reference: OwnerReference) -> Kind | None:
    return SCALABLE.get((reference.api_version.rpartition("/")[0], reference.kind))


def _scaled_by(cache: Cache, pod: Object, reference: OwnerReference) -> Object | None:
    """The controller that says how many pods there should be: a Deployment instead of its ReplicaSet."""
    kind = _known(reference)
    owner = cache[kind].get(pod.namespace, reference.name) if kind is not None else None
    if owner is None or owner.uid != reference.uid:
        return None
    above = owner.controller
    if kind is not REPLICASET or above is None or _known(above) is not DEPLOYMENT:
        return owner
    deployment = cache[DEPLOYMENT].get(pod.namespace, above.name)
    return deployment if deployment is not None and deployment.uid == above.uid else None


def _nobody(pod: str) -> str:
    return f'found no controllers for pod "{pod}"'


async def _asked(client: Client, kinds: Kinds, namespace: str, owner: OwnerReference, pod: str) -> int | str:
    """How many pods a controller of any kind asks for, by its scale; or why that is not known."""
    group = owner.api_version.rpartition("/")[0]
    named = kinds.named(owner.api_version, owner.kind)
    kind = named or next((one for one in kinds if (one.group, one.name) == (group, owner.kind)), None)
    if kind is None:
        return _nobody(pod)
    if kind.scale is None:
        where = f"{kind.group}/{kind.version}" if kind.group else f"/{kind.version}"
        return f"{where}, Resource={kind.plural} does not implement the scale subresource"
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    try:
        raw = await client.raw("GET", f"{root}/namespaces/{namespace}/{kind.plural}/{owner.name}/scale")
    except NotFound:
        return _nobody(pod)
    except ApiError as error:
        return str(error)
    found: Document = orjson.loads(raw)
    if found["metadata"].get("uid") != owner.uid:
        return _nobody(pod)
    return int(found["spec"].get("replicas", 0))


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    budget, pods = observed.budget, observed.pods
    view = budget.view
    if view.metadata.deletion_timestamp is not None:
        return Plan()
    if observed.problem:
        return _failed(observed, now)
    actions: list[Action] = []
    if view.status.observed_generation != view.metadata.generation:
        if not pods:
            actions.append(Event(budget, "NoPods", "No matching pods found"))
        if observed.unmanaged:
            actions.append(Event(budget, "UnmanagedPods", _unmanaged(view.spec.selector), "Warning"))
    expected, desired = _expected(observed)
    disrupted, late, next_s = _disrupted(observed, now)
    if late:
        message = "Pod was expected by PDB {}/{} to be deleted but it wasn't".format(*budget.key)
        actions += [Event(pod, "NotDeleted", message, "Warning") for pod in late]
    healthy = sum(pod.view.ready and not pod.view.terminating and pod.name not in disrupted for pod in pods)
    allowed = max(0, healthy - desired) if expected > 0 else 0
    made = _status(observed, (expected, desired, healthy, allowed), disrupted, now)
    return Plan(tuple(actions), status=Status(budget, made), requeue_after_s=next_s)


def _failed(observed: Observed, now: datetime) -> Plan:
    """Nobody may go; the rest of the status stays as it was. Told when it is news."""
    budget, problem = observed.budget, observed.problem
    old = budget.document().get("status") or {}
    before = condition.get(old.get("conditions"), ALLOWED) or {}
    new = {
        "type": ALLOWED,
        "status": "False",
        "reason": "SyncFailed",
        "message": problem,
        "observedGeneration": old.get("observedGeneration", 0),
    }
    made = {**dict.fromkeys(COUNTS, 0), **old, "disruptionsAllowed": 0}
    made["conditions"] = condition.set(old.get("conditions"), new, now)
    message = f"Failed to calculate the number of expected pods: {problem}"
    told = Event(budget, "CalculateExpectedPodCountFailed", message, "Warning")
    return Plan(() if before.get("message") == problem else (told,), status=Status(budget, made))


def _unmanaged(selector: LabelSelector | None) -> str:
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector or LabelSelector()).match_labels.items()))
    requirements = "".join(
        f"LabelSelectorRequirement{{Key:{one.key},Operator:{one.operator},Values:[{' '.join(one.values)}],}},"
        for one in (selector or LabelSelector()).match_expressions
    )
    shown = (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{requirements}}},}}"
    )
    return (
        f"Pods selected by this PodDisruptionBudget (selector: {shown}) were found to be unmanaged. As a result, the "
        "status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for "
        'these pods please set ".spec.minAvailable" field of the PDB to an integer value.'
    )


def _expected(observed: Observed) -> tuple[int, int]:
    """(expected pods, pods that must stay healthy)."""
    spec, scale = observed.budget.view.spec, observed.scale
    if spec.max_unavailable is not None:
        return scale, max(0, scale - _part(spec.max_unavailable, scale))
    if isinstance(spec.min_available, str):
        return scale, _part(spec.min_available, scale)
    return (0, 0) if spec.min_available is None else (len(observed.pods), spec.min_available)


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
    now: datetime,
) -> Document:
    budget = observed.budget
    old = budget.document().get("status") or {}
    expected, desired, healthy, allowed = counts
    if allowed:
        new = {"type": ALLOWED, "status": "True", "reason": "SufficientPods", "message": ""}
    else:
        new = {"type": ALLOWED, "status": "False", "reason": "InsufficientPods", "message": ""}
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
