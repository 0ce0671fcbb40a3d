"""What containers have to themselves: who gets CPUs, and that nobody ever gets what another one has."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.devices.plugins import Device
from navarch.agent.topology.hints import ANYWHERE, Hint
from navarch.agent.topology.shares import Asked, Room, Share, exclusive_cpus, most, taken_cpus, taken_devices
from tests.unit.agent.pods import pod
from tests.unit.agent.topology.test_cpus import MACHINE

GPU = "example.com/gpu"


def container(name: str, cpu: str = "", memory: str = "1Gi", **more: Any) -> dict[str, Any]:
    amounts = {"cpu": cpu, "memory": memory} if cpu else {}
    return {"name": name, "image": "a", "resources": {"limits": amounts, "requests": amounts}, **more}


def room(devices: dict[str, Device] | None = None, taken: set[str] = frozenset()) -> Room:  # type: ignore[assignment]
    known = {GPU: devices or {}}
    return Room(MACHINE, MACHINE.all - {0}, MACHINE.all - {0}, known, {GPU: set(known[GPU]) - taken})


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (pod(container("a", "2")), 2),
        (pod(container("a", "2500m")), 0),
        (pod(container("a", "500m")), 0),
        (pod(container("a")), 0),
        (pod(container("a", "2"), container("b")), 0),
        (pod({"name": "a", "image": "a", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "3"}}}), 0),
        (pod(container("a", "2"), resources={"limits": {"cpu": "2", "memory": "2Gi"}}), 0),
    ],
)
def test_who_gets_cpus_of_its_own(made: Any, wanted: int) -> None:
    assert exclusive_cpus(made, made.spec.containers[0]) == wanted


def test_a_pod_has_at_most_what_runs_at_one_time() -> None:
    made = pod(
        container("main"),
        container("other"),
        initContainers=[container("first"), container("side", restartPolicy="Always"), container("second")],
    )
    asked = {
        "first": Asked(4, {GPU: 1}),
        "side": Asked(1),
        "second": Asked(3, {GPU: 2}),
        "main": Asked(1, {GPU: 1}),
        "other": Asked(1, {}),
    }
    assert most(made, asked) == Asked(4, {GPU: 2})
    assert most(made, {}) == Asked()
    assert not Asked()


def test_what_an_init_container_had_is_for_those_after_it() -> None:
    here = room({name: Device(name, True) for name in "abc"})
    first = here.give_cpus(2, ANYWHERE, reusable=True)
    assert here.give_cpus(3, ANYWHERE, reusable=False) > first
    assert here.give_devices(GPU, ["a"], reusable=True) == ("a",)
    assert here.candidates(GPU, 2, ANYWHERE) == (["a"], ["a", "b", "c"])
    here.give_devices(GPU, ["a", "b"], reusable=False)
    assert here.candidates(GPU, 1, ANYWHERE) == ([], ["c"])


def test_devices_that_lie_near_come_first_then_those_that_lie_nowhere() -> None:
    here = room({"a": Device("a", True, (0,)), "b": Device("b", True, (1,)), "c": Device("c", True)})
    near = Hint(frozenset({1}), True)
    assert here.candidates(GPU, 1, near) == ([], ["b"])
    assert here.candidates(GPU, 2, near) == ([], ["b", "c", "a"])
    [told] = here.parts(Asked(0, {GPU: 2}))
    assert told is not None
    assert [(sorted(hint.nodes or ()), hint.preferred) for hint in told] == [([0], True), ([1], True), ([0, 1], False)]
    assert room({"a": Device("a", True)}).parts(Asked(0, {GPU: 1})) == [None]


def test_too_few_devices_are_refused_in_kubernetes_words() -> None:
    here = room({"a": Device("a", True)}, taken={"a"})
    with pytest.raises(ValueError, match=r"unavailable for example\.com/gpu\. Requested: 1, Available: 0"):
        here.candidates(GPU, 1, ANYWHERE)
    with pytest.raises(ValueError, match="no healthy devices present; cannot allocate unhealthy devices"):
        room({}).candidates(GPU, 1, ANYWHERE)


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.none() | st.frozensets(st.integers(0, 1))), max_size=8))
def test_nobody_gets_what_another_one_has(steps: list[tuple[int, bool, frozenset[int] | None]]) -> None:
    """reusable ones are init containers: only what those had may be given again."""
    here = room()
    kept: set[int] = set()
    for count, reusable, nodes in steps:
        try:
            given_cpus = here.give_cpus(count, Hint(nodes or None, True), reusable=reusable)
        except ValueError:
            assert count > len(here.free) + len(here.own_cpus)
            continue
        assert len(given_cpus) == count
        assert not given_cpus & kept
        assert 0 not in given_cpus, "a reserved CPU is nobody's own"
        if not reusable:
            kept |= given_cpus
        assert not here.free & (kept | here.own_cpus)


def test_what_is_taken_is_the_sum_of_all_shares() -> None:
    shares = {"u": {"a": Share(frozenset({1}), {GPU: ("x",)}), "b": Share(frozenset({2}))}, "v": {"c": Share()}}
    assert taken_cpus(shares) == {1, 2}
    assert taken_devices(shares, GPU) == {"x"}
    assert taken_devices(shares, "other") == set()
