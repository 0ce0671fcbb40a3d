"""How the agent learns what the runtime does: events, and the relist under them, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from navarch.agent.fake import Behaviour, FakeRuntime
from navarch.agent.runtime import ContainerState, PodOnNode, RuntimeFailure
from tests.unit.agent.virtual import Island, play, restarts


def crash(island: Island, pod: PodOnNode) -> None:
    island.runtime.crash(pod.containers[0].id)


async def settled(island: Island, names: str = "web") -> PodOnNode:
    await island.create(names)
    await island.clock.sleep(200)
    found = await FakeRuntime.observe(island.runtime)
    return next(pod for pod in found.values() if pod.name == names)


def test_an_event_is_acted_on_at_once_and_nothing_is_missed() -> None:
    async def scenario(island: Island, group: asyncio.TaskGroup) -> None:
        agent = island.start(group)
        crash(island, await settled(island))
        await island.clock.sleep(0.1)
        assert restarts(await island.pod("web")) == 1
        await island.clock.sleep(3600)
        assert agent.vitals.differences.present() == {}
        assert agent.vitals.events.value() >= 1

    play(scenario)


def test_what_no_event_told_is_found_by_a_relist_counted_and_looked_for_more_often() -> None:
    async def scenario(island: Island, group: asyncio.TaskGroup) -> None:
        agent = island.start(group)
        pod = await settled(island)
        island.runtime.deaf = True
        crash(island, pod)
        for _ in range(int(island.config.relist_s) + 2):
            await island.clock.sleep(1)
            if agent.vitals.differences.present():
                break
        assert agent.vitals.differences.present() == {("missed",): 1}
        assert restarts(await island.pod("web")) == 1
        before = agent.vitals.relists.count()
        await island.clock.sleep(10)
        assert agent.vitals.relists.count() - before >= 2

    play(scenario)


def test_a_quiet_runtime_is_asked_less_and_less() -> None:
    async def scenario(island: Island, group: asyncio.TaskGroup) -> None:
        agent = island.start(group)
        await settled(island)
        counts = []
        for _ in range(3):
            before = agent.vitals.relists.count()
            await island.clock.sleep(600)
            counts.append(agent.vitals.relists.count() - before)
        assert counts == [10, 10, 10]
        assert agent.vitals.intervals.count() == agent.vitals.relists.count() - 1

    play(scenario)


class Slow(FakeRuntime):
    """One that takes its time to list everything."""

    async def observe(self, uid: str = "") -> Mapping[str, PodOnNode]:
        if not uid:
            await self._clock.sleep(30)
        return await super().observe(uid)


def test_a_slow_runtime_is_not_kept_busy_with_relisting() -> None:
    async def scenario(island: Island, group: asyncio.TaskGroup) -> None:
        agent = island.start(group)
        await island.create("web")
        await island.clock.sleep(36_000)
        assert agent.vitals.relists.count() <= 36_000 / (30 / 0.02) + 3
        assert agent.vitals.differences.present() == {}

    play(scenario, runtime=Slow)


def test_what_happened_while_the_stream_was_cut_is_found_as_soon_as_it_is_open_again() -> None:
    async def scenario(island: Island, group: asyncio.TaskGroup) -> None:
        agent = island.start(group)
        pod = await settled(island)
        island.runtime.end_changes()
        await island.clock.sleep(5)
        crash(island, pod)
        island.runtime.away = False
        await island.clock.sleep(1.5)
        assert restarts(await island.pod("web")) == 1
        assert agent.vitals.differences.present() == {("cut",): 1}
        assert agent.vitals.connected.value() == 2
        assert agent.vitals.cut.value() >= 1
        crash(island, next(iter((await FakeRuntime.observe(island.runtime)).values())))
        await island.clock.sleep(15)
        assert restarts(await island.pod("web")) == 2
        assert agent.vitals.differences.present() == {("cut",): 1}

    play(scenario)


def test_a_sandbox_that_nobody_knows_is_cleared_away_by_a_relist_and_counted() -> None:
    async def scenario(island: Island, group: asyncio.TaskGroup) -> None:
        from tests.conformance.test_runtime import sandbox

        agent = island.start(group)
        await settled(island)
        await island.runtime.start_sandbox(sandbox("stranger"))
        await island.clock.sleep(island.config.relist_s + 10)
        assert "stranger" not in await FakeRuntime.observe(island.runtime)
        assert agent.vitals.orphans.value() == 1

    play(scenario)


class Hanging(FakeRuntime):
    """One that answers nobody who lists everything, or nobody at all, until the caller's patience ends."""

    lists = True
    speaks = True

    async def observe(self, uid: str = "") -> Mapping[str, PodOnNode]:
        if not uid and not self.lists:
            await self._clock.sleep(120)
            raise RuntimeFailure("the container runtime took too long")
        return await super().observe(uid)

    async def info(self) -> Any:
        if not self.speaks:
            await self._clock.sleep(10)
            raise RuntimeFailure("the container runtime took too long")
        return await super().info()


