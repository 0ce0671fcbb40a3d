"""Where pods go and what users are told when they go nowhere."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.scheduler.cycle import Placement, Refusal, place


def where(table: Any, pod: Any, fraction: float = 0.0) -> str:
    result = place(table, pod, fraction)
    assert isinstance(result, Placement), result
    return result.node


def why(table: Any, pod: Any) -> str:
    result = place(table, pod, 0.0)
    assert isinstance(result, Refusal), result
    return result.message()


def test_no_nodes(make: Any) -> None:
    assert why(make.table(), make.pod("a")) == "no nodes available to schedule pods"


def test_the_emptiest_node_wins(make: Any) -> None:
    table = make.table(make.node("n1"), make.node("n2"), n1=[make.pod("old", cpu="2", memory="4Gi")])
    assert where(table, make.pod("new", cpu="1", memory="1Gi")) == "n2"


def test_equals_are_told_apart_by_the_fraction(make: Any) -> None:
    table = make.table(*(make.node(f"n{i}") for i in range(4)))
    assert [where(table, make.pod("a"), f) for f in (0.0, 0.3, 0.6, 0.99)] == ["n0", "n1", "n2", "n3"]


def test_reasons_are_counted_in_kubernetes_words(make: Any) -> None:
    table = make.table(
        make.node("n1", taints=[{"key": "dedicated", "effect": "NoSchedule", "value": "db"}]),
        make.node("n2", cpu="1"),
        make.node("n3", cpu="1", memory="1Gi"),
        make.node("n4", unschedulable=True),
        make.node("n5", pods=0),
    )
    assert why(table, make.pod("big", cpu="2", memory="2Gi")) == (
        "0/5 nodes are available: 1 Insufficient memory, 1 Too many pods, 1 node(s) had untolerated taint(s), "
        "1 node(s) were unschedulable, 2 Insufficient cpu."
    )


def test_only_what_pods_hold_can_be_freed(make: Any) -> None:
    table = make.table(make.node("n1", cpu="1"), make.node("n2", cpu="4"), n2=[make.pod("old", cpu="3")])
    result = place(table, make.pod("big", cpu="2"), 0.0)
    assert isinstance(result, Refusal)
    assert [table.names[i] for i in result.helpable] == ["n2"]
    assert result.rejected_by == {"NodeResourcesFit"}


def test_extended_resources(make: Any) -> None:
    table = make.table(make.node("n1"), make.node("n2", extra={"example.com/gpu": "1"}))
    wants = {"name": "c", "resources": {"requests": {"example.com/gpu": "1"}}}
    assert where(table, make.pod("a", containers=[wants])) == "n2"
    table.add(make.pod("a", containers=[wants]), "n2")
    assert why(table, make.pod("b", containers=[wants])) == "0/2 nodes are available: 2 Insufficient example.com/gpu."


def test_host_ports_clash_by_address_and_protocol(make: Any) -> None:
    def uses(name: str, **port: Any) -> Any:
        return make.pod(name, containers=[{"name": "c", "ports": [{"containerPort": 80, **port}]}])

    table = make.table(make.node("n1"), n1=[uses("old", hostPort=80, hostIP="10.0.0.1")])
    message = "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."
    assert why(table, uses("any", hostPort=80)) == message
    assert where(table, uses("other", hostPort=80, hostIP="10.0.0.2")) == "n1"
    assert where(table, uses("udp", hostPort=80, protocol="UDP")) == "n1"


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        ({"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "k", "operator": "Equal", "value": "other"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_tolerations(make: Any, toleration: dict[str, str], fits: bool) -> None:
    table = make.table(make.node("n1", taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}]))
    assert isinstance(place(table, make.pod("a", tolerations=[toleration]), 0.0), Placement) is fits


@pytest.mark.parametrize(
    ("expression", "nodes"),
    [
        ({"key": "disk", "operator": "In", "values": ["ssd", "nvme"]}, ["n1"]),
        ({"key": "disk", "operator": "NotIn", "values": ["ssd"]}, ["n2", "n3"]),
        ({"key": "disk", "operator": "Exists"}, ["n1", "n2"]),
        ({"key": "disk", "operator": "DoesNotExist"}, ["n3"]),
        ({"key": "cores", "operator": "Gt", "values": ["8"]}, ["n2"]),
        ({"key": "cores", "operator": "Lt", "values": ["9"]}, ["n1"]),
        ({"key": "disk", "operator": "Gt", "values": ["1"]}, []),
    ],
)
def test_node_affinity_operators(make: Any, expression: dict[str, Any], nodes: list[str]) -> None:
    table = make.table(
        make.node("n1", labels={"disk": "ssd", "cores": "8"}),
        make.node("n2", labels={"disk": "hdd", "cores": "16"}),
        make.node("n3"),
    )
    required = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    pod = make.pod("a", affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}})
    result = place(table, pod, 0.0)
    if nodes:
        assert isinstance(result, Placement)
        assert result.node in nodes
        assert result.feasible == len(nodes)
    else:
        assert isinstance(result, Refusal)
        assert result.message() == "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."


def test_a_pod_that_names_its_node_by_field(make: Any) -> None:
    table = make.table(make.node("n1", cpu="1"), make.node("n2"), make.node("n3"))
    field = {"key": "metadata.name", "operator": "In", "values": ["n1"]}
    required = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    assert where(table, make.pod("a", affinity=affinity)) == "n1"
    assert why(table, make.pod("b", cpu="2", affinity=affinity)) == (
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )


def test_preferred_node_affinity_and_soft_taints(make: Any) -> None:
    table = make.table(
        make.node("n1"),
        make.node("n2", labels={"disk": "ssd"}),
        make.node("n3", labels={"disk": "ssd"}, taints=[{"key": "k", "effect": "PreferNoSchedule"}]),
    )
    preferred = [
        {"weight": 10, "preference": {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}}
    ]
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
    assert where(table, make.pod("a", affinity=affinity)) == "n2"


def test_an_image_that_is_there(make: Any) -> None:
    table = make.table(make.node("n1"), make.node("n2", images={"web:latest": 900 * 2**20}))
    assert where(table, make.pod("a")) == "n2"


def zones(make: Any, **nodes: str) -> list[Any]:
    return [make.node(name, labels={"topology.kubernetes.io/zone": zone}) for name, zone in nodes.items()]


SPREAD = {
    "maxSkew": 1,
    "topologyKey": "topology.kubernetes.io/zone",
    "whenUnsatisfiable": "DoNotSchedule",
    "labelSelector": {"matchLabels": {"app": "web"}},
}


def test_hard_spread_keeps_the_skew(make: Any) -> None:
    web = {"app": "web"}
    table = make.table(*zones(make, n1="a", n2="a", n3="b"), n1=[make.pod("w1", labels=web)])
    pod = make.pod("w2", labels=web, topologySpreadConstraints=[SPREAD])
    assert where(table, pod) == "n3"
    table.remove_node("n3")
    assert where(table, pod, 0.9) in ("n1", "n2")


def test_hard_spread_refuses_in_kubernetes_words(make: Any) -> None:
    web = {"app": "web"}
    table = make.table(
        *zones(make, n1="a"), make.node("n2", labels={"topology.kubernetes.io/zone": "b"}, cpu="1"), make.node("n3")
    )
    table.add(make.pod("w1", labels=web), "n1")
    pod = make.pod("w2", cpu="2", labels=web, topologySpreadConstraints=[SPREAD])
    words = "node(s) didn't match pod topology spread constraints"
    assert why(table, pod) == (
        f"0/3 nodes are available: 1 Insufficient cpu, 1 {words}, 1 {words} (missing required label)."
    )


def test_min_domains(make: Any) -> None:
    web = {"app": "web"}
    table = make.table(*zones(make, n1="a"), n1=[make.pod("w1", labels=web)])
    pod = make.pod("w2", labels=web, topologySpreadConstraints=[{**SPREAD, "minDomains": 2}])
    assert why(table, pod) == "0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints."


def test_terminating_pods_do_not_count_for_spread(make: Any) -> None:
    web = {"app": "web"}
    gone = make.pod("w1", labels=web, deleted=True)
    table = make.table(*zones(make, n1="a", n2="b"), n1=[gone, make.pod("heavy", cpu="1")])
    table.add(make.pod("w2", labels=web), "n2")
    assert where(table, make.pod("w3", labels=web, topologySpreadConstraints=[SPREAD])) == "n1"


def test_soft_spread_prefers_the_emptier_zone(make: Any) -> None:
    web = {"app": "web"}
    table = make.table(*zones(make, n1="a", n2="a", n3="b"))
    table.add(make.pod("w1", labels=web), "n1")
    table.add(make.pod("other", cpu="1", memory="2Gi"), "n3")
    soft = {**SPREAD, "whenUnsatisfiable": "ScheduleAnyway"}
    assert where(table, make.pod("w2", labels=web, topologySpreadConstraints=[soft])) == "n3"


def pod_affinity(kind: str, how: str = "required", weight: int = 100, **selector: str) -> dict[str, Any]:
    term: dict[str, Any] = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": selector}}
    if how == "preferred":
        return {
            kind: {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": weight, "podAffinityTerm": term}]}
        }
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def test_required_affinity(make: Any) -> None:
    table = make.table(make.node("n1"), make.node("n2"), n2=[make.pod("db", cpu="3", labels={"app": "db"})])
    assert where(table, make.pod("web", affinity=pod_affinity("podAffinity", app="db"))) == "n2"
    assert why(table, make.pod("web", affinity=pod_affinity("podAffinity", app="no"))) == (
        "0/2 nodes are available: 2 node(s) didn't match pod affinity rules."
    )


def test_the_first_of_a_group_that_wants_its_own_kind(make: Any) -> None:
    table = make.table(make.node("n1"), make.node("n2"))
    wants = pod_affinity("podAffinity", app="db")
    assert where(table, make.pod("db-0", labels={"app": "db"}, affinity=wants), 0.9) == "n2"
    table.add(make.pod("db-0", labels={"app": "db"}, affinity=wants), "n2")
    assert where(table, make.pod("db-1", labels={"app": "db"}, affinity=wants)) == "n2"


def test_affinity_is_within_the_namespace_unless_said(make: Any) -> None:
    db = make.pod("db", namespace="data", labels={"app": "db"})
    table = make.table(make.node("n1"), n1=[db])
    wants = pod_affinity("podAffinity", app="db")
    assert isinstance(place(table, make.pod("web", affinity=wants), 0.0), Refusal)
    term = wants["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0]
    for extra in ({"namespaces": ["data"]}, {"namespaceSelector": {"matchLabels": {"team": "x"}}}):
        pod = make.pod(
            "web", affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term | extra]}}
        )
        table.set_namespace("data", {"team": "x"})
        assert where(table, pod) == "n1"
        table.set_namespace("data", {"team": "y"})
        assert isinstance(place(table, pod, 0.0), Placement) is ("namespaces" in extra)


def test_anti_affinity_is_heard_from_both_sides(make: Any) -> None:
    alone = make.pod("a", labels={"app": "a"}, affinity=pod_affinity("podAntiAffinity", app="b"))
    table = make.table(make.node("n1"), n1=[alone])
    assert why(table, make.pod("b", labels={"app": "b"})) == (
        "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules."
    )
    assert where(table, make.pod("c", labels={"app": "c"})) == "n1"
    assert why(table, make.pod("d", affinity=pod_affinity("podAntiAffinity", app="a"))) == (
        "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules."
    )
    table.remove(alone.uid)
    assert where(table, make.pod("b", labels={"app": "b"})) == "n1"


def test_preferences_between_pods_are_heard_from_both_sides(make: Any) -> None:
    shy = make.pod("shy", labels={"app": "shy"}, affinity=pod_affinity("podAntiAffinity", "preferred", app="loud"))
    table = make.table(make.node("n1"), make.node("n2"), n1=[shy], n2=[make.pod("heavy", cpu="2", memory="4Gi")])
    assert where(table, make.pod("loud", labels={"app": "loud"})) == "n2"
    assert where(table, make.pod("new", affinity=pod_affinity("podAffinity", "preferred", app="shy"))) == "n1"
    assert where(table, make.pod("new", affinity=pod_affinity("podAntiAffinity", "preferred", app="shy"))) == "n2"
