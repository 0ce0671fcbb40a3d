"""The autoscaler's arithmetic, its limits, and what it says and does at one moment."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.base.clock import rfc3339
from navarch.base.errors import NotFound
from navarch.client.client import Client
from navarch.controllers.autoscaler import limits, measure
from navarch.controllers.autoscaler.controller import Autoscaler
from navarch.controllers.autoscaler.limits import Bounds, Change, Memory, Recommendation
from navarch.controllers.autoscaler.measure import Problem, Reading, selector_text, window_s
from navarch.controllers.autoscaler.plan import Decision, Observed, decide
from navarch.controllers.autoscaler.replicas import (
    Sample,
    Tolerance,
    Unknown,
    by_average,
    by_share,
    by_utilization,
    by_value,
    group,
    requests,
)
from navarch.controllers.plan import Event, Failure, Status, Update
from navarch.kinds import DEPLOYMENT, HORIZONTALPODAUTOSCALER, POD
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.registry import DEFAULT
from navarch.objects import condition

CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}


NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)


def ago(seconds: float) -> str:
    return rfc3339(NOW - timedelta(seconds=seconds))


def made(kind: Kind, name: str, **parts: Any) -> Object:
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": "7"}
    return Object.of(kind, {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **parts})


def pod(
    name: str, *, phase: str = "Running", ready: str = "True", age_s: float = 3600, turned_s: float = 3600
) -> Object:
    conditions = [{"type": "Ready", "status": ready, "lastTransitionTime": ago(turned_s)}]
    return made(
        POD,
        name,
        spec={"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "100m"}}}]},
        status={"phase": phase, "conditions": conditions, "startTime": ago(age_s)},
    )


def pods(count: int) -> list[Object]:
    return [pod(f"p{number}") for number in range(count)]


def sample(milli: int, age_s: float = 0) -> Sample:
    return Sample(milli, NOW - timedelta(seconds=age_s), 15)


def utilization(current: int, found: list[Object], used: dict[str, int], target: int = 50) -> int:
    samples = {name: sample(milli) for name, milli in used.items()}
    groups = group(found, samples, "cpu", NOW)
    asked = requests(found, "", "cpu")
    return by_utilization(current, target, samples, found, asked, groups, Tolerance()).replicas


# -- how many


def test_twice_the_target_is_twice_the_pods() -> None:
    assert utilization(2, pods(2), {"p0": 100, "p1": 100}) == 4


@pytest.mark.parametrize(("milli", "expected"), [(55, 2), (56, 3), (45, 2), (44, 2), (20, 1)])
def test_within_the_tolerance_nothing_changes(milli: int, expected: int) -> None:
    assert utilization(2, pods(2), {"p0": milli, "p1": milli}) == expected


def test_tolerance_is_of_a_direction() -> None:
    assert Tolerance(down=0.5, up=0.0).allows(0.5)
    assert not Tolerance(down=0.5, up=0.0).allows(1.01)


def test_missing_pods_are_supposed_to_use_all_on_the_way_down_and_nothing_on_the_way_up() -> None:
    found = pods(4)
    assert utilization(4, found, {"p0": 10, "p1": 10}) == 4, "(10+10+100+100) of 400 is above half: it would turn"
    assert utilization(4, found, {"p0": 10, "p1": 10, "p2": 10}) == 3
    assert utilization(4, found, {"p0": 200, "p1": 200, "p2": 200}) == 12
    assert utilization(4, found, {"p0": 60, "p1": 60}) == 4


def test_pods_that_start_count_as_idle_on_the_way_up() -> None:
    young = pod("young", ready="False", age_s=20, turned_s=20)
    assert utilization(2, [*pods(1), young], {"p0": 200, "young": 500}) == 4
    pending = pod("late", phase="Pending")
    assert utilization(2, [*pods(1), pending], {"p0": 60}) == 2


def test_pods_that_fail_or_go_do_not_count() -> None:
    failed = pod("failed", phase="Failed")
    assert group([*pods(1), failed], {"p0": sample(1)}, "cpu", NOW).ready == 1


@pytest.mark.parametrize(
    ("one", "sampled_s", "ignored"),
    [
        (pod("a", age_s=60, turned_s=50), 0, False),
        (pod("a", age_s=60, turned_s=50), 40, True),  # measured before a window went by
        (pod("a", ready="False", age_s=60, turned_s=50), 0, True),
        (pod("a", ready="False", age_s=900, turned_s=890), 0, True),  # was never ready
        (pod("a", ready="False", age_s=900, turned_s=100), 0, False),  # became unready later
    ],
)
def test_which_samples_of_the_processor_are_of_a_start(one: Object, sampled_s: float, ignored: bool) -> None:
    samples = {"a": sample(1, sampled_s)}
    assert bool(group([one], samples, "cpu", NOW).ignored) is ignored
    assert not group([one], samples, "memory", NOW).ignored


def test_what_cannot_be_counted() -> None:
    with pytest.raises(Unknown, match="no pods returned by selector"):
        utilization(1, [], {"x": 1})
    with pytest.raises(Unknown, match="did not receive metrics for any ready pods"):
        utilization(1, pods(1), {})
    with pytest.raises(Unknown, match="no metrics returned matched known pods"):
        utilization(1, pods(1), {"other": 5})
    with pytest.raises(Unknown, match="missing request for memory in container c of Pod p0"):
        requests(pods(1), "", "memory")
    with pytest.raises(Unknown, match="container none not found in Pod p0"):
        requests(pods(1), "none", "cpu")


def test_averages_values_and_shares() -> None:
    found = pods(2)
    samples = {"p0": sample(300), "p1": sample(100)}
    groups = group(found, samples, "", NOW)
    assert by_average(2, 100, samples, found, groups, Tolerance()).replicas == 4
    assert by_value(2, 100, 300, found, Tolerance()).replicas == 6
    assert by_value(0, 100, 250, [], Tolerance()).replicas == 3, "from zero there is nothing to multiply"
    assert by_share(2, 100, 700, Tolerance()).replicas == 7
    assert by_share(2, 100, 205, Tolerance()).replicas == 2
    assert by_share(0, 100, 250, Tolerance()).replicas == 3


# -- how fast

POLICY = st.fixed_dictionaries(
    {"type": st.sampled_from(("Pods", "Percent")), "value": st.integers(1, 200), "periodSeconds": st.integers(1, 1800)}
)
RULES = st.fixed_dictionaries(
    {
        "selectPolicy": st.sampled_from(("Max", "Min", "Disabled")),
        "stabilizationWindowSeconds": st.integers(0, 3600),
        "policies": st.lists(POLICY, min_size=1, max_size=3),
    }
)
BEHAVIOR = st.none() | st.fixed_dictionaries({"scaleUp": RULES, "scaleDown": RULES})
AGES = st.integers(0, 4000).map(lambda seconds: NOW - timedelta(seconds=seconds))
MEMORY = st.builds(
    Memory,
    st.lists(st.builds(Recommendation, st.integers(1, 100), AGES), max_size=6).map(tuple),
    st.lists(st.builds(Change, st.integers(-20, 20), AGES), max_size=4).map(tuple),
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Bounds, Memory, int, int]:
    least = draw(st.integers(1, 40))
    most = draw(st.integers(least, 100))
    bounds = Bounds(least, most, draw(BEHAVIOR))
    return bounds, draw(MEMORY), draw(st.integers(least, most)), draw(st.integers(0, 500))


@given(cases())
def test_never_outside_of_the_bounds(case: tuple[Bounds, Memory, int, int]) -> None:
    bounds, memory, current, wanted = case
    verdict = limits.limit(bounds, memory, current, wanted, NOW)
    assert bounds.least <= verdict.replicas <= bounds.most


@given(
    cases(), st.none() | st.dictionaries(st.sampled_from(["p0", "p1", "p2"]), st.integers(0, 900)), st.integers(0, 120)
)
def test_a_scale_is_written_only_within_the_bounds_and_only_to_change_it(
    case: tuple[Bounds, Memory, int, int], used: dict[str, int] | None, present: int
) -> None:
    """Whatever is measured, or nothing. Brought back from outside of the bounds, it is at the nearer one."""
    bounds, memory, _, _ = case
    spec: dict[str, Any] = {"minReplicas": bounds.least, "maxReplicas": bounds.most, "metrics": [CPU]}
    if bounds.behavior is not None:
        spec["behavior"] = bounds.behavior
    target = {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}
    autoscaler = made(HORIZONTALPODAUTOSCALER, "web", spec={**spec, "scaleTargetRef": target})
    scale = made(DEPLOYMENT, "web", spec={"replicas": present}, status={"replicas": present, "selector": "app=web"})
    reading = Problem("none") if used is None else Reading({name: sample(milli) for name, milli in used.items()})
    found = decide(Observed(autoscaler, scale, memory, pods(3), [reading]), NOW).plan
    written = [action.document["spec"]["replicas"] for action in found.actions if isinstance(action, Update)]
    assert all(bounds.least <= replicas <= bounds.most and replicas != present for replicas in written)
    assert len(written) <= 1
    if present == 0:
        assert not written, "one that was scaled to nothing by hand stays so"
    elif not bounds.least <= present <= bounds.most:
        assert written == [min(max(present, bounds.least), bounds.most)]
    elif used is None:
        assert not written
    assert found.requeue_after_s == 15


@given(cases())
def test_never_faster_than_the_policies(case: tuple[Bounds, Memory, int, int]) -> None:
    bounds, memory, current, wanted = case
    found = limits.limit(bounds, memory, current, wanted, NOW).replicas
    if bounds.behavior is None:
        assert found <= max(2 * current, 4)
        return
    if found > current:
        assert found <= limits.up_limit(bounds.behavior["scaleUp"], memory.changes, current, NOW)
    if found < current:
        assert found >= limits.down_limit(bounds.behavior["scaleDown"], memory.changes, current, NOW)


@given(cases())
def test_never_beyond_what_was_recommended_within_the_window(case: tuple[Bounds, Memory, int, int]) -> None:
    bounds, memory, current, wanted = case
    found = limits.limit(bounds, memory, current, wanted, NOW).replicas
    down_s, up_s = 300, 0
    if bounds.behavior is not None:
        down_s = bounds.behavior["scaleDown"]["stabilizationWindowSeconds"]
        up_s = bounds.behavior["scaleUp"]["stabilizationWindowSeconds"]
    within = [one for one in memory.recommendations if one.at > NOW - timedelta(seconds=down_s)]
    if found < current:
        assert found >= min(current, max([wanted, *(one.replicas for one in within)], default=0))
    within = [one for one in memory.recommendations if one.at > NOW - timedelta(seconds=up_s)]
    if found > current and bounds.behavior is not None:
        assert found <= min([wanted, *(one.replicas for one in within)])


def test_a_policy_counts_what_was_done_in_its_period() -> None:
    rules: dict[str, Any] = {"selectPolicy": "Max", "policies": [{"type": "Pods", "value": 4, "periodSeconds": 60}]}
    done = (Change(3, NOW - timedelta(seconds=30)), Change(9, NOW - timedelta(seconds=90)))
    assert limits.up_limit(rules, done, 8, NOW) == 9
    assert limits.up_limit(rules, (), 8, NOW) == 12
    half = {
        "selectPolicy": "Min",
        "policies": [*rules["policies"], {"type": "Percent", "value": 50, "periodSeconds": 60}],
    }
    assert limits.down_limit(half, (), 20, NOW) == 16
    assert limits.down_limit({**half, "selectPolicy": "Disabled"}, (), 20, NOW) == 20


def test_a_change_counts_only_once_it_came_about() -> None:
    planned = Memory(pending=limits.Pending(2, 5, NOW))
    assert limits.settle(planned, 5, None).changes == (Change(3, NOW),)
    assert limits.settle(planned, 2, None).changes == ()
    assert limits.settle(planned, 7, NOW.replace(microsecond=0)).changes == (Change(3, NOW),), "changed again since"


# -- what is done


def autoscaler(**spec: Any) -> Object:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    usual = {"scaleTargetRef": target, "maxReplicas": 10}
    return made(HORIZONTALPODAUTOSCALER, "web", spec={**usual, "minReplicas": 1, "metrics": [CPU], **spec})


def scale(wanted: int, selector: str = "app=web") -> Object:
    return made(DEPLOYMENT, "web", spec={"replicas": wanted}, status={"replicas": wanted, "selector": selector})


def decided(wanted: int, *readings: Reading | Problem, memory: Memory | None = None, **spec: Any) -> Decision:
    observed = Observed(autoscaler(**spec), scale(wanted), memory or Memory(), pods(wanted), readings)
    return decide(observed, NOW)


def status(decision: Decision) -> Any:
    assert isinstance(decision.plan.status, Status)
    return decision.plan.status.status


def said(decision: Decision, type: str) -> tuple[str, str]:
    found = condition.get(status(decision)["conditions"], type)
    return (found["status"], found["reason"]) if found else ("", "")


def reasons(decision: Decision) -> list[str]:
    return [action.reason for action in decision.plan.actions if isinstance(action, Event)]


def reading(count: int, milli: int) -> Reading:
    return Reading({f"p{number}": sample(milli) for number in range(count)})


def test_scales_up_and_says_so() -> None:
    decision = decided(2, reading(2, 100))
    (update,) = decision.plan.actions
    assert isinstance(update, Update)
    assert update.subresource == "scale"
    assert update.document["spec"] == {"replicas": 4}
    assert update.done is not None
    assert update.done.message == "New size: 4; reason: cpu resource utilization (percentage of request) above target"
    assert said(decision, "AbleToScale") == ("True", "SucceededRescale")
    assert said(decision, "ScalingActive") == ("True", "ValidMetricFound")
    assert said(decision, "ScalingLimited") == ("False", "DesiredWithinRange")
    assert status(decision)["currentReplicas"] == 2
    assert status(decision)["desiredReplicas"] == 4
    current = {"averageUtilization": 100, "averageValue": "100m"}
    assert status(decision)["currentMetrics"] == [{"type": "Resource", "resource": {"name": "cpu", "current": current}}]
    assert decision.plan.requeue_after_s == 15


def test_a_refused_rescale_is_told() -> None:
    decision = decided(2, reading(2, 100))
    (update,) = decision.plan.actions
    assert isinstance(update, Update)
    assert update.refused is not None
    assert update.refused.reason == "FailedRescale"
    assert decision.plan.failed is not None
    (written,) = decision.plan.failed([Failure(update, NotFound("gone"))])
    assert isinstance(written, Status)
    found = condition.get(written.status["conditions"], "AbleToScale")
    assert found is not None
    assert (found["status"], found["reason"]) == ("False", "FailedUpdateScale")
    assert "lastScaleTime" not in written.status


def test_stays_while_a_recent_recommendation_was_higher() -> None:
    recent = Memory((Recommendation(4, NOW - timedelta(seconds=299)),))
    decision = decided(4, reading(4, 10), memory=recent)
    assert not decision.plan.actions
    assert said(decision, "AbleToScale") == ("True", "ScaleDownStabilized")
    later = Memory((Recommendation(4, NOW - timedelta(seconds=301)),))
    (update,) = decided(4, reading(4, 10), memory=later).plan.actions
    assert isinstance(update, Update)
    assert update.document["spec"]["replicas"] == 1


@pytest.mark.parametrize(("wanted", "expected", "why"), [(12, 10, "above Spec.MaxReplicas"), (1, 3, "below Spec.Min")])
def test_brings_what_is_outside_of_the_bounds_back_at_once(wanted: int, expected: int, why: str) -> None:
    (update,) = decided(wanted, minReplicas=3).plan.actions
    assert isinstance(update, Update)
    assert update.document["spec"]["replicas"] == expected
    assert update.done is not None
    assert why in update.done.message


def test_a_target_of_zero_is_left_alone() -> None:
    decision = decided(0)
    assert not decision.plan.actions
    assert said(decision, "ScalingActive") == ("False", "ScalingDisabled")


def test_without_a_scale() -> None:
    observed = Observed(autoscaler(), Problem('deployments.apps "web" not found'), Memory())
    decision = decide(observed, NOW)
    assert reasons(decision) == ["FailedGetScale"]
    assert said(decision, "AbleToScale") == ("False", "FailedGetScale")


def test_without_metrics() -> None:
    decision = decided(
        2, Problem("unable to get metrics for resource cpu: no metrics returned from resource metrics API")
    )
    assert reasons(decision) == ["FailedGetResourceMetric", "FailedComputeMetricsReplicas"]
    story = decision.plan.actions[1]
    assert isinstance(story, Event)
    assert story.message == (
        "invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: failed to get "
        "cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource metrics API"
    )
    assert said(decision, "ScalingActive") == ("False", "FailedGetResourceMetric")
    assert status(decision)["currentMetrics"] == [{"type": ""}]


QUEUE = {
    "type": "External",
    "external": {"metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": "10"}},
}


def test_the_largest_count_wins_and_what_is_unknown_keeps_it_from_shrinking() -> None:
    (update,) = decided(2, reading(2, 100), Reading(milli=35_000), metrics=[CPU, QUEUE]).plan.actions
    assert isinstance(update, Update)
    assert update.document["spec"]["replicas"] == 4
    grown = decided(2, reading(2, 100), Problem("no"), metrics=[CPU, QUEUE])
    assert [action for action in grown.plan.actions if isinstance(action, Update)]
    kept = decided(2, reading(2, 10), Problem("no"), metrics=[CPU, QUEUE])
    assert reasons(kept) == ["FailedGetExternalMetric", "FailedComputeMetricsReplicas"]


@pytest.mark.parametrize(
    ("change", "event", "reason"),
    [
        ({"scale": scale(2, "")}, "SelectorRequired", "InvalidSelector"),
        ({"bad_selector": "what"}, "InvalidSelector", "InvalidSelector"),
        ({"rivals": [("default", "web"), ("default", "also")]}, "AmbiguousSelector", "AmbiguousSelector"),
    ],
)
def test_pods_that_cannot_be_told(change: dict[str, Any], event: str, reason: str) -> None:
    observed = replace(Observed(autoscaler(), scale(2), Memory(), pods(2), [reading(2, 100)]), **change)
    decision = decide(observed, NOW)
    assert reasons(decision)[0] == event
    assert said(decision, "ScalingActive") == ("False", reason)


# -- what is asked


class Answers:
    """A client of which only `raw` is asked. pages: by the path without its query."""

    def __init__(self, pages: dict[str, Any]) -> None:
        self.pages = pages
        self.asked: list[str] = []

    async def raw(self, method: str, path: str, body: Any = None) -> bytes:
        self.asked.append(path)
        found = self.pages.get(path.partition("?")[0])
        if found is None:
            raise NotFound("the server could not find the requested resource")
        return orjson.dumps({"items": found})


def read(pages: dict[str, Any], metric: dict[str, Any]) -> Reading | Problem:
    client: Any = Answers(pages)
    asked: Client = client
    return asyncio.run(measure.read(asked, DEFAULT, "default", metric, "app=web"))


STAMP = "2030-01-01T12:00:00Z"


def test_resource_metrics_are_sums_over_containers() -> None:
    two = [{"name": "c", "usage": {"cpu": "100m"}}, {"name": "d", "usage": {"cpu": "20000000n"}}]
    bare = [{"name": "c", "usage": {}}]
    pages = {
        "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods": [
            {"metadata": {"name": "a"}, "timestamp": STAMP, "window": "1m30s", "containers": two},
            {"metadata": {"name": "b"}, "timestamp": STAMP, "window": "15s", "containers": bare},
        ]
    }
    found = read(pages, CPU)
    assert isinstance(found, Reading)
    assert found.samples == {"a": Sample(120, NOW, 90)}
    target = {"type": "AverageValue", "averageValue": "1"}
    one = {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "d", "target": target}}
    found = read(pages, one)
    assert isinstance(found, Reading)
    assert found.samples == {"a": Sample(20, NOW, 90)}


PODS = {"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "1"}}}
OBJECT = {
    "type": "Object",
    "object": {
        "describedObject": {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "main"},
        "metric": {"name": "rps", "selector": {"matchLabels": {"verb": "GET"}}},
        "target": {"type": "Value", "value": "1"},
    },
}


def test_custom_and_external_metrics() -> None:
    item = {"describedObject": {"name": "a"}, "timestamp": STAMP, "windowSeconds": 30, "value": "2500m"}
    found = read({"/apis/custom.metrics.k8s.io/v1beta1/namespaces/default/pods/*/rps": [item]}, PODS)
    assert found == Reading({"a": Sample(2500, NOW, 30)})
    path = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/ingresses.networking.k8s.io/main/rps"
    assert read({path: [item]}, OBJECT) == Reading(milli=2500)
    path = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/queue"
    assert read({path: [{"value": "3"}, {"value": "4500m"}]}, QUEUE) == Reading(milli=7500)


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        (CPU, "metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)"),
        (
            PODS,
            "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered",
        ),
        (QUEUE, "unable to get external metric default/queue/nil: unable to fetch metrics from external metrics API"),
        ({"type": "Sun"}, 'unknown metric source type "Sun"'),
    ],
)
def test_metrics_that_nobody_serves(metric: dict[str, Any], text: str) -> None:
    found = read({}, metric)
    assert isinstance(found, Problem)
    assert text in found.text


def test_an_answer_that_cannot_be_read_is_a_problem() -> None:
    path = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/queue"
    assert isinstance(read({path: [{"value": "many"}]}, QUEUE), Problem)
    assert isinstance(read({path: [{}]}, QUEUE), Problem)


def test_words() -> None:
    chosen = {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "k", "operator": "In", "values": ["x", "y"]}]}
    assert selector_text(chosen) == (
        "&LabelSelector{MatchLabels:map[string]string{a: b,},MatchExpressions:[]LabelSelectorRequirement{"
        "LabelSelectorRequirement{Key:k,Operator:In,Values:[x y],},},}"
    )
    assert selector_text(None) == "nil"
    assert window_s("1m30.5s") == 90.5


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ({"apiVersion": "v9", "kind": "Sun", "name": "x"}, 'no matches for kind "Sun"'),
        ({"apiVersion": "stars/v1", "kind": "Sun", "name": "x"}, 'no matches for kind "Sun" in group "stars"'),
        ({"apiVersion": "a/b/c", "kind": "Sun", "name": "x"}, "unexpected GroupVersion string: a/b/c"),
        ({"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}, "could not find the requested resource"),
    ],
)
def test_targets_that_are_not_there(reference: dict[str, str], text: str) -> None:
    client: Any = Answers({})
    observed = Observed(autoscaler(scaleTargetRef=reference), Problem(""), Memory())
    found = asyncio.run(Autoscaler(DEFAULT).confirm(client, observed)).scale
    assert isinstance(found, Problem)
    assert text in found.text
