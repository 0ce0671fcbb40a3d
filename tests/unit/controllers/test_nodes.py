"""Nodes that fall silent, the taints of their conditions, who has to leave when, and their ranges of addresses."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.client.lease import ALIVE
from navarch.controllers import podgc
from navarch.controllers.node import eviction, lifecycle, ranges, taints
from navarch.controllers.node.lifecycle import Observed, plan
from navarch.controllers.node.ranges import BY_RANGE, Pool
from navarch.controllers.options import Setup
from navarch.controllers.plan import Delete, Event, Patch, Plan, Status
from navarch.kinds import NODE
from navarch.kinds.node import Taint
from navarch.kinds.object import Object
from navarch.kinds.podspec.fits import tolerates
from navarch.kinds.podspec.placement import Toleration
from tests.unit.controllers.conftest import NOW, Make, ago
from tests.unit.controllers.lately import Lately


def node(make: Make, ready: str = "True", heard_s: float = 5, **spec: Any) -> Object:
    times = {"lastHeartbeatTime": ago(heard_s), "lastTransitionTime": ago(500)}
    conditions = [{"type": "Ready", "status": ready, "reason": "KubeletReady", **times}] if ready else []
    return make.object(NODE, "n1", spec=spec, status={"conditions": conditions, "capacity": {"cpu": "1"}})


def seen(found: Object, last: datetime | None = ALIVE, others: bool = True, pods: Any = ()) -> Plan:
    return plan(Observed(found, last, others, 12.0, pods), NOW)


def keys_of(found: Plan) -> list[tuple[str, str]] | None:
    for action in found.actions:
        if isinstance(action, Patch) and action.object.kind is NODE:
            return [(taint["key"], taint["effect"]) for taint in action.changes["spec"]["taints"] or ()]
    return None


def test_a_node_that_is_heard_of_is_left_alone(make: Make) -> None:
    assert seen(node(make)) == Plan()
    found = seen(node(make), NOW - timedelta(seconds=2))
    assert found == Plan(requeue_after_s=10)


def test_the_status_of_a_node_is_a_sign_of_life_too(make: Make) -> None:
    assert seen(node(make, heard_s=3), None).requeue_after_s == 9


def test_silence_makes_it_unknown_tainted_and_its_pods_unready(make: Make) -> None:
    pods = [make.pod("a"), make.pod("b", ready_s=None), make.pod("c", phase="Succeeded")]
    found = seen(node(make, heard_s=60), NOW - timedelta(seconds=12), pods=pods)
    status = found.actions[0]
    assert isinstance(status, Status)
    conditions = {c["type"]: c for c in status.status["conditions"]}
    assert set(conditions) == {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"}
    assert (conditions["Ready"]["status"], conditions["Ready"]["reason"]) == ("Unknown", "NodeStatusUnknown")
    assert conditions["Ready"]["lastTransitionTime"] == ago(0)
    assert conditions["Ready"]["lastHeartbeatTime"] == ago(60)
    assert conditions["MemoryPressure"]["reason"] == "NodeStatusNeverUpdated"
    assert conditions["MemoryPressure"]["lastHeartbeatTime"] == ago(3600), "when the node came"
    assert status.status["capacity"] == {"cpu": "1"}
    assert keys_of(found) == [(taints.UNREACHABLE, "NoSchedule"), (taints.UNREACHABLE, "NoExecute")]
    unready = [a for a in found.actions if isinstance(a, Status) and a.object.kind is not NODE]
    assert [action.object.name for action in unready] == ["a"]
    reasons = [(action.reason, action.about.name) for action in found.actions if isinstance(action, Event)]
    assert reasons == [("NodeNotReady", "n1"), ("NodeNotReady", "a")]
    assert found.requeue_after_s is None


def test_a_node_that_is_unknown_already_is_written_once(make: Make) -> None:
    conditions = [
        {"type": type_, "status": "Unknown", "reason": "x", "lastTransitionTime": ago(50)}
        for type_ in ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
    ]
    present = [{"key": taints.UNREACHABLE, "effect": effect} for effect in ("NoSchedule", "NoExecute")]
    found = make.object(NODE, "n1", spec={"taints": present}, status={"conditions": conditions})
    assert seen(found, NOW - timedelta(seconds=60)).actions == ()


def test_a_node_that_never_spoke_has_a_minute(make: Make) -> None:
    young = make.object(NODE, "n1", metadata={"creationTimestamp": ago(50)}, spec={}, status={})
    assert seen(young, None) == Plan(requeue_after_s=10)
    old = make.object(NODE, "n1", metadata={"creationTimestamp": ago(61)}, spec={}, status={})
    assert isinstance(seen(old, None).actions[0], Status)


def test_while_no_node_is_ready_nobody_is_evicted(make: Make) -> None:
    assert keys_of(seen(node(make, "False"), others=False)) == [(taints.NOT_READY, "NoSchedule")]
    assert keys_of(seen(node(make, "False"))) == [(taints.NOT_READY, "NoSchedule"), (taints.NOT_READY, "NoExecute")]


def test_a_node_that_is_back_loses_our_taints_and_no_others(make: Make) -> None:
    own = {"key": "example.com/mine", "effect": "NoExecute"}
    present = [
        {"key": taints.UNREACHABLE, "effect": "NoExecute"},
        own,
        {"key": taints.NOT_READY, "effect": "NoSchedule"},
    ]
    found = seen(node(make, taints=present))
    assert found.actions == (Patch(node_of(found), {"spec": {"taints": [own]}}),)


def node_of(found: Plan) -> Object:
    action = found.actions[0]
    assert isinstance(action, Patch)
    return action.object


def test_unschedulable_and_pressure_are_taints(make: Make) -> None:
    document = node(make, unschedulable=True).document()
    document["status"]["conditions"].append({"type": "DiskPressure", "status": "True"})
    found = seen(Object.of(NODE, document))
    assert keys_of(found) == [
        ("node.kubernetes.io/disk-pressure", "NoSchedule"),
        ("node.kubernetes.io/unschedulable", "NoSchedule"),
    ]


def test_a_process_that_was_stopped_does_not_blame_the_nodes() -> None:
    lately = Lately()
    ears = lifecycle.Ears(Setup(lately, lately))
    lately.seen = {"a": NOW, "b": NOW}
    assert ears.last_heard("a") == ears.last_heard("b") == NOW
    lately.moment += timedelta(seconds=12)
    assert ears.last_heard("a") == NOW, "in time: the node is silent"
    assert not ears.hears("a")
    lately.seen["a"] = lately.moment
    ears.last_heard("a")
    lately.moment += timedelta(hours=1)
    assert ears.last_heard("a") == lately.moment, "an hour late: everybody starts anew"
    assert ears.hears("b")
    lately.moment += timedelta(seconds=12)
    assert not ears.hears("b")


# taints and tolerations


def toleration(
    key: str = "", operator: str = "Equal", value: str = "", effect: str = "", s: int | None = None
) -> Toleration:
    return Toleration(key=key, operator=operator, value=value, effect=effect, toleration_seconds=s)


@pytest.mark.parametrize(
    ("given_toleration", "wanted"),
    [
        (toleration("a", "Exists"), True),
        (toleration("a", "Equal", "x"), True),
        (toleration("a", "Equal", "y"), False),
        (toleration("b", "Exists"), False),
        (toleration("", "Exists"), True),
        (toleration("", "Equal", "x"), False),
        (toleration("a", "Exists", effect="NoExecute"), True),
        (toleration("a", "Exists", effect="NoSchedule"), False),
        (toleration("a", "Gt", "3"), False),
    ],
)
def test_who_tolerates_what(given_toleration: Toleration, wanted: bool) -> None:
    assert tolerates(given_toleration, Taint(key="a", value="x", effect="NoExecute")) is wanted


def test_numbers_may_be_compared() -> None:
    taint = Taint(key="a", value="5", effect="NoExecute")
    assert tolerates(toleration("a", "Gt", "3"), taint)
    assert tolerates(toleration("a", "Lt", "7"), taint)
    assert not tolerates(toleration("a", "Lt", "3"), taint)


def executing(key: str, at: datetime = NOW) -> Taint:
    return Taint(key=key, effect="NoExecute", time_added=at)


def test_who_leaves_when() -> None:
    one, two = executing("a", NOW - timedelta(seconds=4)), executing("b")
    assert taints.leaves_at([one], [], NOW) == NOW
    assert taints.leaves_at([one], [toleration("a", "Exists")], NOW) is None
    assert taints.leaves_at([one], [toleration("a", "Exists", s=10)], NOW) == NOW + timedelta(seconds=6)
    both = [toleration("a", "Exists", s=100), toleration("b", "Exists", s=10)]
    assert taints.leaves_at([one, two], both, NOW) == NOW + timedelta(seconds=10)
    assert taints.leaves_at([one, two], both[:1], NOW) == NOW
    ever, soon = [toleration("a", "Exists")], [toleration("a", "Exists", s=10)]
    assert taints.leaves_at([one], ever + soon, NOW) is None, "the first one counts"
    assert taints.leaves_at([one], soon + ever, NOW) == NOW + timedelta(seconds=6)
    assert taints.leaves_at([one], [toleration("a", "Exists", s=10**15)], NOW) == datetime.max.replace(
        tzinfo=NOW.tzinfo
    )


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=3, unique=True), st.booleans(), st.booleans())
def test_taints_of_ours_are_exactly_those_that_are_wanted(keys: list[str], unschedulable: bool, silent: bool) -> None:
    present = [{"key": key, "effect": "NoExecute"} for key in keys] + [
        {"key": taints.NOT_READY, "effect": "NoSchedule"}
    ]
    wanted = taints.wanted([("Ready", "Unknown")] if silent else [], unschedulable, True)
    made = taints.changed(present, wanted, NOW)
    found = [(taint["key"], taint["effect"]) for taint in made]
    assert [key for key in found if taints.managed(key)] == wanted
    assert [key for key, _ in found if key in ("a", "b", "c")] == keys
    assert taints.changed(made, wanted, NOW) == made


def test_a_pod_is_evicted_when_its_patience_ends(make: Make) -> None:
    pod = make.pod("a")
    found = eviction.plan(eviction.Observed(pod, [executing("a")]), NOW)
    status, event, delete = found.actions
    assert isinstance(status, Status)
    assert status.status["conditions"][-1]["reason"] == "DeletionByTaintManager"
    assert isinstance(event, Event)
    assert delete == Delete(pod)
    document = pod.document()
    document["spec"]["tolerations"] = [{"key": "a", "operator": "Exists", "tolerationSeconds": 7}]
    patient = Object.of(pod.kind, document)
    assert eviction.plan(eviction.Observed(patient, [executing("a")]), NOW) == Plan(requeue_after_s=7)


def test_a_pod_that_may_stay_after_all_is_told(make: Make) -> None:
    pod = make.pod("a")
    message = "Cancelling deletion of Pod default/a"
    assert eviction.plan(eviction.Observed(pod, []), NOW) == Plan((Event(pod, "TaintManagerEviction", message),))


def test_all_nodes_are_looked_at_when_the_last_ready_one_goes() -> None:
    class Nodes:
        def __init__(self, ready: int) -> None:
            self.ready = ready

        def __getitem__(self, kind: Any) -> Any:
            return self

        def count(self, index: str, value: str) -> int:
            return self.ready

        def list(self) -> list[Object]:
            return [Make().object(NODE, name) for name in "ab"]

    changed = Make().object(NODE, "a")
    assert list(lifecycle.keys(Nodes(5), changed)) == [("", "a")]  # type: ignore[arg-type]
    assert list(lifecycle.keys(Nodes(1), changed)) == [("", "a"), ("", "b")]  # type: ignore[arg-type]


# ranges


class Taken:
    """The nodes' ranges as the cache knows them."""

    def __init__(self) -> None:
        self.ranges: dict[str, str] = {}

    def __getitem__(self, kind: Any) -> Any:
        return self

    def count(self, index: str, value: str) -> int:
        assert index == BY_RANGE
        return list(self.ranges.values()).count(value)

    def get(self, namespace: str, name: str) -> Object:
        cidr = self.ranges.get(name)
        return Make().object(NODE, name, spec={"podCIDR": cidr, "podCIDRs": [cidr]} if cidr else {})


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=60))
def test_no_range_is_given_twice(history: list[tuple[int, bool]]) -> None:
    pool, taken, make = Pool("10.0.0.0/21", 24), Taken(), Make()
    pending: dict[str, str] = {}
    for number, leaves in history:
        name = f"n{number}"
        if leaves:
            taken.ranges.pop(name, None)
        elif name not in taken.ranges:
            cidr = pool.choose(taken, make.object(NODE, name))  # type: ignore[arg-type]
            if cidr:
                assert cidr not in [other for key, other in {**taken.ranges, **pending}.items() if key != name]
                pending[name] = cidr
        if number % 2:
            taken.ranges |= pending
            pending.clear()
    assert len(set(taken.ranges.values())) == len(taken.ranges)


