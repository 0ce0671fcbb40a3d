"""Budgets, namespaces, accounts and aggregated roles: their plans alone."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.base.clock import rfc3339
from navarch.controllers import clusterrole, disruption, namespace, staleness
from navarch.controllers.options import Options
from navarch.controllers.plan import Delete, Event, Failure, Patch, Plan, Status, Update, merge_diff
from navarch.kinds import CLUSTERROLE, CONFIGMAP, NAMESPACE, POD, PODDISRUPTIONBUDGET, ROLE
from navarch.kinds.object import Object
from navarch.objects.patch import merge_patch
from tests.unit.controllers.conftest import NOW, Make, ago


def budget(make: Make, status: dict[str, Any] | None = None, **spec: Any) -> Object:
    spec = {"selector": {"matchLabels": {"app": "web"}}, **spec}
    return make.object(PODDISRUPTIONBUDGET, "b", spec=spec, status=status or {})


def counts(found: Plan) -> tuple[int, int, int, int]:
    assert isinstance(found.status, Status)
    status = found.status.status
    return status["expectedPods"], status["desiredHealthy"], status["currentHealthy"], status["disruptionsAllowed"]


@pytest.mark.parametrize(
    ("spec", "healthy", "sick", "scale", "wanted"),
    [
        ({"minAvailable": 2}, 3, 0, None, (3, 2, 3, 1)),
        ({"minAvailable": 2}, 1, 2, None, (3, 2, 1, 0)),
        ({"minAvailable": "50%"}, 5, 0, 5, (5, 3, 5, 2)),
        ({"maxUnavailable": 1}, 4, 1, 5, (5, 4, 4, 0)),
        ({"maxUnavailable": "30%"}, 5, 0, 5, (5, 3, 5, 2)),
        ({"maxUnavailable": 9}, 3, 0, 3, (3, 0, 3, 3)),
        ({"minAvailable": 0}, 0, 0, None, (0, 0, 0, 0)),
        ({}, 3, 0, None, (0, 0, 3, 0)),
    ],
)
def test_how_many_may_go(
    make: Make, spec: dict[str, Any], healthy: int, sick: int, scale: int | None, wanted: tuple[int, int, int, int]
) -> None:
    pods = [make.pod(f"h{n}") for n in range(healthy)] + [make.pod(f"s{n}", ready_s=None) for n in range(sick)]
    found = disruption.plan(disruption.Observed(budget(make, **spec), pods, scale or 0), NOW)
    assert counts(found) == wanted
    assert isinstance(found.status, Status)
    (condition,) = found.status.status["conditions"]
    assert condition["status"] == ("True" if wanted[3] else "False")
    assert condition["reason"] == ("SufficientPods" if wanted[3] else "InsufficientPods")


def test_a_percentage_needs_a_controller_that_says_of_what(make: Make) -> None:
    why = 'found no controllers for pod "alone"'
    before = {"expectedPods": 5, "desiredHealthy": 4, "currentHealthy": 5, "disruptionsAllowed": 1}
    guarded = budget(make, before, maxUnavailable="30%")
    found = disruption.plan(disruption.Observed(guarded, [make.pod("alone")], problem=why), NOW)
    assert counts(found) == (5, 4, 5, 0), "nobody may go; the rest is as it was"
    assert isinstance(found.status, Status)
    (condition,) = found.status.status["conditions"]
    assert (condition["status"], condition["reason"], condition["message"]) == ("False", "SyncFailed", why)
    message = f"Failed to calculate the number of expected pods: {why}"
    assert found.actions == (Event(guarded, "CalculateExpectedPodCountFailed", message, "Warning"),)
    told = budget(make, found.status.status, maxUnavailable="30%")
    again = disruption.plan(disruption.Observed(told, [make.pod("alone")], problem=why), NOW)
    assert (again.actions, again.status) == ((), Status(told, told.document()["status"]))


def test_pods_without_a_controller_are_told_of_and_not_counted(make: Make) -> None:
    found = disruption.plan(disruption.Observed(budget(make, maxUnavailable=1), [make.pod("alone")], 0, True), NOW)
    (event,) = found.actions
    assert isinstance(event, Event)
    assert (event.reason, event.type) == ("UnmanagedPods", "Warning")
    shown = "&LabelSelector{MatchLabels:map[string]string{app: web,},MatchExpressions:[]LabelSelectorRequirement{},}"
    assert f"(selector: {shown}) were found to be unmanaged." in event.message
    assert counts(found) == (0, 0, 1, 0)


SIZES = st.one_of(st.integers(0, 12), st.integers(0, 130).map(lambda share: f"{share}%"))


@given(
    st.dictionaries(st.sampled_from(["minAvailable", "maxUnavailable"]), SIZES, max_size=1),
    st.lists(st.tuples(st.booleans(), st.booleans(), st.one_of(st.none(), st.integers(-50, 300))), max_size=12),
    st.integers(0, 12),
)
def test_no_more_may_go_than_there_are_healthy_ones_to_spare(
    spec: dict[str, Any], rows: list[tuple[bool, bool, int | None]], scale: int
) -> None:
    make = Make()
    pods, marked = [], {}
    for number, (ready, deleting, marked_s) in enumerate(rows):
        name = f"p{number}"
        pods.append(make.pod(name, ready_s=1 if ready else None, deleting=deleting))
        if marked_s is not None:
            marked[name] = ago(marked_s)
    found = disruption.plan(disruption.Observed(budget(make, {"disruptedPods": marked}, **spec), pods, scale), NOW)
    expected, desired, healthy, allowed = counts(found)
    assert allowed == 0 or (expected > 0 and allowed <= healthy - desired)
    under_way = [row for row in rows if row[0] and not row[1] and row[2] is not None and row[2] <= 120]
    standing = [row for row in rows if row[0] and not row[1]]
    assert healthy == len(standing) - len(under_way), "who is about to go counts for nothing"
    if isinstance(spec.get("minAvailable"), int):
        assert healthy - allowed >= min(healthy, spec["minAvailable"])


def test_a_disruption_that_did_not_come_is_off_after_two_minutes(make: Make) -> None:
    def marked(since_s: float, reason: str = "EvictionByEvictionAPI", **more: Any) -> Object:
        document = make.pod("p", **more).document()
        mark = {"type": "DisruptionTarget", "status": "True", "reason": reason, "lastTransitionTime": ago(since_s)}
        document["status"]["conditions"].append(mark)
        return Object.of(POD, document)

    assert staleness.plan(marked(30), NOW) == Plan(requeue_after_s=90)
    found = staleness.plan(marked(120), NOW)
    assert isinstance(found.status, Status)
    assert found.status.status["conditions"][-1] == {
        "type": "DisruptionTarget",
        "status": "False",
        "lastTransitionTime": ago(0),
    }
    for left in (
        marked(500, "TerminationByKubelet"),
        marked(500, phase="Failed"),
        marked(500, deleting=True),
        make.pod("p"),
    ):
        assert staleness.plan(left, NOW) == Plan()


def test_pods_under_eviction_do_not_count_for_two_minutes(make: Make) -> None:
    marked = {"disruptedPods": {"a": rfc3339(NOW - timedelta(seconds=30)), "gone": ago(1)}, "observedGeneration": 1}
    pods = [make.pod("a"), make.pod("b"), make.pod("c")]
    found = disruption.plan(disruption.Observed(budget(make, marked, minAvailable=1), pods), NOW)
    assert counts(found) == (3, 1, 2, 1)
    assert isinstance(found.status, Status)
    assert list(found.status.status["disruptedPods"]) == ["a"]
    assert found.requeue_after_s == 91
    late = {"disruptedPods": {"a": ago(121)}, "observedGeneration": 1}
    found = disruption.plan(disruption.Observed(budget(make, late, minAvailable=1), pods), NOW)
    assert counts(found) == (3, 1, 3, 2)
    assert [action.reason for action in found.actions if isinstance(action, Event)] == ["NotDeleted"]


def closing(make: Make, **parts: Any) -> Object:
    spec = {"finalizers": ["kubernetes", "other"]}
    return make.object(NAMESPACE, "shop", metadata={"deletionTimestamp": ago(1)}, spec=spec, **parts)


def test_pods_go_before_everything_else(make: Make) -> None:
    pod, config = make.pod("p"), make.object(CONFIGMAP, "c")
    found = namespace.plan(namespace.Observed(closing(make), {CONFIGMAP: [config], POD: [pod]}), NOW)
    assert found.actions == (Delete(pod, propagation="Background"),)
    found = namespace.plan(namespace.Observed(closing(make), {CONFIGMAP: [config]}), NOW)
    assert found.actions == (Delete(config, propagation="Background"),)
    assert found.requeue_after_s == 0


def test_what_remains_is_a_condition(make: Make) -> None:
    held = make.object(CONFIGMAP, "c", metadata={"deletionTimestamp": ago(1), "finalizers": ["example.com/x"]})
    found = namespace.plan(namespace.Observed(closing(make), {CONFIGMAP: [held]}), NOW)
    assert found.actions == ()
    assert isinstance(found.status, Status)
    conditions = {c["type"]: (c["status"], c["message"]) for c in found.status.status["conditions"]}
    remaining = "Some resources are remaining: configmaps. has 1 resource instances"
    assert conditions["NamespaceContentRemaining"] == ("True", remaining)
    assert conditions["NamespaceFinalizersRemaining"][0] == "True"
    assert conditions["NamespaceDeletionContentFailure"][0] == "False"


def test_while_there_are_pods_nothing_else_is_told_of(make: Make) -> None:
    pod, config = make.pod("p"), make.object(CONFIGMAP, "c", metadata={"finalizers": ["example.com/x"]})
    found = namespace.plan(namespace.Observed(closing(make), {CONFIGMAP: [config], POD: [pod]}), NOW)
    assert told(found)["NamespaceContentRemaining"] == "Some resources are remaining: pods. has 1 resource instances"
    assert told(found)["NamespaceFinalizersRemaining"] == "All content-preserving finalizers finished"


@pytest.mark.parametrize(
    ("grace_s", "phase", "late"), [(0, "Running", True), (30, "Running", False), (30, "Failed", True)]
)
def test_pods_that_stay_longer_than_they_may_are_told_of(make: Make, grace_s: int, phase: str, late: bool) -> None:
    spec = {"terminationGracePeriodSeconds": grace_s}
    pod = make.object(POD, "p", metadata={"deletionTimestamp": ago(1)}, spec=spec, status={"phase": phase})
    found = namespace.plan(namespace.Observed(closing(make), {POD: [pod]}), NOW)
    assert found.actions == ()
    message = (
        "Failed to delete all resource types, 1 remaining: unexpected items still remain in namespace: shop "
        "for gvr: /v1, Resource=pods"
    )
    done = "All content successfully deleted, may be waiting on finalization"
    assert told(found)["NamespaceDeletionContentFailure"] == (message if late else done)


def test_of_each_kind_that_could_not_be_deleted_one_reason_is_told(make: Make) -> None:
    configs, roles = [make.object(CONFIGMAP, name) for name in "ab"], [make.object(ROLE, "r")]
    found = namespace.plan(namespace.Observed(closing(make), {CONFIGMAP: configs, ROLE: roles}), NOW)
    assert found.failed is not None
    failures = [Failure(action, ValueError(f"no {number}")) for number, action in enumerate(found.actions)]
    (status,) = found.failed(failures)
    assert isinstance(status, Status)
    message = "Failed to delete all resource types, 2 remaining: no 0, no 2"
    assert told(Plan(status=status))["NamespaceDeletionContentFailure"] == message


def told(found: Plan) -> dict[str, str]:
    assert found.status is not None
    return {one["type"]: one["message"] for one in found.status.status["conditions"]}


def test_an_empty_namespace_is_let_go(make: Make) -> None:
    found = namespace.plan(namespace.Observed(closing(make)), NOW)
    status, update = found.actions
    assert isinstance(status, Status)
    assert {c["status"] for c in status.status["conditions"]} == {"False"}
    assert isinstance(update, Update)
    assert update.subresource == "finalize"
    assert update.document["spec"]["finalizers"] == ["other"]


def test_rules_are_joined_without_doubles(make: Make) -> None:
    pods, nodes = {"verbs": ["get"], "resources": ["pods"]}, {"verbs": ["get"], "resources": ["nodes"]}
    role = make.object(CLUSTERROLE, "all", aggregationRule={"clusterRoleSelectors": []}, rules=[])
    parts = [make.object(CLUSTERROLE, "a", rules=[pods, nodes]), make.object(CLUSTERROLE, "b", rules=[pods])]
    assert clusterrole.plan(clusterrole.Observed(role, parts), NOW).actions == (Patch(role, {"rules": [pods, nodes]}),)
    done = make.object(CLUSTERROLE, "all", aggregationRule={"clusterRoleSelectors": []}, rules=[pods, nodes])
    assert clusterrole.plan(clusterrole.Observed(done, parts), NOW).actions == ()


def test_rules_come_selector_by_selector(make: Make) -> None:
    selectors = [{"matchLabels": {"part": "late"}}, {"matchLabels": {"part": "early"}}]
    role = make.object(CLUSTERROLE, "all", aggregationRule={"clusterRoleSelectors": selectors})
    parts = [make.object(CLUSTERROLE, name, metadata={"labels": {"part": part}}) for name, part in PARTS]
    cache = {CLUSTERROLE: SimpleNamespace(get=lambda *key: role, list=lambda: [role, *parts])}
    found = clusterrole.observe(cache, ("", "all"))  # type: ignore[arg-type]
    assert found is not None
    assert [one.name for one in found.parts] == ["b", "c", "a"]


PARTS = (("c", "late"), ("a", "early"), ("b", "late"))


def test_options_have_the_values_of_an_ordinary_installation() -> None:
    assert Options().node_grace_s == 12


json = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=3),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=2), below, max_size=3),
    max_leaves=10,
)
documents = st.dictionaries(st.sampled_from("abc"), json, max_size=3)


@given(documents, documents)
def test_a_merge_diff_leads_from_one_document_to_the_other(old: dict[str, Any], new: dict[str, Any]) -> None:
    changes = merge_diff(old, new)
    assert merge_patch(old, changes) == new
    assert merge_diff(new, new) == {}
