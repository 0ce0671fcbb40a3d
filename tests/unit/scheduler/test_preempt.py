"""Who must go for a more important pod."""

from __future__ import annotations

from typing import Any

from navarch.scheduler.cycle import Refusal, place
from navarch.scheduler.preempt import Budget, Preemption, plan


def preempt(table: Any, pod: Any, *budgets: Budget) -> Preemption | str:
    refusal = place(table, pod, 0.0)
    assert isinstance(refusal, Refusal)
    before = table.requested.copy()
    made = plan(table, pod, refusal, budgets)
    assert (table.requested == before).all(), "the plan left traces"
    return made


def victims(made: Preemption | str) -> list[str]:
    assert isinstance(made, Preemption), made
    return [v.name for v in made.victims]


def test_as_few_as_possible_and_the_least_important(make: Any) -> None:
    there = [make.pod(f"p{i}", cpu="1", priority=i) for i in range(4)]
    table = make.table(make.node("n1"), n1=there)
    assert victims(preempt(table, make.pod("new", cpu="1", priority=100))) == ["p0"]
    assert victims(preempt(table, make.pod("new", cpu="2", priority=100))) == ["p1", "p0"]


def test_never_equals_or_betters(make: Any) -> None:
    table = make.table(make.node("n1", cpu="1"), make.node("n2", cpu="500m"), n1=[make.pod("a", cpu="1", priority=5)])
    assert preempt(table, make.pod("b", cpu="1", priority=5)) == (
        "preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, "
        "1 Preemption is not helpful for scheduling."
    )


def test_a_pod_may_renounce(make: Any) -> None:
    table = make.table(make.node("n1", cpu="1"), n1=[make.pod("a", cpu="1")])
    pod = make.pod("b", cpu="1", priority=5, preemptionPolicy="Never")
    assert preempt(table, pod) == "preemption: not eligible due to preemptionPolicy=Never."


def test_waits_for_victims_that_are_going(make: Any) -> None:
    table = make.table(make.node("n1", cpu="1"), n1=[make.pod("a", cpu="1", deleted=True)])
    pod = make.pod("b", cpu="1", priority=5, status={"nominatedNodeName": "n1"})
    assert preempt(table, pod) == "preemption: not eligible due to a terminating pod on the nominated node."


def test_nodes_are_chosen_by_what_is_lost(make: Any) -> None:
    table = make.table(
        make.node("n1", cpu="1"),
        make.node("n2", cpu="1"),
        make.node("n3", cpu="1"),
        n1=[make.pod("high", cpu="1", priority=3)],
        n2=[make.pod("low", cpu="1", priority=1)],
        n3=[make.pod("low2", cpu="500m", priority=1), make.pod("low3", cpu="500m", priority=1)],
    )
    assert victims(preempt(table, make.pod("new", cpu="1", priority=9))) == ["low"]


def test_budgets_are_kept_where_that_is_possible(make: Any) -> None:
    table = make.table(
        make.node("n1", cpu="1"),
        make.node("n2", cpu="1"),
        n1=[make.pod("kept", cpu="1", priority=1, labels={"app": "db"})],
        n2=[make.pod("free", cpu="1", priority=2)],
    )
    budget = Budget(("default", "db"), lambda pod: pod.labels.get("app") == "db", 0)
    pod = make.pod("new", cpu="1", priority=9)
    assert victims(preempt(table, pod)) == ["kept"]
    assert victims(preempt(table, pod, budget)) == ["free"]


def test_room_made_by_anti_affinity(make: Any) -> None:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "x"}}}
    anti = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    table = make.table(make.node("n1"), n1=[make.pod("x1", labels={"app": "x"}), make.pod("y", cpu="1")])
    assert victims(preempt(table, make.pod("new", priority=1, affinity=anti))) == ["x1"]