def test_a_range_that_was_refused_is_free_again(make: Make) -> None:
    """The node had another one, which the cache did not show yet."""
    pool, taken = Pool("10.0.0.0/24", 24), Taken()
    assert pool.choose(taken, make.object(NODE, "a")) == "10.0.0.0/24"  # type: ignore[arg-type]
    assert pool.choose(taken, make.object(NODE, "b")) == ""  # type: ignore[arg-type]
    taken.ranges["a"] = "10.9.0.0/24"
    assert pool.choose(taken, make.object(NODE, "b")) == "10.0.0.0/24"  # type: ignore[arg-type]


def test_no_range_is_given_while_those_of_the_process_before_are_unknown(make: Make) -> None:
    assert ranges.plan(ranges.Observed(make.object(NODE, "a"), None), NOW) == Plan(requeue_after_s=0.1)


def test_a_pool_runs_out_and_refills(make: Make) -> None:
    pool, taken = Pool("10.0.0.0/23", 24), Taken()
    for name in "ab":
        taken.ranges[name] = pool.choose(taken, make.object(NODE, name))  # type: ignore[arg-type]
    assert sorted(taken.ranges.values()) == ["10.0.0.0/24", "10.0.1.0/24"]
    assert pool.choose(taken, make.object(NODE, "c")) == ""  # type: ignore[arg-type]
    freed = taken.ranges.pop("a")
    assert pool.choose(taken, make.object(NODE, "c")) == freed  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no room"):
        Pool("10.0.0.0/25", 24)


