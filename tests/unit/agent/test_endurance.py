"""What happens to nodes, on virtual time: clocks that are set, an API server out of reach, agents that are killed."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from navarch.agent.fake import Behaviour
from navarch.agent.leaps import Leaps
from navarch.agent.machine import SIMULATED
from navarch.agent.runtime import ContainerState
from navarch.agent.volumes.storage import NoStorage
from navarch.base.errors import Unavailable
from navarch.base.loop import SimulationLoop
from navarch.client.client import Client
from navarch.kinds import EVENT, POD
from tests.unit.agent.virtual import EPOCH, Island, LeapingClock, play, restarts

HOURS = [timedelta(hours=5), timedelta(hours=-5)]


@pytest.mark.parametrize("leap", HOURS, ids=["ahead", "back"])
def test_a_clock_that_is_set_changes_no_back_off(leap: timedelta) -> None:
    async def scenario(island: Island, group: asyncio.TaskGroup) -> None:
        island.start(group)
        await island.create("web")
        await island.clock.sleep(20)
        for _ in range(2):  # the first restart comes at once, the second after 10 s
            [newest, *_] = await island.containers("web")
            island.runtime.crash(newest.id)
            await island.clock.sleep(1)
        assert restarts(await island.pod("web")) == 1
        island.clock.leapt += leap
        await island.clock.sleep(5)
        assert restarts(await island.pod("web")) == 1, "sooner than it should"
        await island.clock.sleep(6)
        assert restarts(await island.pod("web")) == 2, "later than it should"

    play(scenario)


@pytest.mark.parametrize("leap", HOURS, ids=["ahead", "back"])
def test_an_agent_that_begins_after_the_clock_was_set_does_not_wait_for_hours(leap: timedelta) -> None:
    async def scenario(island: Island, group: asyncio.TaskGroup) -> None:
        island.start(group)
        await island.create("web")
        await island.clock.sleep(20)
        for _ in range(2):
            [newest, *_] = await island.containers("web")
            island.runtime.crash(newest.id)
            await island.clock.sleep(1)
        await island.stop()
        island.clock.leapt += leap
        island.start(group)
        await island.clock.sleep(12)
        assert restarts(await island.pod("web")) == 2

    play(scenario)


@pytest.mark.parametrize("leap", HOURS, ids=["ahead", "back"])
def test_a_failed_step_is_tried_again_when_it_was_to_be(leap: timedelta) -> None:
    async def scenario(island: Island, group: asyncio.TaskGroup) -> None:
        island.start(group)
        island.runtime.sandbox_error = "no room"
        await island.create("web")
        await island.clock.sleep(20)
        island.clock.leapt += leap
        await island.clock.sleep(1)
        island.runtime.sandbox_error = ""
        await island.clock.sleep(31)
        assert (await island.pod("web"))["status"]["phase"] == "Running"

    play(scenario)


@pytest.mark.parametrize("leap", HOURS, ids=["ahead", "back"])
def test_a_pod_that_is_stopped_has_the_time_that_it_was_given(leap: timedelta) -> None:
    """A container that does not obey is killed after 30 s, wherever the clock stands."""

    async def scenario(island: Island, group: asyncio.TaskGroup) -> None:
        island.start(group)
        await island.create("web", terminationGracePeriodSeconds=30)
        await island.clock.sleep(20)
        await island.api.delete(POD, "default", "web")
        island.clock.leapt += leap
        await island.clock.sleep(28)
        [container] = await island.containers("web")
        assert container.state is ContainerState.RUNNING
        await island.clock.sleep(4)
        assert await island.pods() == []

    play(scenario, behave=lambda spec: Behaviour(stop_s=None))


@pytest.mark.parametrize("leap", HOURS, ids=["ahead", "back"])
def test_probes_go_on_when_the_clock_is_set(leap: timedelta) -> None:
    async def scenario(island: Island, group: asyncio.TaskGroup) -> None:
        island.start(group)
        probe = {"exec": {"command": ["x"]}, "initialDelaySeconds": 20, "periodSeconds": 5}
        await island.create("web", containers=[{"name": "main", "image": "app:1", "readinessProbe": probe}])
        await island.clock.sleep(5)
        await island.stop()
        island.clock.leapt += leap
        island.start(group)
        await island.clock.sleep(26)
        assert (await island.pod("web"))["status"]["containerStatuses"][0]["ready"]

    play(scenario)


def test_a_correction_of_the_clock_is_no_leap() -> None:
    clock = LeapingClock(EPOCH, SimulationLoop())
    leaps = Leaps(clock)
    assert leaps.since() == timedelta()
    clock.leapt = timedelta(seconds=0.5)
    assert leaps.since() == timedelta()
    clock.leapt = timedelta(seconds=-7200)
    assert leaps.since().total_seconds() == pytest.approx(-7200, abs=1)
    assert leaps.since() == timedelta()


class CutClient:
    """The way to the API server, which can be cut: nothing is answered, and what was watched ends."""

    def __init__(self, inner: Client) -> None:
        self._inner = inner
        self.cut = False

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._inner, name)

        async def call(*given: Any, **named: Any) -> Any:
            self._check()
            return await verb(*given, **named)

        return call

    def _check(self) -> None:
        if self.cut:
            raise Unavailable("simulated: no route to the API server")

    async def watch(self, *given: Any, **named: Any) -> AsyncIterator[Any]:
        self._check()
        async for batch in self._inner.watch(*given, **named):
            self._check()
            yield batch


def test_without_an_api_server_pods_go_on_and_what_became_of_them_is_told_later() -> None:
    async def scenario(island: Island, group: asyncio.TaskGroup) -> None:
        island.start(group)
        await island.create("web")
        await island.create("gone")
        await island.clock.sleep(20)
        before = await island.pod("web")
        island.client.cut = True
        for _ in range(2):
            [newest, *_] = await island.containers("web")
            island.runtime.crash(newest.id)
            await island.clock.sleep(30)
        [newest, *_] = await island.containers("web")
        assert (newest.state, newest.attempt) == (ContainerState.RUNNING, 2)
        assert (await island.pod("web"))["status"] == before["status"]
        patch = {"metadata": {"labels": {"written": "meanwhile"}}}
        await island.api.patch(POD, "default", "web", patch, type="merge")
        await island.api.delete(POD, "default", "gone")
        await island.clock.sleep(3600)
        island.client.cut = False
        await island.clock.sleep(60)
        [pod] = await island.pods()
        assert (pod["metadata"]["name"], pod["metadata"]["labels"]) == ("web", {"written": "meanwhile"})
        assert restarts(pod) == 2
        assert pod["status"]["containerStatuses"][0]["containerID"].endswith(newest.id)
        assert pod["status"]["containerStatuses"][0]["ready"]
        assert await island.containers("gone") == []
        assert (await island.node_ready())["status"] == "True"

    play(scenario, client=CutClient)


def test_an_agent_that_is_killed_again_and_again_restarts_no_container() -> None:
    async def scenario(island: Island, group: asyncio.TaskGroup) -> None:
        for number in range(50):
            await island.create(f"web-{number}")
        island.start(group)
        await island.clock.sleep(30)
        before = {container.id for number in range(50) for container in await island.containers(f"web-{number}")}
        for turn in range(100):
            await island.stop()
            island.start(group)
            await island.clock.sleep(0.01 * (turn % 7))
        await island.clock.sleep(60)
        after = {container.id for number in range(50) for container in await island.containers(f"web-{number}")}
        assert before == after
        assert len(after) == 50
        assert {restarts(pod) for pod in await island.pods()} == {0}

    play(scenario)


def test_a_machine_that_was_started_again_is_told_of_once() -> None:
    async def scenario(island: Island, group: asyncio.TaskGroup) -> None:
        for boot in ("first", "second", "second"):
            island.start(group, machine=replace(SIMULATED, boot_id=boot))
            await island.clock.sleep(20)
            await island.stop()
        told = [one.document() for one in (await island.api.list(EVENT, "default")).items]
        rebooted = [event["message"] for event in told if event["reason"] == "Rebooted"]
        assert rebooted == ["Node n1 has been rebooted, boot id: second"]

    play(scenario)


def test_a_disk_without_room_fails_what_is_new_and_nothing_else() -> None:
    class Full(NoStorage):
        full = False

        async def mounts_of(self, *given: Any) -> tuple[Any, ...]:
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device", "/pods/1")
            return await super().mounts_of(*given)

    async def scenario(island: Island, group: asyncio.TaskGroup) -> None:
        disk = Full()
        island.start(group, storage=disk)
        await island.create("web")
        await island.clock.sleep(20)
        disk.full = True
        await island.create("late")
        await island.clock.sleep(20)
        [container] = await island.containers("web")
        assert container.state is ContainerState.RUNNING
        waiting = (await island.pod("late"))["status"]["containerStatuses"][0]["state"]["waiting"]
        assert waiting["reason"] == "CreateContainerError"
        assert "No space left on device" in waiting["message"]
        disk.full = False
        await island.clock.sleep(20)
        assert (await island.pod("late"))["status"]["phase"] == "Running"

    play(scenario)
