"""How many lost nodes are emptied at a time, and where nobody is; what becomes of pods on dead nodes, in time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import navarch
from navarch.controllers import Options
from navarch.controllers.node import taints
from navarch.controllers.node.zones import LOOK_AGAIN_S, Zones, rate, zone_of
from navarch.kinds import NODE
from tests.unit.controllers.conftest import NOW, Make

UPSTREAM = Options(node_grace_s=40, patience_s=300, node_evictions_s=0.1)


@pytest.mark.parametrize(
    ("ready", "unready", "wanted"),
    [
        (3, 0, 0.1),
        (1, 2, 0.1),  # two say nothing about a zone
        (1, 3, 0.0),  # small, and most of it is gone
        (9, 11, 0.0),  # just 55 percent
        (10, 11, 0.1),
        (20, 30, 0.0),
        (20, 31, 0.01),  # large
        (0, 5, 0.1),  # all of it, while others are well
    ],
)
def test_how_fast_a_zone_is_emptied(ready: int, unready: int, wanted: float) -> None:
    assert rate(UPSTREAM, ready, unready) == wanted


def test_zones_are_told_by_region_and_zone(make: Make) -> None:
    def labelled(**labels: str) -> str:
        found = {name.replace("_", "/"): value for name, value in labels.items()}
        return zone_of(make.object(NODE, "n", metadata={"labels": found}))

    assert labelled() == ""
    assert labelled(**{"topology.kubernetes.io_zone": "a"}) == ":a"
    new = {"topology.kubernetes.io_region": "r", "topology.kubernetes.io_zone": "a"}
    old = {"failure-domain.beta.kubernetes.io_region": "r", "failure-domain.beta.kubernetes.io_zone": "a"}
    assert labelled(**new) == labelled(**old) == "r:a"


class Town:
    """Zones, whom they wake, and a clock."""

    def __init__(self, options: Options = UPSTREAM) -> None:
        self.woken: list[str] = []
        self.zones = Zones(options, self.woken.append)
        self.now = NOW
        self.health = {"a": (10, 1), "b": (10, 1)}

    def ask(self, name: str, zone: str = "a") -> float | None:
        return self.zones.turn_s(name, zone, lambda: self.health[zone], self.now)


def test_one_after_the_other_and_zones_apart() -> None:
    town = Town()
    assert town.ask("first") == 0
    assert town.ask("first") == 0, "it keeps its turn"
    assert town.ask("second") == 10
    assert town.ask("third") is None
    assert town.ask("far", "b") == 0
    town.now += timedelta(seconds=10)
    assert town.ask("second") == 0
    assert town.woken == ["third"]
    assert town.ask("third") == 10
    town.zones.forget("second")
    assert town.ask("second") is None, "it is at the end of the line"


def test_a_stopped_zone_goes_on_when_it_is_better() -> None:
    town = Town()
    town.health["a"] = (2, 5)
    assert (town.ask("first"), town.ask("second")) == (LOOK_AGAIN_S, None)
    assert town.zones.stopped() == ["first"]
    town.health["a"] = (5, 2)
    assert town.ask("first") == 0
    assert (town.woken, town.zones.stopped()) == (["second"], [])


STEPS = st.tuples(
    st.sampled_from("abcdef"),
    st.sampled_from(["ask", "forget", "wait", "worse", "better"]),
    st.integers(1, 30),
)


@given(st.lists(STEPS, max_size=80))
def test_never_faster_than_the_rate_and_never_in_a_stopped_zone(steps: Sequence[tuple[str, str, int]]) -> None:
    town = Town()
    granted: set[str] = set()
    last: float | None = None
    for name, step, seconds in steps:
        if step == "wait":
            town.now += timedelta(seconds=seconds)
        elif step == "worse":
            town.health["a"] = (2, 4)
        elif step == "better":
            town.health["a"] = (6, 0)
        elif step == "forget":
            town.zones.forget(name)
            granted.discard(name)
        elif town.ask(name) == 0 and name not in granted:
            granted.add(name)
            at = (town.now - NOW).total_seconds()
            assert town.health["a"] == (6, 0) or town.health["a"] == (10, 1)
            assert last is None or at - last >= 10
            last = at


@given(st.permutations("abcd"))
def test_whoever_waits_has_a_turn(order: Sequence[str]) -> None:
    town = Town()
    waits = {name: town.ask(name) for name in order}
    done = {name for name, wait_s in waits.items() if wait_s == 0}
    for _ in range(40):
        town.now += timedelta(seconds=1)
        done |= {name for name in order if town.ask(name) == 0}
    assert done == set(order)


# in a cluster


DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 6
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: "web:v1"}]}
"""
STATEFULSET = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 1
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: main, image: "db:v1"}]}
"""


def emptied(c: Any) -> list[str]:
    return [node.name for node in c.client.list("nodes").items if taints.emptied(node.view)]


def running_elsewhere(c: Any, dead: str) -> bool:
    pods = [pod for pod in c.client.list("pods", "default").items if not pod.terminating]
    return len(pods) == 6 and all(pod.view.ready and pod.view.spec.node_name != dead for pod in pods)


def seconds_until(c: Any, what: Any, limit_s: int) -> int:
    """Seconds of the cluster's time, of which none are skipped."""
    for passed_s in range(limit_s + 1):
        if what():
            return passed_s
        c.clock.advance(seconds=1)
    raise AssertionError(f"not within {limit_s} s")


