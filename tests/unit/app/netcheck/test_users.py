"""Endpoints of people's services, and the paths that they ask for."""

from __future__ import annotations

import pytest
from check_scenery import cast, cluster, kernels, results
from trace_scenery import BOTH, doc, endpoint, pod, policy, slice_of

from navarch.app.netcheck import users
from navarch.app.netcheck.clues import Clues
from navarch.app.netcheck.judge import judge
from navarch.app.netcheck.plan import plan
from navarch.app.netcheck.probes import Hop, Result
from navarch.app.nettrace.question import question
from navarch.app.nettrace.steps import BadQuestion

NODES = ("n0", "n1", "n2")


def test_each_endpoint_that_counts_as_ready_is_tried_by_its_own_node() -> None:
    probes, notes = users.endpoints(cluster(), NODES, without="check")
    assert [(each.node, each.ask["address"], each.ask["port"]) for each in probes] == [
        ("n0", "10.244.0.6", 8080),
        ("n1", "10.244.1.6", 8080),
    ]
    assert notes == []
    assert all(not each.ask["reads"] for each in probes)


@pytest.mark.parametrize(
    "part",
    [
        slice_of("web", endpoint("web-a", "10.244.0.6", "n0", ready=False)),
        slice_of("web", *BOTH, ports=[{"name": "dns", "port": 53, "protocol": "UDP"}]),
        slice_of("web", endpoint("web-a", "203.0.113.4", "n0")),
        slice_of("web", endpoint("web-a", "10.244.9.6", "n9")),
    ],
    ids=["not ready", "not TCP", "outside", "of a node that is not checked"],
)
def test_others_are_left_alone(part: dict[str, object]) -> None:
    assert users.endpoints(cluster(3, part), NODES, without="check") == ([], [])


def test_a_pod_that_is_not_ready_need_not_listen_whatever_its_service_says() -> None:
    late = pod("web-a", "10.244.0.6", "n0")
    late["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    probes, _ = users.endpoints(cluster(3, late), NODES, without="check")
    assert [each.node for each in probes] == ["n1"]


@pytest.mark.parametrize(("error", "said"), [("refused", "nothing listens there"), ("timeout", "nobody answers there")])
def test_an_endpoint_where_nobody_is_is_named(error: str, said: str) -> None:
    world = cluster()
    probes, _ = users.endpoints(world, NODES, without="check")
    failed = [(each, Result(error)) for each in probes[:1]]
    others = results([*probes[1:], *plan(world, cast())], [])
    hop = Hop("endpoint", "n0", "shop/web 10.244.0.6:8080")
    [one] = judge([*failed, *others], Clues(world, cast(), kernels()).reason)
    assert one.hops == (hop,)
    assert f"service shop/web sends to 10.244.0.6:8080, which counts as ready, and {said}" in one.text
    assert "readinessProbe" in one.remedy


def test_no_more_than_a_bounded_number_is_tried() -> None:
    many = [endpoint(f"p{at}", f"10.244.0.{at % 250 + 1}", "n0") for at in range(250)]
    part = slice_of("web", *many, ports=[{"name": str(port), "port": port, "protocol": "TCP"} for port in (80, 81)])
    probes, notes = users.endpoints(cluster(3, part), NODES, without="check")
    assert len(probes) == users.ENDPOINTS_MOST
    assert notes == ["200 more endpoints of services were not tried"]


def asked(words: str) -> users.Asked:
    source, target = words.split(",")
    return {words: question(source, target, namespace="shop")}


def test_a_path_that_is_asked_for_is_tried_from_the_pod_itself() -> None:
    [probe], notes = users.asked(cluster(), asked("shop/front,svc/web"), NODES)
    assert (probe.node, probe.pod, probe.ask["address"], probe.ask["port"]) == ("n0", "shop/front", "10.96.0.7", 80)
    assert notes == []


def test_what_stops_it_by_the_rules_is_its_cause() -> None:
    wanted = asked("shop/front,pod/web-b")
    world = cluster(3, policy("shut", "web", policyTypes=["Ingress"]))
    [probe], _ = users.asked(world, wanted, NODES)
    [one] = judge([(probe, Result("timeout"))], Clues(world, cast(), kernels(), wanted).reason)
    assert one.hops[0].kind == "asked"
    assert one.node == "n1"
    assert "it stops at its ingress: pod shop/web-b is isolated by shop/shut" in one.text


def test_where_the_rules_let_it_pass_that_is_said() -> None:
    wanted = asked("shop/front,pod/web-b")
    clue, seen = users.why(cluster(), wanted["shop/front,pod/web-b"])
    assert not seen
    assert clue.text.startswith("by the rules it arrives")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("world,svc/web", "it is sent from no node"),
        ("shop/late,svc/web", "waits for a node"),
        ("shop/front,nobody", "no such"),
    ],
)
def test_a_path_that_cannot_be_tried_is_told(words: str, said: str) -> None:
    world = cluster(3, pod("late", "", "", phase="Pending"), doc("Service", "kube-dns", "kube-system", spec={}))
    probes, [note] = users.asked(world, asked(words), NODES)
    assert probes == []
    assert said in note


def test_a_path_from_what_is_not_there_is_refused() -> None:
    with pytest.raises(BadQuestion, match="there is no pod 'nobody'"):
        users.asked(cluster(), asked("shop/nobody,svc/web"), NODES)
