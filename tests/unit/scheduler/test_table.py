"""The table stays equal to one that is made afresh, whatever the changes."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from navarch.scheduler.cycle import Placement, place
from navarch.scheduler.filters.spread import counted
from navarch.scheduler.requests import HUGE, amount, effective
from navarch.scheduler.table import REMEMBERED, Load, Table

STEPS = st.lists(
    st.tuples(st.sampled_from(("node", "drop", "add", "remove")), st.integers(0, 19), st.integers(0, 9)), max_size=60
)


def by_node(table: Table, values: Any) -> dict[str, Any]:
    return {name: np.asarray(values)[..., index].tolist() for name, index in table.number.items()}


def owned(table: Table) -> Any:
    """How many pods of one owner are on each node."""
    return table.per_pods("owned", lambda pod: int("o1" in pod.owners), owner="o1")


def cpu_left(load: Load) -> Any:
    return load.allocatable[0] - load.requested[0]


def whole(table: Table) -> Load:
    return Load(table.allocatable, table.requested, table.scored)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_incremental_equals_fresh(make: Any, steps: list[tuple[str, int, int]]) -> None:
    constraint = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"}
    constraint["labelSelector"] = {"matchLabels": {"app": "x1"}}
    spread = make.pod("asks", topologySpreadConstraints=[constraint]).spread_hard[0]
    table = Table()
    nodes: dict[str, Any] = {}
    pods: dict[str, tuple[Any, str]] = {}
    for what, first, second in steps:
        name = f"n{first}"
        if what == "node":
            nodes[name] = make.node(name, cpu=str(second + 1), extra={f"example.com/r{second % 3}": "5"})
            table.set_node(nodes[name])
        elif what == "drop":
            nodes.pop(name, None)
            table.remove_node(name)
        elif what == "add":
            pod = make.pod(f"p{second}", cpu="100m", labels={"app": f"x{second % 2}"}, owner=f"o{second % 3}")
            pods[pod.uid] = (pod, name)
            table.add(pod, name)
        else:
            uid = f"uid-default-p{second}"
            pods.pop(uid, None)
            table.remove(uid)
        counted(table, spread)
        owned(table)
        table.per_load("cpu left", cpu_left)
        table.domains("kubernetes.io/hostname")
    fresh = Table()
    for node in nodes.values():
        fresh.set_node(node)
    for pod, name in pods.values():
        fresh.add(pod, name)
    assert by_node(table, table.requested[:4]) == by_node(fresh, fresh.requested[:4])
    assert by_node(table, counted(table, spread)) == by_node(fresh, counted(fresh, spread))
    assert by_node(table, owned(table)) == by_node(fresh, owned(fresh))
    assert by_node(table, table.per_load("cpu left", cpu_left)) == by_node(fresh, cpu_left(whole(fresh)))
    for resource, row in fresh.rows.items():
        assert by_node(table, table.allocatable[table.rows[resource]]) == by_node(fresh, fresh.allocatable[row])
    assert table.size == len(nodes) == int(table.present.sum())


def test_pods_come_back_with_their_node(make: Any) -> None:
    table = make.table(make.node("n1"), n1=[make.pod("a", cpu="3")])
    table.remove_node("n1")
    assert not isinstance(place(table, make.pod("b", cpu="3"), 0.0), Placement)
    table.set_node(make.node("n1"))
    assert not isinstance(place(table, make.pod("b", cpu="3"), 0.0), Placement)
    table.remove("uid-default-a")
    assert isinstance(place(table, make.pod("b", cpu="3"), 0.0), Placement)


def test_init_containers_sidecars_overhead_and_pod_requests(make: Any) -> None:
    def one(cpu: str, **more: str) -> dict[str, Any]:
        return {"name": "c", "resources": {"requests": {"cpu": cpu}}, **more}

    spec = make.pod(
        "a",
        containers=[one("100m"), one("200m")],
        initContainers=[one("1"), one("50m", restartPolicy="Always"), one("1200m")],
        overhead={"cpu": "10m"},
    ).spec
    assert effective(spec) == {"cpu": 1260}
    assert effective(make.pod("b", containers=[one("1")], resources={"requests": {"cpu": "3"}}).spec) == {"cpu": 3000}
    assert effective(make.pod("c").spec, {"cpu": 100}) == {"cpu": 100}


def test_absurd_amounts_do_not_overflow(make: Any) -> None:
    table = make.table(make.node("n1"))
    for number in range(100):
        table.add(make.pod(f"p{number}", cpu="9223372036854775807", memory="8Ei"), "n1")
    assert amount("memory", "8Ei") == HUGE
    assert int(table.requested[1, 0]) == 100 * HUGE


def test_a_column_of_one_owner_costs_the_pods_of_others_nothing(make: Any) -> None:
    table = make.table(make.node("n1"))
    asked: list[str] = []

    def ask(pod: Any) -> int:
        asked.append(pod.name)
        return 1

    for number in range(20):
        table.per_pods(("owned", number), ask, owner=f"o{number}")
    for number in range(20):
        table.add(make.pod(f"p{number}", owner=f"o{number}"), "n1")
    assert asked == [f"p{number}" for number in range(20)]


def test_a_column_that_was_forgotten_is_made_anew_of_its_owners_pods_alone(make: Any) -> None:
    table = make.table(make.node("n1"), n1=[make.pod(f"p{number}", owner=f"o{number % 2}") for number in range(8)])
    assert owned(table).tolist() == [4]
    for number in range(REMEMBERED):
        table.per_pods(("other", number), lambda pod: 1, owner=f"x{number % 5}")
    asked: list[str] = []
    assert table.per_pods("owned", lambda pod: asked.append(pod.name) or 1, owner="o1").tolist() == [4]
    assert asked == ["p1", "p3", "p5", "p7"]
    table.remove("uid-default-p1")
    assert owned(table).tolist() == [3]


def test_a_load_is_asked_again_only_of_nodes_whose_load_changed(make: Any) -> None:
    table = make.table(*(make.node(f"n{number}") for number in range(10)))
    asked: list[int] = []

    def ask(load: Load) -> Any:
        asked.append(load.requested.shape[1])
        return load.requested[0].copy()

    table.per_load("cpu", ask)
    table.per_load("cpu", ask)
    table.add(make.pod("a", cpu="1"), "n3")
    table.add(make.pod("b", cpu="1"), "n3")
    table.add(make.pod("c", cpu="2"), "n5")
    assert table.per_load("cpu", ask).tolist() == [0, 0, 0, 2000, 0, 2000, 0, 0, 0, 0]
    assert asked[1:] == [2]


def test_an_owner_that_is_named_twice_counts_once(make: Any) -> None:
    table = make.table(make.node("n1"))
    assert owned(table).tolist() == [0]
    pod = msgspec.structs.replace(make.pod("a", owner="o1"), owners=("o1", "o1"))
    table.add(pod, "n1")
    assert owned(table).tolist() == [1]
    table.remove(pod.uid)
    assert owned(table).tolist() == [0]
