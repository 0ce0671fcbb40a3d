"""A machine that goes down: whose turn it is, and what the whole agent does then."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.fake import Behaviour
from navarch.agent.kubelet import KubeletConfig
from navarch.agent.runtime import ContainerSpec
from navarch.agent.shutdown import turns
from navarch.kinds import NODE, PRIORITYCLASS
from tests.unit.agent import cluster
from tests.unit.agent.pods import pod
from tests.unit.agent.test_agent import play

MESSAGE = "Pod was terminated in response to imminent node shutdown."
CRITICAL = 2_000_000_000


def of(uid: str, priority: int, grace_s: int) -> Any:
    return pod(meta={"uid": uid}, priority=priority, terminationGracePeriodSeconds=grace_s)


def test_ordinary_pods_end_first_and_critical_ones_in_what_is_kept_for_them() -> None:
    config = KubeletConfig(shutdown_grace_period_s=30.0, shutdown_grace_period_critical_pods_s=10.0)
    found = turns([of("a", 0, 60), of("b", CRITICAL, 60), of("c", 1000, 5)], config)
    assert [(turn.period_s, [(end.uid, end.grace_s) for end in turn.ends]) for turn in found] == [
        (20.0, [("a", 20), ("c", 5)]),
        (10.0, [("b", 10)]),
    ]
    assert all(end.disrupts and end.reason == "Terminated" for turn in found for end in turn.ends)
    assert turns([], config) == []


@given(
    st.lists(st.tuples(st.sampled_from([0, 7, CRITICAL, CRITICAL + 1000]), st.integers(0, 600)), max_size=6),
    st.integers(1, 120),
    st.integers(0, 120),
)
def test_every_pod_has_one_turn_and_all_turns_fit(pods: list[tuple[int, int]], whole_s: int, critical_s: int) -> None:
    critical_s = min(critical_s, whole_s)
    config = KubeletConfig(shutdown_grace_period_s=whole_s, shutdown_grace_period_critical_pods_s=critical_s)
    found = turns([of(f"u{n}", *one) for n, one in enumerate(pods)], config)
    assert sorted(end.uid for turn in found for end in turn.ends) == sorted(f"u{n}" for n in range(len(pods)))
    assert sum(turn.period_s for turn in found) <= whole_s
    for turn in found:
        assert all(0 <= end.grace_s <= turn.period_s for end in turn.ends)
        assert len({pods[int(end.uid[1:])][0] >= CRITICAL for end in turn.ends}) == 1


def test_a_node_that_goes_down_ends_its_pods_in_turn_and_takes_no_more(tmp_path: Path) -> None:
    def behave(spec: ContainerSpec) -> Behaviour:
        return Behaviour(stop_s=None if spec.shown_image == "stubborn:1" else 0.3)

    async def scenario(world: Any) -> None:
        kubelet = KubeletConfig(shutdown_grace_period_s=6.0, shutdown_grace_period_critical_pods_s=3.0)
        world.config = replace(world.config, kubelet=kubelet)
        async with world.running() as agent:
            name = "system-node-critical"
            made = {"kind": "PriorityClass", "metadata": {"name": name}, "value": CRITICAL + 1000}
            await world.client.create(PRIORITYCLASS, {"apiVersion": "scheduling.k8s.io/v1", **made})
            await world.create_pod("plain")
            await world.create_pod("stubborn", {"name": "main", "image": "stubborn:1"})
            await world.create_pod("system", priorityClassName=name)
            ids = {}
            for name in ("plain", "stubborn", "system"):
                found = await world.until(name, cluster.ready)
                ids[cluster.container(found)["containerID"].rpartition("/")[2]] = name
            agent.shutdown.begin()
            async with asyncio.timeout(60):
                await agent.shutdown.over.wait()
            stops = [ids[subject] for verb, subject in world.runtime.calls if verb == "stop_container"]
            assert sorted(stops[:2]) == ["plain", "stubborn"]
            assert stops[2:] == ["system"]
            for name in ("plain", "stubborn", "system"):
                found = await world.until(name, lambda one: one["status"]["phase"] == "Failed")
                assert (found["status"]["reason"], found["status"]["message"]) == ("Terminated", MESSAGE)
                [target] = [one for one in found["status"]["conditions"] if one["type"] == "DisruptionTarget"]
                assert (target["status"], target["reason"]) == ("True", "TerminationByKubelet")
            await world.create_pod("late")
            found = await world.until("late", lambda one: one["status"].get("phase") == "Failed")
            assert found["status"]["reason"] == "NodeShutdown"
            assert found["status"]["message"] == "Pod was rejected: Pod was rejected as the node is shutting down."
            async with asyncio.timeout(60):
                while True:
                    node = (await world.client.get(NODE, "", cluster.NODE)).document()
                    [ready] = [one for one in node["status"]["conditions"] if one["type"] == "Ready"]
                    if ready["status"] == "False":
                        break
                    await asyncio.sleep(0.05)
            assert (ready["reason"], ready["message"]) == ("KubeletNotReady", "node is shutting down")

    play(tmp_path, scenario, behave=behave)


def test_without_a_time_for_it_nothing_is_stopped(tmp_path: Path) -> None:
    async def scenario(world: Any) -> None:
        async with world.running() as agent:
            await world.create_pod("web")
            await world.until("web", cluster.ready)
            agent.shutdown.begin()
            await world.create_pod("more")
            await world.until("more", cluster.ready)
            assert "stop_container" not in [verb for verb, _ in world.runtime.calls]

    play(tmp_path, scenario)