# what is left of nodes that are gone


def test_pods_of_a_node_that_is_gone_go_after_a_while(make: Make) -> None:
    pods = [make.pod("a"), make.pod("b", phase="Succeeded")]
    seen_now = podgc.OfNode("n1", pods, NOW - timedelta(seconds=4))
    assert podgc.plan(seen_now, NOW) == Plan(requeue_after_s=6)
    found = podgc.plan(podgc.OfNode("n1", pods, NOW - timedelta(seconds=10)), NOW)
    status, *deletes = found.actions
    assert isinstance(status, Status)
    assert status.status["phase"] == "Failed"
    assert deletes == [Delete(pod, grace_s=0) for pod in pods]


def test_out_of_service_only_ends_what_is_stuck(make: Make) -> None:
    stuck = make.pod("a", deleting=True)
    found = podgc.plan(podgc.OfNode("n1", [stuck, make.pod("b")], None), NOW)
    assert [action.object.name for action in found.actions if isinstance(action, Delete)] == ["a"]


def test_the_oldest_of_too_many_finished_pods_go(make: Make) -> None:
    pods = [make.pod(f"p{age}", phase="Succeeded", created_s=age) for age in (10, 30, 20)]
    found = podgc.plan(podgc.Ended(pods, 1), NOW)
    assert [action.object.name for action in found.actions if isinstance(action, Delete)] == ["p30", "p20"]


def test_a_node_without_a_range_is_told(make: Make) -> None:
    found_node = node(make)
    found = ranges.plan(ranges.Observed(found_node, ()), NOW)
    assert found.actions == (Event(found_node, "CIDRNotAvailable", "Node n1 status is now: CIDRNotAvailable"),)
    assert found.requeue_after_s == 60.0
    (given,) = ranges.plan(ranges.Observed(found_node, ("10.1.0.0/24", "fd00::/64")), NOW).actions
    assert isinstance(given, Patch)
    assert given.changes == {"spec": {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24", "fd00::/64"]}}
    assert given.refused == Event(found_node, "CIDRAssignmentFailed", "Node n1 status is now: CIDRAssignmentFailed")


def test_evicted_pods_go_before_those_that_tell_of_an_end_of_their_own(make: Make) -> None:
    document = make.pod("young", phase="Failed", created_s=5).document()
    evicted = Object.of(make.pod("young").kind, {**document, "status": {**document["status"], "reason": "Evicted"}})
    found = podgc.plan(podgc.Ended([make.pod("old", phase="Failed", created_s=50), evicted], 1), NOW)
    assert [action.object.name for action in found.actions if isinstance(action, Delete)] == ["young"]
