"""What is done about an autoscaler at one moment: the scale to write, what the status says, what is told. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from navarch.base.clock import parse_rfc3339, rfc3339
from navarch.controllers.autoscaler import limits
from navarch.controllers.autoscaler.limits import Bounds, Memory, Pending, Recommendation
from navarch.controllers.autoscaler.measure import Problem, Reading
from navarch.controllers.autoscaler.metrics import Target, Together, together
from navarch.controllers.autoscaler.replicas import Tolerance
from navarch.controllers.plan import Action, Event, Failure, Plan, Status, Update
from navarch.kinds.object import Object
from navarch.objects import condition, quantity
from navarch.objects.condition import Condition
from navarch.objects.value import Document, dig

SYNC_S = 15.0
ABOVE = "Current number of replicas above Spec.MaxReplicas"
BELOW = "Current number of replicas below Spec.MinReplicas"


@dataclass(frozen=True, slots=True)
class Observed:
    """scale: the Scale of the target, as an object of the target's kind; or why there is none. readings: one for each
    metric, () while they are not asked for. rivals: keys of all autoscalers of these pods, where there are others."""

    autoscaler: Object
    scale: Object | Problem
    memory: Memory
    pods: Sequence[Object] = ()
    readings: Sequence[Reading | Problem] = ()
    rivals: Sequence[tuple[str, str]] = ()
    bad_selector: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    plan: Plan
    memory: Memory


class _Draft:
    """A status in the making, and what is told on the way."""

    def __init__(self, autoscaler: Object, now: datetime) -> None:
        self.autoscaler = autoscaler
        self.now = now
        document = autoscaler.document()
        self.spec: Document = document["spec"]
        self.status: Document = dict(document.get("status") or {})
        self.actions: list[Action] = []
        generation = dig(document, "metadata", "generation")
        if generation:
            self.status["observedGeneration"] = generation

    def say(self, type: str, status: Literal["True", "False"], reason: str, message: str) -> None:
        new: Condition = {"type": type, "status": status, "reason": reason, "message": message}
        self.status["conditions"] = condition.set(self.status.get("conditions"), new, self.now)

    def warn(self, reason: str, message: str) -> None:
        self.actions.append(Event(self.autoscaler, reason, message, "Warning"))

    def count(self, current: int, desired: int | None = None) -> None:
        self.status["desiredReplicas"] = self.status.get("desiredReplicas", 0) if desired is None else desired
        self.status.pop("currentReplicas", None)
        if current:
            self.status["currentReplicas"] = current

    def measured(self, statuses: Sequence[Document]) -> None:
        self.status.pop("currentMetrics", None)
        if statuses:
            self.status["currentMetrics"] = list(statuses)

    def plan(self) -> Plan:
        return Plan(tuple(self.actions), Status(self.autoscaler, self.status), requeue_after_s=SYNC_S)


def bounds_of(spec: Document) -> Bounds:
    return Bounds(spec.get("minReplicas", 1), spec["maxReplicas"], spec.get("behavior"))


def tolerance_of(spec: Document) -> Tolerance:
    """The usual, unless the behavior says otherwise."""
    usual = Tolerance()
    down, up = (dig(spec, "behavior", direction, "tolerance") for direction in ("scaleDown", "scaleUp"))
    return Tolerance(
        usual.down if down is None else quantity.nano(down) / quantity.NANO,
        usual.up if up is None else quantity.nano(up) / quantity.NANO,
    )


def measures(spec: Document, current: int) -> bool:
    """Whether the metrics matter at all with so many replicas."""
    bounds = bounds_of(spec)
    return not (current == 0 and bounds.least) and bounds.least <= current <= bounds.most


def decide(observed: Observed, now: datetime) -> Decision:
    """Never raises."""
    draft = _Draft(observed.autoscaler, now)
    scale = observed.scale
    if isinstance(scale, Problem):
        draft.warn("FailedGetScale", scale.text)
        text = f"the HPA controller was unable to get the target's current scale: {scale.text}"
        draft.say("AbleToScale", "False", "FailedGetScale", text)
        return Decision(draft.plan(), observed.memory)
    draft.say(
        "AbleToScale", "True", "SucceededGetScale", "the HPA controller was able to get the target's current scale"
    )
    document = scale.document()
    current = int(dig(document, "spec", "replicas", default=0))
    scaled = draft.status.get("lastScaleTime")
    memory = limits.settle(observed.memory, current, parse_rfc3339(scaled) if scaled else None)
    memory = limits.recall(memory, current, now)
    bounds = bounds_of(draft.spec)
    if current == 0 and bounds.least:
        text = "scaling is disabled since the replica count of the target is zero"
        draft.say("ScalingActive", "False", "ScalingDisabled", text)
        return _kept(draft, current, (), memory)
    if current > bounds.most:
        return _rescaled(draft, scale, document, current, bounds.most, ABOVE, (), memory)
    if current < bounds.least:
        return _rescaled(draft, scale, document, current, bounds.least, BELOW, (), memory)
    return _by_metrics(draft, observed, scale, document, current, memory)


def _by_metrics(
    draft: _Draft, observed: Observed, scale: Object, document: Document, current: int, memory: Memory
) -> Decision:
    selector = str(dig(document, "status", "selector", default=""))
    objection = _objection(observed, selector)
    if objection is not None:
        event, reason, message, story = objection
        draft.warn(event, story)
        draft.say("ScalingActive", "False", reason, message)
        return _failed(draft, current, (), story, memory)
    metrics = draft.spec.get("metrics") or []
    target = Target(
        current,
        int(dig(document, "status", "replicas", default=0)),
        observed.pods,
        tolerance_of(draft.spec),
        draft.now,
    )
    found = together(target, metrics, observed.readings)
    for reason, message, _ in found.failures:
        draft.warn(reason, message)
    if found.replicas is None:
        reason, message, _ = found.failures[0]
        text = f"the HPA was unable to compute the replica count: {message}"
        draft.say("ScalingActive", "False", reason, text)
        return _failed(draft, current, found.statuses, found.story, memory)
    text = f"the HPA was able to successfully calculate a replica count from {found.name}"
    draft.say("ScalingActive", "True", "ValidMetricFound", text)
    return _limited(draft, scale, document, current, found.replicas, found, memory)


def _limited(
    draft: _Draft, scale: Object, document: Document, current: int, wanted: int, found: Together, memory: Memory
) -> Decision:
    verdict = limits.limit(bounds_of(draft.spec), memory, current, wanted, draft.now)
    memory = replace(memory, recommendations=(*memory.recommendations, Recommendation(wanted, draft.now)))
    draft.say("AbleToScale", "True", *verdict.able)
    draft.say("ScalingLimited", "True" if verdict.is_limited else "False", *verdict.limited)
    if verdict.replicas == current:
        return _kept(draft, current, found.statuses, memory)
    why = f"{found.name} above target" if wanted > current else "All metrics below target"
    return _rescaled(draft, scale, document, current, verdict.replicas, why, found.statuses, memory)


def _objection(observed: Observed, selector: str) -> tuple[str, str, str, str] | None:
    """(event, reason, what the condition says, the story) of what keeps pods from being found."""
    if not selector:
        missing = "the HPA target's scale is missing a selector"
        return "SelectorRequired", "InvalidSelector", missing, "selector is required"
    if observed.bad_selector:
        text = f"couldn't convert selector into a corresponding internal selector object: {observed.bad_selector}"
        return "InvalidSelector", "InvalidSelector", text, text
    if observed.rivals:
        keys = " ".join(f"{{{name} {namespace}}}" for namespace, name in sorted(observed.rivals))
        text = f"pods by selector {selector} are controlled by multiple HPAs: [{keys}]"
        return "AmbiguousSelector", "AmbiguousSelector", text, text
    return None


def _failed(draft: _Draft, current: int, statuses: Sequence[Document], story: str, memory: Memory) -> Decision:
    draft.warn("FailedComputeMetricsReplicas", story)
    draft.count(current)
    draft.measured(statuses)
    return Decision(draft.plan(), memory)


def _kept(draft: _Draft, current: int, statuses: Sequence[Document], memory: Memory) -> Decision:
    draft.count(current, current)
    draft.measured(statuses)
    return Decision(draft.plan(), memory)


def _rescaled(
    draft: _Draft,
    scale: Object,
    document: Document,
    current: int,
    wanted: int,
    why: str,
    statuses: Sequence[Document],
    memory: Memory,
) -> Decision:
    autoscaler = draft.autoscaler
    told = f"New size: {wanted}; reason: {why}"
    before = dict(draft.status)

    def failed(failures: Sequence[Failure]) -> Sequence[Action]:
        refused = _Draft(autoscaler, draft.now)
        refused.status = before
        text = f"the HPA controller was unable to update the target scale: {failures[0].message}"
        refused.say("AbleToScale", "False", "FailedUpdateScale", text)
        refused.count(current)
        return (Status(autoscaler, refused.status),)

    text = f"the HPA controller was able to update the target scale to {wanted}"
    draft.say("AbleToScale", "True", "SucceededRescale", text)
    draft.status["lastScaleTime"] = rfc3339(draft.now)
    draft.count(current, wanted)
    draft.measured(statuses)
    changed = {**document, "spec": {**(document.get("spec") or {}), "replicas": wanted}}
    update = Update(
        scale,
        changed,
        "scale",
        done=Event(autoscaler, "SuccessfulRescale", told),
        refused=Event(autoscaler, "FailedRescale", f"{told}; error: {{error}}", "Warning"),
    )
    draft.actions.append(update)
    plan = replace(draft.plan(), failed=failed)
    return Decision(plan, replace(memory, pending=Pending(current, wanted, draft.now)))
