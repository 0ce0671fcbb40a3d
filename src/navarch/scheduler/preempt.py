"""Room for an important pod at the cost of less important ones: which node, and which of its pods must go.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from navarch.scheduler import cycle, filters
from navarch.scheduler.cycle import Refusal
from navarch.scheduler.facts import BEGINNING, PodFacts
from navarch.scheduler.filters.interpod import INTER_POD_AFFINITY
from navarch.scheduler.filters.limits import NODE_VOLUME_LIMITS
from navarch.scheduler.filters.resources import NODE_PORTS, NODE_RESOURCES_FIT
from navarch.scheduler.filters.spread import POD_TOPOLOGY_SPREAD
from navarch.scheduler.table import Table

MOVABLE = (NODE_PORTS, NODE_RESOURCES_FIT, NODE_VOLUME_LIMITS, POD_TOPOLOGY_SPREAD, INTER_POD_AFFINITY)
"""The filters whose answer depends on the pods of a node."""

CANDIDATES = 100
"""Nodes looked at in one attempt: the best of so many is good enough."""

NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"


@dataclass(frozen=True, slots=True)
class Budget:
    """A PodDisruptionBudget. key: namespace and name. allowed: how many more may go. gone: names of those that go."""

    key: tuple[str, str]
    covers: Callable[[PodFacts], bool]
    allowed: int
    gone: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Preemption:
    """victims: pods to delete, the most important first. violations: how many of them break a disruption budget."""

    node: str
    victims: tuple[PodFacts, ...]
    violations: int


def importance(pod: PodFacts) -> tuple[int, float]:
    """Sorts the most important first: by priority, then by how long it has run."""
    return (-pod.priority, (pod.started or pod.created).timestamp())


def ineligible(table: Table, pod: PodFacts) -> str:
    """Why `pod` may not take anybody's place now; "" if it may."""
    if pod.spec.preemption_policy == "Never":
        return "not eligible due to preemptionPolicy=Never."
    index = table.number.get(pod.nominated, -1) if pod.nominated else -1
    if index >= 0 and any(p.terminating and p.priority < pod.priority for p in table.on(index).values()):
        return "not eligible due to a terminating pod on the nominated node."
    return ""


def plan(table: Table, pod: PodFacts, refusal: Refusal, budgets: Sequence[Budget] = ()) -> Preemption | str:
    """What to do for `pod`, that was refused; or, in users' words, why nothing can be done.

    Tries things on `table` and leaves it as it was.
    """
    if why := ineligible(table, pod):
        return f"preemption: {why}"
    found: list[Preemption] = []
    for index in refusal.helpable:
        lower = sorted((p for p in table.on(index).values() if p.priority < pod.priority), key=importance)
        if not lower:
            continue
        if (one := _on_node(table, pod, index, lower, budgets)) is not None:
            found.append(one)
            if len(found) == CANDIDATES:
                break
    if found:
        return min(found, key=_cost)
    reasons: Mapping[str, int] = {
        reason: number
        for reason, number in (
            (NOT_HELPFUL, refusal.nodes - len(refusal.helpable)),
            (NO_VICTIMS, len(refusal.helpable)),
        )
        if number
    }
    return f"preemption: {cycle.told(refusal.nodes, reasons)}"


def _on_node(
    table: Table, pod: PodFacts, index: int, lower: Sequence[PodFacts], budgets: Sequence[Budget]
) -> Preemption | None:
    """Take all lower pods away; if the pod fits then, let back as many as possible, the protected ones first."""
    node = table.names[index]
    for one in lower:
        table.remove(one.uid)
    out = {one.uid: one for one in lower}
    try:
        if not cycle.fits(table, pod, index, filters.ALL if pod.device_claims or pod.claims else MOVABLE):
            return None
        violating, others = _by_budget(lower, budgets)
        for one in (*violating, *others):
            table.add(one, node)
            if cycle.fits(table, pod, index, MOVABLE):
                del out[one.uid]
            else:
                table.remove(one.uid)
        victims = tuple(one for one in lower if one.uid in out)
        return Preemption(node, victims, sum(one.uid in out for one in violating))
    finally:
        for one in out.values():
            table.add(one, node)


def _by_budget(pods: Sequence[PodFacts], budgets: Sequence[Budget]) -> tuple[list[PodFacts], list[PodFacts]]:
    left = {budget.key: budget.allowed for budget in budgets}
    violating: list[PodFacts] = []
    others: list[PodFacts] = []
    for pod in pods:
        broken = False
        for budget in budgets:
            if budget.covers(pod) and pod.name not in budget.gone:
                left[budget.key] -= 1
                broken = broken or left[budget.key] < 0
        (violating if broken else others).append(pod)
    return violating, others


def _cost(preemption: Preemption) -> tuple[int, int, int, int, float]:
    """Least first: budgets broken, the top victim's priority, all priorities, how many, the youngest top victim."""
    victims = preemption.victims
    top = max((v.priority for v in victims), default=-(2**31))
    eldest = min(((v.started or v.created or BEGINNING).timestamp() for v in victims if v.priority == top), default=0.0)
    return (
        preemption.violations,
        top,
        sum(v.priority + 2**31 for v in victims),
        len(victims),
        -eldest,
    )
