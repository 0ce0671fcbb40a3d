"""DaemonSets have one pod on every node that it fits, and replace old pods within their bounds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navarch.controllers.claims import Claim
from navarch.controllers.controllerrevision import candidate, surplus, template_in
from navarch.controllers.daemonset import Failures, Observed, plan
from navarch.controllers.daemonset.nodes import node_of, requirements
from navarch.controllers.daemonset.rollout import OnNode, replace_by_surge, replace_in_place
from navarch.controllers.plan import Create, Delete, Event, Patch, Plan, Status
from navarch.kinds import CONTROLLERREVISION, DAEMONSET, NODE, POD
from navarch.kinds.object import Object
from tests.unit.controllers.conftest import NOW, Make, ago

HASH = "controller-revision-hash"
TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
}


def daemonset(make: Make, image: str = "i", *, generation: str = "1", update: Any = None, **spec: Any) -> Object:
    template = {**TEMPLATE, "spec": {"containers": [{"name": "c", "image": image}], **spec.pop("pod", {})}}
    metadata = {"annotations": {"deprecated.daemonset.template.generation": generation}, **spec.pop("metadata", {})}
    status = spec.pop("status", {})
    given = {
        "selector": {"matchLabels": {"app": "web"}},
        "template": template,
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, **(update or {})}},
        **spec,
    }
    return make.object(DAEMONSET, "agent", metadata=metadata, spec=given, status=status)


def node(make: Make, name: str, *taints: str, **labels: str) -> Object:
    found = [{"key": text.partition(":")[0], "effect": text.partition(":")[2]} for text in taints]
    return make.object(NODE, name, metadata={"labels": labels}, spec={"taints": found})


def revision(make: Make, owner: Object, number: int = 1, name: str = "") -> Object:
    wanted = candidate(owner)
    template = msgspec.json.decode(owner.view.spec.template)
    return make.object(
        CONTROLLERREVISION,
        name or wanted.name,
        metadata={"labels": {"app": "web", HASH: wanted.hash}, "ownerReferences": make.owner(owner)},
        data={"spec": {"template": {**template, "$patch": "replace"}}},
        revision=number,
    )


def daemon(make: Make, owner: Object, on: str, name: str = "", **how: Any) -> Object:
    """A pod of the present template of `owner`."""
    labels = {"app": "web", HASH: candidate(owner).hash}
    return make.pod(name or f"agent-{on}", owner=owner, labels=labels, node=on, **how)


def look(owner: Object, nodes: list[Object], pods: list[Object], *revisions: Object, **more: Any) -> Plan:
    return plan(Observed(owner, Claim(pods), nodes, Claim(list(revisions)), **more), NOW)


def made(found: Plan) -> list[str]:
    """The nodes that get a pod."""
    pods = [action for action in found.actions if isinstance(action, Create) and action.kind is POD]
    return [node_of(Object.of(POD, pod.document)) for pod in pods]


def deleted(found: Plan) -> list[str]:
    return [action.object.name for action in found.actions if isinstance(action, Delete)]


def status_of(found: Plan) -> dict[str, Any]:
    assert isinstance(found.status, Status)
    return found.status.status


def test_every_node_gets_a_pod_meant_for_it_alone(make: Make) -> None:
    owner = daemonset(make, pod={"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}})
    found = look(owner, [node(make, "b"), node(make, "a")], [])
    assert made(found) == ["a", "b"]
    first, pod, _ = found.actions
    assert isinstance(first, Create)
    assert isinstance(pod, Create)
    assert first.kind is CONTROLLERREVISION
    assert first.document["revision"] == 1
    stamp = first.document["metadata"]["labels"][HASH]
    assert first.document["metadata"]["name"] == f"agent-{stamp}"
    assert pod.document["metadata"]["labels"] == {"app": "web", HASH: stamp, "pod-template-generation": "1"}
    assert pod.document["metadata"]["generateName"] == "agent-"
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}
    assert pod.document["spec"]["affinity"]["nodeAffinity"] == {
        "preferredDuringSchedulingIgnoredDuringExecution": [],
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]},
    }
    assert [
        (t["key"].removeprefix("node.kubernetes.io/"), t["effect"]) for t in pod.document["spec"]["tolerations"]
    ] == [
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    ]
    assert status_of(found) == {
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 2,
        "numberReady": 0,
        "observedGeneration": 1,
        "numberUnavailable": 2,
    }


def test_a_daemon_on_the_hosts_network_tolerates_a_missing_network_and_says_nothing_twice(make: Make) -> None:
    known = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}
    owner = daemonset(make, pod={"hostNetwork": True, "tolerations": [known]})
    found = look(owner, [node(make, "a", "node.kubernetes.io/network-unavailable:NoSchedule")], [])
    (pod,) = [action for action in found.actions if isinstance(action, Create) and action.kind is POD]
    tolerations = pod.document["spec"]["tolerations"]
    assert len(tolerations) == 7
    assert tolerations.count(known) == 1


def test_a_daemon_tolerates_for_ever_what_its_template_tolerates_for_a_time(make: Make) -> None:
    known = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}
    owner = daemonset(make, pod={"tolerations": [{**known, "tolerationSeconds": 300}]})
    found = look(owner, [node(make, "a")], [])
    (pod,) = [action for action in found.actions if isinstance(action, Create) and action.kind is POD]
    assert pod.document["spec"]["tolerations"][0] == known
    assert len(pod.document["spec"]["tolerations"]) == 6


@pytest.mark.parametrize(
    ("pod", "taints", "labels", "wanted"),
    [
        ({}, [], {}, (True, True)),
        ({"nodeSelector": {"disk": "ssd"}}, [], {"disk": "ssd"}, (True, True)),
        ({"nodeSelector": {"disk": "ssd"}}, [], {"disk": "hdd"}, (False, False)),
        ({"nodeName": "n"}, [], {}, (True, True)),
        ({"nodeName": "m"}, [], {}, (False, False)),
        ({}, ["dedicated:NoSchedule"], {}, (False, True)),
        ({}, ["dedicated:NoExecute"], {}, (False, False)),
        ({}, ["dedicated:PreferNoSchedule"], {}, (True, True)),
        ({}, ["node.kubernetes.io/unschedulable:NoSchedule"], {}, (True, True)),
        ({}, ["node.kubernetes.io/unreachable:NoSchedule"], {}, (False, True)),
        ({"tolerations": [{"operator": "Exists"}]}, ["dedicated:NoExecute"], {}, (True, True)),
    ],
)
def test_where_pods_belong(
    make: Make, pod: dict[str, Any], taints: list[str], labels: dict[str, str], wanted: tuple[bool, bool]
) -> None:
    owner = daemonset(make, pod=pod)
    assert requirements(bytes(owner.view.spec.template)).judge(node(make, "n", *taints, **labels)) == wanted


def test_required_affinity_is_asked_of_every_node_before_it_is_replaced(make: Make) -> None:
    match = [{"key": "zone", "operator": "In", "values": ["a"]}, {"key": "size", "operator": "Gt", "values": ["3"]}]
    terms = {"nodeSelectorTerms": [{"matchExpressions": match}]}
    owner = daemonset(
        make, pod={"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}
    )
    nodes = [node(make, "a", zone="a", size="4"), node(make, "b", zone="b", size="4"), node(make, "c", zone="a")]
    assert made(look(owner, nodes, [])) == ["a"]


def test_pods_go_from_nodes_that_they_no_longer_fit(make: Make) -> None:
    owner = daemonset(make, pod={"nodeSelector": {"disk": "ssd"}})
    nodes = [node(make, "a", disk="ssd"), node(make, "b")]
    found = look(owner, nodes, [daemon(make, owner, "a"), daemon(make, owner, "b")], revision(make, owner))
    assert deleted(found) == ["agent-b"]
    assert status_of(found)["numberMisscheduled"] == 1
    assert status_of(found)["desiredNumberScheduled"] == 1


def test_a_node_has_one_pod_the_oldest(make: Make) -> None:
    owner = daemonset(make)
    pods = [daemon(make, owner, "a", "young", created_s=5), daemon(make, owner, "a", "old", created_s=50)]
    assert deleted(look(owner, [node(make, "a")], pods, revision(make, owner))) == ["young"]


def test_a_pod_on_its_way_out_is_waited_for(make: Make) -> None:
    owner = daemonset(make)
    found = look(owner, [node(make, "a")], [daemon(make, owner, "a", deleting=True)], revision(make, owner))
    assert found.actions == ()
    ended = daemon(make, owner, "a", deleting=True, phase="Failed")
    assert made(look(owner, [node(make, "a")], [ended], revision(make, owner))) == ["a"]


def test_pods_that_ended_are_replaced_when_they_are_due(make: Make) -> None:
    owner = daemonset(make)
    failed, done = daemon(make, owner, "a", phase="Failed"), daemon(make, owner, "b", phase="Succeeded")
    nodes = [node(make, "a"), node(make, "b")]
    found = look(owner, nodes, [failed, done], revision(make, owner), failed={failed.uid: NOW + timedelta(seconds=4)})
    assert deleted(found) == ["agent-b"]
    assert found.requeue_after_s == 4
    found = look(owner, nodes, [failed, done], revision(make, owner), failed={failed.uid: NOW})
    assert deleted(found) == ["agent-a", "agent-b"]
    told = {action.reason: action.message for action in found.actions if isinstance(action, Event)}
    assert told == {
        "FailedDaemonPod": "Found failed daemon pod default/agent-a on node a, will try to kill it",
        "SucceededDaemonPod": "Found succeeded daemon pod default/agent-b on node b, will try to delete it",
    }


def test_failures_of_one_node_are_replaced_ever_later(make: Make) -> None:
    class Clock:
        def now(self) -> datetime:
            return self.at

        at = datetime(2030, 1, 1, tzinfo=UTC)

    clock: Any = Clock()
    failures, owner = Failures(clock), daemonset(make)
    waits = []
    for number in range(13):
        pod = daemon(make, owner, "a", f"p{number}", phase="Failed")
        due = failures.due(owner, [pod])[pod.uid]
        assert failures.due(owner, [pod])[pod.uid] == due
        waits.append((due - clock.at).total_seconds())
        clock.at = due
    assert waits == [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
    other = daemon(make, owner, "b", phase="Failed")
    assert failures.due(owner, [other]) == {other.uid: clock.at}
    clock.at += timedelta(seconds=1801)
    late = daemon(make, owner, "a", "late", phase="Failed")
    assert failures.due(owner, [late]) == {late.uid: clock.at}


def test_a_new_template_replaces_one_node_at_a_time(make: Make) -> None:
    before = daemonset(make)
    known = revision(make, before)
    owner = daemonset(make, "j", generation="2")
    nodes = [node(make, name) for name in "abc"]
    pods = [daemon(make, before, name) for name in "abc"]
    found = look(owner, nodes, pods, known)
    assert deleted(found) == ["agent-a"]
    assert isinstance(found.actions[0], Create)
    assert found.actions[0].document["revision"] == 2
    assert "updatedNumberScheduled" not in status_of(found)
    newer = revision(make, owner, 2)
    found = look(owner, nodes, [daemon(make, owner, "a", ready_s=None), *pods[1:]], known, newer)
    assert found.actions == ()
    found = look(owner, nodes, [daemon(make, owner, "a"), *pods[1:]], known, newer)
    assert deleted(found) == ["agent-b"]
    assert status_of(found)["updatedNumberScheduled"] == 1


def test_new_pods_count_when_they_were_ready_for_long_enough(make: Make) -> None:
    before = daemonset(make)
    owner = daemonset(make, "j", generation="2", minReadySeconds=30)
    nodes = [node(make, name) for name in "ab"]
    pods = [daemon(make, owner, "a", ready_s=10), daemon(make, before, "b")]
    found = look(owner, nodes, pods, revision(make, before), revision(make, owner, 2))
    assert deleted(found) == []
    assert found.requeue_after_s == 20
    assert status_of(found)["numberReady"] == 2
    assert status_of(found)["numberAvailable"] == 1


def test_with_a_surge_the_new_pod_comes_first(make: Make) -> None:
    before = daemonset(make)
    surge = {"maxUnavailable": 0, "maxSurge": 1}
    owner = daemonset(make, "j", generation="2", update=surge)
    revisions = (revision(make, before), revision(make, owner, 2))
    nodes = [node(make, name) for name in "ab"]
    old = [daemon(make, before, name, f"old-{name}") for name in "ab"]
    found = look(owner, nodes, old, *revisions)
    assert made(found) == ["a"]
    assert deleted(found) == []
    coming = daemon(make, owner, "a", "new-a", ready_s=None, created_s=1)
    assert look(owner, nodes, [*old, coming], *revisions).actions == ()
    there = daemon(make, owner, "a", "new-a", created_s=1)
    assert deleted(look(owner, nodes, [*old, there], *revisions)) == ["old-a"]


def test_on_delete_replaces_only_what_others_deleted(make: Make) -> None:
    before = daemonset(make)
    owner = daemonset(make, "j", generation="2", updateStrategy={"type": "OnDelete"})
    revisions = (revision(make, before), revision(make, owner, 2))
    found = look(owner, [node(make, "a"), node(make, "b")], [daemon(make, before, "a")], *revisions)
    assert deleted(found) == []
    assert made(found) == ["b"]


def test_an_old_template_becomes_the_newest_revision_again(make: Make) -> None:
    owner = daemonset(make)
    other = daemonset(make, "j")
    first, second = revision(make, owner, 1), revision(make, other, 2)
    found = look(owner, [], [], first, second)
    assert found.actions == (Patch(first, {"revision": 3}),)
    assert template_in(second)["spec"]["containers"][0]["image"] == "j"


def test_a_revisions_name_that_is_taken_is_a_collision(make: Make) -> None:
    owner = daemonset(make)
    stranger = make.object(CONTROLLERREVISION, candidate(owner).name, data={}, revision=7)
    found = look(owner, [node(make, "a")], [], namesake=stranger)
    assert found.actions == ()
    assert status_of(found)["collisionCount"] == 1


def test_old_revisions_are_forgotten_but_those_of_pods(make: Make) -> None:
    owners = [daemonset(make, image) for image in "abcd"]
    known = [revision(make, owner, number) for number, owner in enumerate(owners, 1)]
    assert [gone.object for gone in surplus(known[:3], 1, [known[1].name])] == [known[0], known[2]]
    now = daemonset(make, "d", revisionHistoryLimit=1)
    found = look(now, [node(make, "n")], [daemon(make, owners[0], "n")], *known)
    assert deleted(found)[:2] == [known[1].name, known[2].name]


def test_doubles_of_a_revision_become_one(make: Make) -> None:
    owner = daemonset(make)
    keep, other = revision(make, owner, 2), revision(make, owner, 1, name="double").document()
    other["metadata"]["labels"][HASH] = "double"
    double = Object.of(CONTROLLERREVISION, other)
    pod = make.pod("agent-n", owner=owner, labels={"app": "web", HASH: "double"}, node="n")
    found = look(owner, [], [pod], keep, double)
    label = {"metadata": {"labels": {HASH: candidate(owner).hash}}}
    assert found.actions == (Patch(pod, label), Delete(double))


def test_a_revision_is_written_in_the_order_that_kubectl_compares(make: Make) -> None:
    found = look(daemonset(make, pod={"dnsPolicy": "Default", "activeDeadlineSeconds": 1}), [], [])
    (created,) = found.actions
    assert isinstance(created, Create)
    template = created.document["data"]["spec"]["template"]
    assert list(template) == ["$patch", "metadata", "spec"]
    assert list(template["spec"]) == sorted(template["spec"])


def test_selecting_everything_is_refused(make: Make) -> None:
    (event,) = look(daemonset(make, selector={}), [node(make, "a")], []).actions
    assert isinstance(event, Event)
    assert event.reason == "SelectingAll"


def test_one_that_is_being_deleted_does_nothing(make: Make) -> None:
    owner = daemonset(make, metadata={"deletionTimestamp": ago(1)})
    assert look(owner, [node(make, "a")], []) == Plan()


ON_NODE = st.tuples(st.booleans(), st.sampled_from(["serves", "starts", "leaves", "Failed", "Succeeded"]))
PLACES = st.lists(
    st.tuples(st.sampled_from(["fits", "stays", "not", "gone"]), st.lists(ON_NODE, max_size=3)), max_size=6
)


@settings(max_examples=150, deadline=None)
@given(PLACES, st.integers(0, 3), st.integers(0, 3), st.booleans())
def test_what_a_plan_never_does(places: list[Any], surge: int, unavailable: int, by_hand: bool) -> None:
    """Never a second pod of one version on a node, never one where none belongs, and where nothing is out of place,
    never more nodes without a good pod than allowed."""
    make = Make()
    update = {"maxSurge": surge, "maxUnavailable": unavailable if unavailable or surge else 1}
    update = {"maxSurge": surge, "maxUnavailable": 0} if surge else update
    strategy = {"type": "OnDelete"} if by_hand else {"type": "RollingUpdate", "rollingUpdate": update}
    before = daemonset(make, "i", updateStrategy=strategy)
    after = daemonset(make, "j", generation="2", updateStrategy=strategy)
    taints = {"fits": (), "stays": ("x:NoSchedule",), "not": ("x:NoExecute",)}
    nodes = [node(make, f"n{at}", *taints[what]) for at, (what, _) in enumerate(places) if what != "gone"]
    pods, of = [], {}
    how: dict[str, dict[str, Any]] = {"serves": {}, "starts": {"ready_s": None}, "leaves": {"deleting": True}}
    for at, (_, present) in enumerate(places):
        for number, (new, state) in enumerate(present):
            name = f"p{at}-{number}"
            shape = how.get(state) or ({"phase": state} if state in ("Failed", "Succeeded") else {})
            pods.append(daemon(make, after if new else before, f"n{at}", name, **shape))
            of[name] = (at, new, state)
    found = look(after, nodes, pods, revision(make, before), revision(make, after, 2))
    coming, going = made(found), [name for name in deleted(found) if name in of]
    assert len(set(coming)) == len(coming)
    assert len(set(going)) == len(going)
    assert all(of[name][2] != "leaves" for name in going)
    for name in coming:
        what, present = places[int(name.removeprefix("n"))]
        assert what == "fits"
        staying = [(new, state) for new, state in present if state != "leaves" and state not in ("Failed", "Succeeded")]
        assert not any(new for new, _ in staying)
        assert surge or not present, "without a surge the node is free first"
    tidy = all(
        what == "fits" and len(present) == 1 and present[0][1] in ("serves", "starts") for what, present in places
    )
    if tidy and not surge:
        lost = [name for name in going if of[name][2] == "serves"]
        down = sum(state != "serves" for _, ((_, state),) in places)
        assert len(lost) <= (0 if by_hand else max(0, update["maxUnavailable"] - down))
        assert not any(of[name][1] for name in going)


@given(st.lists(st.integers(1, 30), unique=True, max_size=8), st.integers(0, 5), st.sets(st.integers(0, 7)))
def test_forgetting_revisions_takes_the_oldest_that_nothing_uses(
    numbers: list[int], limit: int, used: set[int]
) -> None:
    make = Make()
    known = [make.object(CONTROLLERREVISION, f"r{number}", data={}, revision=number) for number in sorted(numbers)]
    in_use = {known[at].name for at in used if at < len(known)}
    gone = [action.object for action in surplus(known, limit, in_use)]
    assert len(gone) <= max(0, len(known) - limit)
    assert not in_use & {one.name for one in gone}
    spare = [one for one in known if one.name not in in_use]
    assert gone == spare[: len(gone)]


def somewhere(name: str, old: int, new: int, available: tuple[bool, bool]) -> OnNode:
    if old > 1 or new > 1:
        return OnNode(None, None, clear=False)
    pod = Object.of(POD, {"metadata": {"name": name, "uid": name}})
    return OnNode(pod if old else None, pod if new else None, True, available[0] and old > 0, available[1] and new > 0)


NODES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.tuples(st.booleans(), st.booleans())), max_size=12)


@given(NODES, st.integers(0, 5))
def test_replacing_never_takes_more_nodes_than_it_may(rows: list[Any], most: int) -> None:
    nodes = {f"n{number:02}": somewhere(f"n{number:02}", *row) for number, row in enumerate(rows)}
    doomed = {pod.name for pod in replace_in_place(nodes, most).doomed}

    def serving(gone: set[str]) -> int:
        return sum((n.old_available and name not in gone) or n.new_available for name, n in nodes.items() if n.clear)

    taken = serving(set()) - serving(doomed)
    down = sum(not ((n.old_available != n.new_available) and n.clear) for n in nodes.values())
    assert taken <= max(0, most - down)
    useless = {name for name, n in nodes.items() if n.clear and n.old and not n.new and not n.old_available}
    assert useless <= doomed


@given(NODES, st.integers(1, 5))
def test_a_surge_never_leaves_a_node_without(rows: list[Any], most: int) -> None:
    nodes = {f"n{number:02}": somewhere(f"n{number:02}", *row) for number, row in enumerate(rows)}
    found = replace_by_surge(nodes, most)
    for pod in found.doomed:
        here = nodes[pod.name]
        assert here.new is not None
        assert here.new_available or not here.old_available
    surging = sum(
        not n.clear or (n.old_available and n.new is not None and not n.new_available) for n in nodes.values()
    )
    fresh = [name for name in found.surged if nodes[name].old_available]
    assert len(fresh) <= max(0, most - surging)
