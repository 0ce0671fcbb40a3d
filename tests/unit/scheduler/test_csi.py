"""What drivers say of nodes is heeded: how many volumes they take, and how much room is left for more."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from navarch.kinds import (
    CSIDRIVER,
    CSINODE,
    CSISTORAGECAPACITY,
    PERSISTENTVOLUME,
    PERSISTENTVOLUMECLAIM,
    STORAGECLASS,
    VOLUMEATTACHMENT,
)
from navarch.kinds.object import Object
from navarch.scheduler import cycle, preempt
from navarch.scheduler.cycle import Refusal
from navarch.scheduler.facts import PodFacts
from navarch.scheduler.preempt import Preemption
from navarch.scheduler.table import Table
from tests.unit.scheduler.conftest import Make

DONE = {"pv.kubernetes.io/bind-completed": "yes"}
DRIVER = "disk.example.com"
FULL = "node(s) exceed max volume count"


def volume(name: str, driver: str = DRIVER, handle: str = "") -> Object:
    spec = {
        "csi": {"driver": driver, "volumeHandle": handle or name},
        "claimRef": {"namespace": "default", "name": name},
    }
    return Object.of(PERSISTENTVOLUME, {"metadata": {"name": name, "uid": name}, "spec": spec})


def claim(name: str, bound: bool = True, size: str = "1Gi") -> Object:
    spec: dict[str, Any] = {"storageClassName": "late", "resources": {"requests": {"storage": size}}}
    metadata: dict[str, Any] = {"name": name, "namespace": "default", "uid": name}
    if bound:
        spec["volumeName"] = name
        metadata["annotations"] = DONE
    return Object.of(PERSISTENTVOLUMECLAIM, {"metadata": metadata, "spec": spec})


def late(provisioner: str = DRIVER) -> Object:
    document = {"metadata": {"name": "late"}, "provisioner": provisioner, "volumeBindingMode": "WaitForFirstConsumer"}
    return Object.of(STORAGECLASS, document)


def limit(node: str, count: int | None, driver: str = DRIVER) -> Object:
    one: dict[str, Any] = {"name": driver, "nodeID": node}
    if count is not None:
        one["allocatable"] = {"count": count}
    return Object.of(CSINODE, {"metadata": {"name": node}, "spec": {"drivers": [one]}})


def attached(name: str, node: str) -> Object:
    spec = {"attacher": DRIVER, "nodeName": node, "source": {"persistentVolumeName": name}}
    return Object.of(VOLUMEATTACHMENT, {"metadata": {"name": f"at-{name}"}, "spec": spec})


def telling(on: bool = True) -> Object:
    return Object.of(CSIDRIVER, {"metadata": {"name": DRIVER}, "spec": {"storageCapacity": on}})


def room(name: str, amount: str = "", most: str = "", **zone: str) -> Object:
    document: dict[str, Any] = {"metadata": {"name": name, "namespace": "kube-system"}, "storageClassName": "late"}
    if amount:
        document["capacity"] = amount
    if most:
        document["maximumVolumeSize"] = most
    if zone:
        document["nodeTopology"] = {"matchLabels": zone}
    return Object.of(CSISTORAGECAPACITY, document)


def pod(make: Make, name: str, *claims: str, **more: Any) -> PodFacts:
    volumes = [{"name": one, "persistentVolumeClaim": {"claimName": one}} for one in claims]
    return make.pod(name, volumes=volumes, **more)


def table(make: Make, *found: Object) -> Table:
    made = Table()
    for name in ("n1", "n2"):
        made.set_node(make.node(name, labels={"zone": name}))
    for one in found:
        made.disks.add(one)
    return made


def able(made: Table, facts: PodFacts) -> list[str] | str:
    found = cycle.feasible(made, facts)
    return found.message() if isinstance(found, Refusal) else [made.names[i] for i in np.flatnonzero(found)]


def test_a_node_takes_no_more_volumes_than_its_driver_says(make: Make) -> None:
    names = ("a", "b", "c")
    made = table(make, late(), limit("n1", 1), *(volume(name) for name in names), *(claim(name) for name in names))
    made.add(pod(make, "there", "a"), "n1")
    assert able(made, pod(make, "p", "b")) == ["n2"]
    assert able(made, pod(make, "p", "a")) == ["n1", "n2"], "it is there already"
    assert able(made, pod(make, "p", "a", "b")) == ["n2"]
    assert able(made, make.pod("p")) == ["n1", "n2"]
    made.disks.add(limit("n2", 0))
    assert able(made, pod(make, "p", "b")) == f"0/2 nodes are available: 2 {FULL}."
    made.disks.add(limit("n2", None))
    assert able(made, pod(make, "p", "b", "c")) == ["n2"]
    made.disks.remove(limit("n1", 1))
    assert able(made, pod(make, "p", "b", "c")) == ["n1", "n2"]


def test_volumes_of_others_do_not_count_and_those_to_be_made_do(make: Make) -> None:
    other = volume("a", driver="other.example.com")
    made = table(make, late(), limit("n1", 1), other, claim("a"), claim("new", bound=False), claim("next", bound=False))
    made.add(pod(make, "there", "a"), "n1")
    assert able(made, pod(make, "p", "new")) == ["n1", "n2"]
    made.add(pod(make, "maker", "new"), "n1")
    assert able(made, pod(make, "p", "next")) == ["n2"]
    by_hand = table(make, late("kubernetes.io/no-provisioner"), limit("n1", 0), claim("new", bound=False))
    assert FULL not in able(by_hand, pod(make, "p", "new"))


def test_what_is_attached_counts_until_it_is_detached(make: Make) -> None:
    made = table(make, late(), limit("n1", 1), volume("a"), claim("a"), volume("gone"), attached("gone", "n1"))
    assert able(made, pod(make, "p", "a")) == ["n2"]
    made.disks.remove(attached("gone", "n1"))
    made.disks.add(attached("a", "n1"))
    assert able(made, pod(make, "p", "a")) == ["n1", "n2"]


def test_a_pod_of_higher_priority_takes_the_place_of_a_volume(make: Make) -> None:
    made = Table()
    made.set_node(make.node("n1"))
    for one in (late(), limit("n1", 1), volume("a"), claim("a"), volume("b"), claim("b")):
        made.disks.add(one)
    made.add(pod(make, "low", "a"), "n1")
    urgent = pod(make, "urgent", "b", priority=10)
    refusal = cycle.feasible(made, urgent)
    assert isinstance(refusal, Refusal)
    plan = preempt.plan(made, urgent, refusal)
    assert isinstance(plan, Preemption)
    assert [victim.name for victim in plan.victims] == ["low"]
    made.disks.add(volume("b", handle="a"))
    assert able(made, urgent) == ["n1"], "two names of one volume"


def test_nobody_is_sent_away_for_a_pod_whose_claims_fit_nowhere(make: Make) -> None:
    made = Table()
    made.set_node(make.node("n1", cpu="1"))
    made.add(make.pod("low", cpu="1"), "n1")
    for one in (late(), claim("a", bound=False), telling()):
        made.disks.add(one)
    urgent = pod(make, "urgent", "a", priority=10, cpu="1")
    refusal = cycle.feasible(made, urgent)
    assert isinstance(refusal, Refusal)
    assert refusal.helpable
    assert not isinstance(preempt.plan(made, urgent, refusal), Preemption)


def test_volumes_are_made_where_there_is_room_for_them(make: Make) -> None:
    parts = (late(), claim("a", bound=False, size="5Gi"))
    assert able(table(make, *parts), pod(make, "p", "a")) == ["n1", "n2"], "a driver that tells nothing is trusted"
    assert able(table(make, *parts, telling(on=False)), pod(make, "p", "a")) == ["n1", "n2"]
    full = "0/2 nodes are available: 2 node(s) did not have enough free storage."
    assert able(table(make, *parts, telling()), pod(make, "p", "a")) == full
    made = table(make, *parts, telling(), room("r1", "4Gi", zone="n1"), room("r2", "5Gi", zone="n2"))
    assert able(made, pod(make, "p", "a")) == ["n2"]
    made.disks.add(room("r1", "10Gi", zone="n1"))
    assert able(made, pod(make, "p", "a")) == ["n1", "n2"]
    made.disks.add(room("r1", "10Gi", most="1Gi", zone="n1"))
    assert able(made, pod(make, "p", "a")) == ["n2"], "no volume may be so large"
    made.disks.add(room("r2", "10Gi"))
    assert able(made, pod(make, "p", "a")) == full, "from nowhere"
    made.disks.remove(room("r1", zone="n1"))
    made.disks.add(room("r3", "10Gi", zone="n1"))
    assert able(made, pod(make, "p", "a")) == ["n1"]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(("n1", "n2"))), max_size=12), st.integers(0, 4))
def test_no_node_ever_has_more_volumes_than_its_limit(taken: list[tuple[str, str]], most: int) -> None:
    make = Make()
    made = table(make, late(), limit("n1", most), limit("n2", most))
    for name in "abcdef":
        made.disks.add(volume(name))
        made.disks.add(claim(name))
    on: dict[str, set[str]] = {"n1": set(), "n2": set()}
    for number, (name, wished) in enumerate(taken):
        facts = pod(make, f"p{number}", name)
        found = able(made, facts)
        fits = [node for node, names in on.items() if len(names | {name}) <= most or name in names]
        assert (found if isinstance(found, list) else []) == fits
        if wished in fits:
            made.add(facts, wished)
            on[wished].add(name)
