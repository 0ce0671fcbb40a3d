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
from navarch.agent.shutdown import BEGUN, CALLED_OFF, Times, needed_s, turns
from navarch.agent.vitals import Vitals
from navarch.kinds import EVENT, NODE, PRIORITYCLASS
from tests.unit.agent import cluster
from tests.unit.agent.pods import START, at, pod
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


def test_times_by_priority_stand_in_place_of_both() -> None:
    given = ((100_000, 10.0), (0, 60.0), (10_000, 180.0))
    config = KubeletConfig(shutdown_grace_period_by_pod_priority=given)
    priorities = {"low": -5, "zero": 0, "below": 9_999, "at": 10_000, "above": 99_999, "top": CRITICAL}
    found = turns([of(uid, priority, 600) for uid, priority in priorities.items()], config)
    assert [(turn.period_s, [end.uid for end in turn.ends]) for turn in found] == [
        (60.0, ["low", "zero", "below"]),
        (180.0, ["at", "above"]),
        (10.0, ["top"]),
    ]
    assert needed_s(config) == 250
    assert needed_s(KubeletConfig()) == 0


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
            assert agent.vitals.rejected.value("NodeShutdown") == 1
            began, ended = agent.vitals.shutdown_begun.value(), agent.vitals.shutdown_ended.value()
            assert 0 < began <= ended

    play(tmp_path, scenario, behave=behave)


def test_a_shutdown_that_is_called_off_leaves_a_node_that_takes_pods(tmp_path: Path) -> None:
    async def scenario(world: Any) -> None:
        world.config = replace(world.config, kubelet=KubeletConfig(shutdown_grace_period_s=60.0))
        async with world.running() as agent:
            done: list[bool] = []
            agent.shutdown.finished = lambda: done.append(True)
            await world.create_pod("web")
            await world.until("web", cluster.ready)
            agent.shutdown.call_off()  # of nothing
            agent.shutdown.begin()
            assert agent.shutdown.problem() == "node is shutting down"
            async with asyncio.timeout(60):
                await agent.shutdown.over.wait()
            assert done == [True]
            agent.shutdown.call_off()
            assert agent.shutdown.problem() == ""
            await world.create_pod("late")
            await world.until("late", cluster.ready)
            agent.shutdown.begin()
            await world.until("late", lambda one: one["status"]["phase"] == "Failed")
            async with asyncio.timeout(60):
                while len(done) < 2:  # noqa: ASYNC110 - it is called, and tells nobody
                    await asyncio.sleep(0.01)

            async def told() -> list[str]:
                events = (await world.client.list(EVENT, "default")).items
                return [one.document()["message"] for one in events if one.document()["reason"] == "NodeShutdown"]

            async with asyncio.timeout(60):
                while not {BEGUN, CALLED_OFF} <= set(await told()):  # noqa: ASYNC110 - each look is a question
                    await asyncio.sleep(0.05)

    play(tmp_path, scenario, behave=lambda spec: Behaviour(stop_s=0.1))


def test_when_the_machine_last_went_down_is_told_by_the_agent_after(tmp_path: Path) -> None:
    async def scenario() -> None:
        first, second, third = (Vitals() for _ in range(3))
        file = tmp_path / "agent" / "state"
        await Times(file, first).recall()
        assert first.shutdown_begun.value() == 0
        await Times(file, first).note(START)
        await Times(file, second).recall()
        assert (second.shutdown_begun.value(), second.shutdown_ended.value()) == (START.timestamp(), 0)
        await Times(file, first).note(START, at(30))
        await Times(file, second).recall()
        assert second.shutdown_ended.value() == at(30).timestamp()
        for broken in ("", "[]", '{"startTime": 5}', '{"startTime": "soon"}'):
            file.write_text(broken)
            await Times(file, third).recall()
        assert third.shutdown_begun.value() == 0

    asyncio.run(scenario())