def test_a_runtime_that_cannot_be_listed_makes_the_node_unready_and_pods_go_on() -> None:
    async def scenario(island: Island, group: asyncio.TaskGroup) -> None:
        island.start(group)
        pod = await settled(island)
        island.runtime.lists = False
        await island.clock.sleep(400)
        ready = await island.node_ready()
        assert ready["status"] == "False"
        assert ready["reason"] == "KubeletNotReady"
        assert ready["message"].startswith("PLEG is not healthy: pleg was last seen active ")
        assert ready["message"].endswith("ago; threshold is 3m0s")
        crash(island, pod)
        await island.clock.sleep(1)
        assert restarts(await island.pod("web")) == 1
        island.runtime.lists = True
        await island.clock.sleep(300)
        assert (await island.node_ready())["status"] == "True"

    play(scenario, runtime=Hanging)


def test_a_runtime_that_is_silent_for_a_moment_does_not_make_the_node_unready() -> None:
    async def scenario(island: Island, group: asyncio.TaskGroup) -> None:
        island.start(group)
        await settled(island)
        since = (await island.node_ready())["lastTransitionTime"]
        island.runtime.end_changes()
        await island.clock.sleep(20)
        island.runtime.away = False
        await island.clock.sleep(100)
        assert (await island.node_ready())["status"] == "True"
        assert (await island.node_ready())["lastTransitionTime"] == since
        island.runtime.speaks = False
        await island.clock.sleep(100)
        found = await island.node_ready()
        assert (found["status"], found["message"]) == ("False", "container runtime is down")
        island.runtime.speaks = True
        await island.clock.sleep(20)
        assert (await island.node_ready())["status"] == "True"
        [container] = await island.containers("web")
        assert container.state is ContainerState.RUNNING
        assert restarts(await island.pod("web")) == 0

    play(scenario, runtime=Hanging)


class HangingFor(FakeRuntime):
    """One that never finishes to start the sandbox of one pod."""

    async def start_sandbox(self, spec: Any) -> str:
        if spec.name == "stuck":
            await self._clock.sleep(120)
            raise RuntimeFailure("the container runtime took too long", reason="CreatePodSandboxError")
        return await super().start_sandbox(spec)


def test_a_call_that_hangs_for_one_pod_does_not_stop_the_others() -> None:
    async def scenario(island: Island, group: asyncio.TaskGroup) -> None:
        island.start(group)
        await island.create("stuck")
        await island.clock.sleep(1)
        await island.create("web")
        await island.clock.sleep(2)
        assert (await island.pod("web"))["status"]["phase"] == "Running"
        await island.clock.sleep(150)
        told = [text for reason, text in await island.events() if reason == "FailedCreatePodSandBox"]
        assert told
        assert "took too long" in told[0]
        [running] = await island.containers("web")
        assert running.state is ContainerState.RUNNING

    play(scenario, runtime=HangingFor)


def test_a_container_that_ends_at_once_is_seen_to_end() -> None:
    async def scenario(island: Island, group: asyncio.TaskGroup) -> None:
        agent = island.start(group)
        await island.create("task", restartPolicy="Never")
        await island.clock.sleep(3)
        assert (await island.pod("task"))["status"]["phase"] == "Succeeded"
        await island.clock.sleep(600)
        assert agent.vitals.differences.present() == {}

    play(scenario, behave=lambda spec: Behaviour(run_s=0.0))
