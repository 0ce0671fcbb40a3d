"""ReplicaSet and ReplicationController make as many pods as asked for, and lose the cheapest first."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.base.errors import Forbidden
from navarch.controllers.claims import Claim
from navarch.controllers.plan import Create, Delete, Failure, Patch, Plan, Status
from navarch.controllers.ranking import cheapest_first, deletion_cost
from navarch.controllers.replicas import BURST, Observed, plan
from navarch.kinds import REPLICASET, REPLICATIONCONTROLLER
from navarch.kinds.object import Object
from tests.unit.controllers.conftest import NOW, Make, ago

TEMPLATE = {
    "metadata": {"labels": {"app": "web"}, "annotations": {"note": "x"}, "name": "ignored"},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
}


def replicaset(make: Make, replicas: int, **spec: Any) -> Object:
    metadata = spec.pop("metadata", {})
    status = spec.pop("status", {"replicas": 0})
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE, **spec}
    return make.object(REPLICASET, "web", metadata=metadata, spec=spec, status=status)


def status_of(found: Plan) -> dict[str, Any]:
    assert isinstance(found.status, Status)
    return found.status.status


def deleted(found: Plan) -> list[str]:
    return [action.object.name for action in found.actions if isinstance(action, Delete)]


def test_missing_pods_are_made_from_the_template(make: Make) -> None:
    rs = replicaset(make, 3)
    found = plan(Observed(rs, Claim([make.pod("a", owner=rs)])), NOW)
    assert len(found.actions) == 2
    made = found.actions[0]
    assert isinstance(made, Create)
    assert made.document == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "labels": {"app": "web"},
            "annotations": {"note": "x"},
            "generateName": "web-",
            "namespace": "default",
            "ownerReferences": make.owner(rs),
        },
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    assert status_of(found) == {
        "replicas": 1,
        "fullyLabeledReplicas": 1,
        "readyReplicas": 1,
        "availableReplicas": 1,
        "terminatingReplicas": 0,
        "observedGeneration": 1,
    }


def test_the_status_waits_for_the_first_pods(make: Make) -> None:
    rs = replicaset(make, 2)
    found = plan(Observed(rs, Claim([])), NOW)
    assert [type(action) for action in found.actions] == [Create, Create]
    assert found.status is None, "that there is none is told already"
    assert found.failed is not None
    (refused,) = found.failed([Failure(found.actions[0], Forbidden("no"))])
    assert isinstance(refused, Status), "nobody else would tell"
    assert refused.status["conditions"][0]["type"] == "ReplicaFailure"
    lost = replicaset(make, 2, status={"replicas": 2, "readyReplicas": 2})
    assert status_of(plan(Observed(lost, Claim([])), NOW))["replicas"] == 0
    assert status_of(plan(Observed(replicaset(make, 0), Claim([])), NOW))["observedGeneration"] == 1


def test_pods_that_ended_or_are_on_their_way_out_are_replaced(make: Make) -> None:
    rs = replicaset(make, 2)
    pods = [make.pod("failed", owner=rs, phase="Failed"), make.pod("leaving", owner=rs, deleting=True)]
    found = plan(Observed(rs, Claim(pods)), NOW)
    assert len(found.actions) == 2
    assert status_of(found)["terminatingReplicas"] == 1
    assert status_of(found)["replicas"] == 0


def test_a_burst_has_a_limit(make: Make) -> None:
    assert len(plan(Observed(replicaset(make, 2000), Claim()), NOW).actions) == BURST


def test_a_terminating_owner_makes_and_deletes_nothing(make: Make) -> None:
    rs = replicaset(make, 3, metadata={"deletionTimestamp": ago(1)})
    orphan = make.pod("orphan")
    assert plan(Observed(rs, Claim([make.pod("a", owner=rs)], [], [orphan])), NOW).actions == ()


def test_orphans_are_adopted_and_strangers_let_go(make: Make) -> None:
    rs = replicaset(make, 2)
    kept, stranger, orphan = make.pod("a", owner=rs), make.pod("b", owner=rs, labels={"x": "y"}), make.pod("c")
    found = plan(Observed(rs, Claim([kept], [stranger], [orphan])), NOW)
    assert found.actions == (
        Patch(orphan, {"metadata": {"ownerReferences": make.owner(rs)}}),
        Patch(stranger, {"metadata": {"ownerReferences": None}}),
    )
    assert status_of(found)["replicas"] == 2


def test_a_refused_creation_is_a_condition_until_it_works(make: Make) -> None:
    rs = replicaset(make, 1)
    found = plan(Observed(rs, Claim()), NOW)
    assert found.failed is not None
    (written,) = found.failed([Failure(found.actions[0], Forbidden("exceeded quota"))])
    assert isinstance(written, Status)
    assert written.status["conditions"] == [
        {
            "type": "ReplicaFailure",
            "status": "True",
            "reason": "FailedCreate",
            "message": "exceeded quota",
            "lastTransitionTime": ago(0),
        }
    ]
    again = replicaset(make, 0, status=written.status)
    assert "conditions" not in status_of(plan(Observed(again, Claim()), NOW))


def test_minimum_ready_time_makes_a_pod_available_later(make: Make) -> None:
    rs = replicaset(make, 2, minReadySeconds=30)
    pods = [make.pod("old", owner=rs, ready_s=31), make.pod("new", owner=rs, ready_s=10)]
    found = plan(Observed(rs, Claim(pods)), NOW)
    assert status_of(found)["availableReplicas"] == 1
    assert status_of(found)["readyReplicas"] == 2
    assert found.requeue_after_s == 20


def test_a_replication_controller_has_no_count_of_terminating_pods(make: Make) -> None:
    spec = {"replicas": 0, "selector": {"app": "web"}, "template": TEMPLATE}
    rc = make.object(REPLICATIONCONTROLLER, "web", spec=spec)
    assert "terminatingReplicas" not in status_of(plan(Observed(rc, Claim()), NOW))


CHEAPER = [
    ({"node": ""}, {"node": "n1"}),
    ({"phase": "Pending", "ready_s": None}, {"phase": "Running", "ready_s": None}),
    ({"ready_s": None}, {"ready_s": 10}),
    (
        {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-5"}},
        {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "4"}},
    ),
    ({"ready_s": 5}, {"ready_s": 5000}),
    ({"restarts": 4}, {"restarts": 1}),
    ({"ready_s": None, "created_s": 10}, {"ready_s": None, "created_s": 3000}),
]


@pytest.mark.parametrize(("cheap", "dear"), CHEAPER)
def test_which_pod_goes_first(make: Make, cheap: dict[str, Any], dear: dict[str, Any]) -> None:
    rs = replicaset(make, 1)
    pods = [make.pod("dear", owner=rs, **dear), make.pod("cheap", owner=rs, **cheap)]
    for order in permutations(pods):
        assert deleted(plan(Observed(rs, Claim(order)), NOW)) == ["cheap"]


def test_of_two_nodes_the_fuller_one_loses(make: Make) -> None:
    rs = replicaset(make, 2)
    pods = [make.pod("a", owner=rs, node="n1"), make.pod("b", owner=rs, node="n2"), make.pod("c", owner=rs, node="n2")]
    assert deleted(plan(Observed(rs, Claim(pods)), NOW)) in (["b"], ["c"])
    other = [make.pod("x", node="n1"), make.pod("y", node="n1")]
    assert deleted(plan(Observed(rs, Claim(pods), related=[*pods, *other]), NOW)) == ["a"]


def test_costs_that_are_no_numbers_count_as_none(make: Make) -> None:
    for text, cost in (("7", 7), ("-7", -7), ("+7", 0), ("007", 0), ("x", 0), ("99999999999", 0), ("", 0)):
        pod = make.pod("p", annotations={"controller.kubernetes.io/pod-deletion-cost": text})
        assert deletion_cost(pod.view) == cost


pod_shapes = st.fixed_dictionaries(
    {
        "phase": st.sampled_from(["Pending", "Running", "Running", "Succeeded", "Failed"]),
        "ready_s": st.none() | st.integers(0, 5000),
        "node": st.sampled_from(["", "n1", "n2"]),
        "deleting": st.booleans(),
        "restarts": st.integers(0, 3),
        "created_s": st.integers(0, 5000),
    }
)


@given(st.integers(0, 12), st.lists(pod_shapes, max_size=12))
def test_the_outcome_has_exactly_the_replicas_asked_for(replicas: int, shapes: Sequence[dict[str, Any]]) -> None:
    make = Make()
    rs = replicaset(make, replicas)
    pods = [make.pod(f"p{number}", owner=rs, **shape) for number, shape in enumerate(shapes)]
    live = [pod for pod in pods if pod.view.live]
    found = plan(Observed(rs, Claim(pods)), NOW)
    made = sum(isinstance(action, Create) for action in found.actions)
    gone = deleted(found)
    assert made == 0 or not gone
    assert len(live) + made - len(gone) == replicas
    assert set(gone) <= {pod.name for pod in live}
    assert len(set(gone)) == len(gone)
    kept_ready = [pod for pod in live if pod.view.ready and pod.name not in gone and pod.view.spec.node_name]
    lost_ready = [pod for pod in live if pod.view.ready and pod.name in gone and pod.view.spec.node_name]
    unready = [pod for pod in live if not pod.view.ready and pod.view.status.phase == "Pending"]
    if lost_ready and kept_ready:
        assert all(pod.name in gone for pod in unready), "nothing ready is lost while something pending is kept"


@given(st.lists(pod_shapes, max_size=8), st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_the_order_of_the_cache(shapes: Sequence[dict[str, Any]], random: Any) -> None:
    make = Make()
    pods = [make.pod(f"p{number}", **shape) for number, shape in enumerate(shapes)]
    shuffled = list(pods)
    random.shuffle(shuffled)
    first = [pod.view.ready for pod in cheapest_first(pods, pods, NOW)]
    assert first == [pod.view.ready for pod in cheapest_first(shuffled, shuffled, NOW)]


def test_pods_let_go_are_not_counted_as_on_their_way_out(make: Make) -> None:
    rs = replicaset(make, 0)
    kept, lost = make.pod("kept", owner=rs, deleting=True), make.pod("lost", owner=rs, deleting=True, labels={})
    found = plan(Observed(rs, Claim([kept], [lost])), NOW)
    assert status_of(found)["terminatingReplicas"] == 1