def test_pods_of_a_dead_node_run_elsewhere_within_thirty_seconds() -> None:
    with navarch.Cluster(nodes=3, frozen=True) as c:
        c.apply(DEPLOYMENT)
        c.wait("deployment/web", "rolled out", leap_s=60)
        c.nodes.fail("node-1")
        assert seconds_until(c, lambda: emptied(c) == ["node-1"], 13) >= 11
        assert seconds_until(c, lambda: running_elsewhere(c, "node-1"), 16) >= 9


def test_who_was_to_leave_hears_that_it_may_stay() -> None:
    with navarch.Cluster(nodes=2, frozen=True) as c:
        c.apply(DEPLOYMENT)
        c.wait("deployment/web", "rolled out", leap_s=60)
        c.nodes.fail("node-1")
        c.clock.advance(seconds=15)
        c.nodes.heal("node-1")
        c.clock.advance(minutes=5)
        said = [event.document() for event in c.client.list("events", "default").items]
        cancelled = {one["involvedObject"]["name"] for one in said if one["message"].startswith("Cancelling deletion")}
        pods = c.client.list("pods", "default").items
        assert cancelled == {pod.name for pod in pods if pod.view.spec.node_name == "node-1"}
        assert len(cancelled) == 3


def test_as_slowly_as_upstream_if_that_is_asked_for() -> None:
    with navarch.Cluster(nodes=3, frozen=True, options=UPSTREAM) as c:
        c.apply(DEPLOYMENT)
        c.wait("deployment/web", "rolled out", leap_s=60)
        c.nodes.fail("node-1")
        c.clock.advance(seconds=39)
        assert emptied(c) == []
        c.clock.advance(seconds=2)
        assert emptied(c) == ["node-1"]
        c.clock.advance(seconds=295)
        assert not running_elsewhere(c, "node-1")
        seconds_until(c, lambda: running_elsewhere(c, "node-1"), 15)


def test_most_of_a_zone_at_once_is_nobodys_death() -> None:
    machines = {"a": 5, "b": 2}
    zones = [zone for zone, count in machines.items() for _ in range(count)]
    with navarch.Cluster(nodes=7, zones=zones, frozen=True) as c:
        in_a = [node.name for node in c.client.list("nodes").items if node.labels.get(ZONE) == "a"]
        for name in in_a[:4]:
            c.nodes.fail(name)
        c.clock.advance(minutes=30)
        assert emptied(c) == [], "four of five: it is rather the network"
        c.nodes.heal(in_a[0])
        c.nodes.heal(in_a[1])
        c.clock.advance(seconds=10)
        assert emptied(c) == in_a[2:4], "two are lost for certain"


ZONE = "topology.kubernetes.io/zone"


@pytest.mark.parametrize("way", ["heal", "remove", "fence"])
def test_an_identity_comes_back_only_when_the_old_one_is_surely_gone(way: str) -> None:
    """By the node's own word, by its removal, or by somebody's word that it is out of service."""
    with navarch.Cluster(nodes=2, frozen=True) as c:
        c.apply(STATEFULSET)
        c.wait("pod/db-0", lambda pod: pod["status"].get("phase") == "Running", leap_s=60)
        first = c.client.get("pod", "default", "db-0")
        dead = first.view.spec.node_name
        c.nodes.fail(dead)
        c.clock.advance(minutes=10)
        held = c.client.get("pod", "default", "db-0")
        assert (held.uid, held.terminating) == (first.uid, True), "it may run there still, nobody knows"
        if way == "heal":
            c.nodes.heal(dead)
        elif way == "remove":
            c.client.delete("node", "", dead)
        else:
            present = c.client.get("node", "", dead).document()["spec"]["taints"]
            fence = {"key": taints.OUT_OF_SERVICE, "value": "nodeshutdown", "effect": "NoExecute"}
            c.client.patch("node", "", dead, {"spec": {"taints": [*present, fence]}})
        seconds_until(c, lambda: _is_back(c, first.uid), 60)


def _is_back(c: Any, old: str) -> bool:
    found = [pod for pod in c.client.list("pods", "default").items if pod.uid != old]
    return len(found) == 1 and found[0].name == "db-0" and found[0].view.ready
