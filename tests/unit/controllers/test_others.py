"""Budgets, namespaces, accounts and aggregated roles: their plans alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.base.clock import rfc3339
from navarch.controllers import clusterrole, disruption, namespace
from navarch.controllers.options import Options
from navarch.controllers.plan import Delete, Event, Patch, Plan, Status, Update, merge_diff
from navarch.kinds import CLUSTERROLE, CONFIGMAP, NAMESPACE, POD, PODDISRUPTIONBUDGET
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
    ],
)
def test_how_many_may_go(
    make: Make, spec: dict[str, Any], healthy: int, sick: int, scale: int | None, wanted: tuple[int, int, int, int]
) -> None:
    pods = [make.pod(f"h{n}") for n in range(healthy)] + [make.pod(f"s{n}", ready_s=None) for n in range(sick)]
    found = disruption.plan(disruption.Observed(budget(make, **spec), pods, scale, "x"), NOW)
    assert counts(found) == wanted
    assert isinstance(found.status, Status)
    (condition,) = found.status.status["conditions"]
    assert condition["status"] == ("True" if wanted[3] else "False")
    assert condition["reason"] == ("SufficientPods" if wanted[3] else "InsufficientPods")


def test_a_percentage_needs_a_controller_that_says_of_what(make: Make) -> None:
    seen = disruption.Observed(budget(make, maxUnavailable="30%"), [make.pod("alone")], None, "alone")
    found = disruption.plan(seen, NOW)
    assert counts(found)[3] == 0
    assert isinstance(found.status, Status)
    assert found.status.status["conditions"][0]["reason"] == "SyncFailed"
    assert [action.reason for action in found.actions if isinstance(action, Event)] == [
        "CalculateExpectedPodCountFailed"
    ]


def test_pods_under_eviction_do_not_count_for_two_minutes(make: Make) -> None:
    marked = {"disruptedPods": {"a": rfc3339(NOW - timedelta(seconds=30)), "gone": ago(1)}, "observedGeneration": 1}
    pods = [make.pod("a"), make.pod("b"), make.pod("c")]
    found = disruption.plan(disruption.Observed(budget(make, marked, minAvailable=1), pods, None), NOW)
    assert counts(found) == (3, 1, 2, 1)
    assert isinstance(found.status, Status)
    assert list(found.status.status["disruptedPods"]) == ["a"]
    assert found.requeue_after_s == 91
    late = {"disruptedPods": {"a": ago(121)}, "observedGeneration": 1}
    found = disruption.plan(disruption.Observed(budget(make, late, minAvailable=1), pods, None), NOW)
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
