"""The agent in bad weather, on virtual time: a runtime that fails, loses replies and goes away, an API server that does
too, containers that crash, sandboxes that break, agents that are restarted. When it is over, all must be well."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from navarch.agent.agent import Agent
from navarch.agent.cgroups import Cgroups, Hierarchy
from navarch.agent.config import AgentConfig, Paths
from navarch.agent.fake import Behaviour, FakeRuntime, Pull
from navarch.agent.machine import SIMULATED
from navarch.agent.runtime import POD_UID, ContainerSpec, ContainerState, ExecResult, RuntimeFailure
from navarch.agent.volumes.storage import NoStorage
from navarch.apiserver.call import ITSELF
from navarch.apiserver.core import Core
from navarch.base.clock import LoopClock, SeededIds
from navarch.base.loop import SimulationLoop
from navarch.kinds import NAMESPACE, POD, SERVICEACCOUNT
from navarch.kinds.registry import DEFAULT
from navarch.objects.value import Document
from navarch.store.memory import MemoryStore
from navarch.testing.faultyclient import FaultyClient, Process
from navarch.testing.weather import Weather

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
VERBS = ("start_sandbox", "stop_sandbox", "remove_sandbox", "create_container", "start_container", "stop_container",
         "remove_container", "pull", "observe", "image")  # fmt: skip
STORM_S = 300.0
CALM_S = 900.0
MOST_CALLS = 2000


class StormyRuntime(FakeRuntime):
    """share: of the calls that fail, half of them after they were carried out. Takes its time for each."""

    share = 0.0

    def __init__(self, clock: Any, ids: Any, **given: Any) -> None:
        super().__init__(clock, ids, **given)
        self.overlaps: list[str] = []
        for verb in VERBS:
            setattr(self, verb, self._stormy(getattr(self, verb)))

    def _stormy(self, verb: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*given: Any, **named: Any) -> Any:
            await self._clock.sleep(self._ids.fraction() * 0.05)
            struck = self._ids.fraction() < self.share
            if struck and self._ids.fraction() < 0.5:
                raise RuntimeFailure("simulated: it did not work")
            done = await verb(*given, **named)
            self._watch_for_twins()
            if struck:
                raise RuntimeFailure("simulated: the answer was lost")
            return done

        return call

    def _watch_for_twins(self) -> None:
        running = [
            (item.labels[POD_UID], item.name)
            for item in self._containers.values()
            if item.state is ContainerState.RUNNING
        ]
        self.overlaps += [name for uid, name in set(running) if running.count((uid, name)) > 1]


def behave(spec: ContainerSpec) -> Behaviour:
    image = spec.shown_image
    if image.startswith("task"):
        return Behaviour(run_s=5.0, exit_code=int(image.endswith("bad")))
    return Behaviour(stop_s=0.5, execute=lambda command: ExecResult(0))


INIT = {"name": "init", "image": "task:init"}
SIDE = {"name": "side", "image": "app:1", "restartPolicy": "Always"}
PROBE = {"readinessProbe": {"exec": {"command": ["x"]}, "periodSeconds": 5}}
SHAPES: list[dict[str, Any]] = [
    {"containers": [{"name": "main", "image": "app:1"}]},
    {"containers": [{"name": "main", "image": "app:1", **PROBE}, {"name": "other", "image": "app:2"}]},
    {"containers": [{"name": "main", "image": "app:1"}], "initContainers": [INIT]},
    {"containers": [{"name": "main", "image": "app:1"}], "initContainers": [SIDE, INIT]},
    {"containers": [{"name": "main", "image": "task:good"}], "restartPolicy": "OnFailure"},
    {"containers": [{"name": "main", "image": "task:bad"}], "restartPolicy": "Never"},
]


class Storm:
    def __init__(self, seed: int, loop: SimulationLoop) -> None:
        self.clock = LoopClock(EPOCH, loop)
        self.ids = SeededIds(seed)
        self.weather = Weather(share=0.15)
        self.runtime = StormyRuntime(self.clock, SeededIds(seed + 1), behave=behave, pulls=lambda image: Pull(0.5))
        self.core = Core(MemoryStore(), DEFAULT, self.clock, SeededIds(seed + 2))
        self.client = self.core.local(ITSELF, "test")
        self.config = AgentConfig("n1", ("192.0.2.7",), Paths(Path("/none"), Path("/none")), log_bytes=0)
        self.number = 0
        self.restarts: dict[str, int] = {}
        self.agent: asyncio.Task[None] | None = None

    def start(self, group: asyncio.TaskGroup) -> None:
        client = FaultyClient(self.client, self.weather, self.ids, self.clock, Process("agent", lambda: None))
        agent = Agent(
            client,  # type: ignore[arg-type]
            self.runtime,
            self.clock,
            self.ids,
            self.config,
            storage=NoStorage(),
            machine=SIMULATED,
            cgroups=Cgroups("", Hierarchy(None, {})),
        )
        self.agent = group.create_task(agent.run())

    async def stop(self) -> None:
        assert self.agent is not None
        self.agent.cancel()
        await asyncio.gather(self.agent, return_exceptions=True)

    def chance(self, share: float) -> bool:
        return self.ids.fraction() < share

    async def make_pod(self) -> None:
        shape = SHAPES[self.number % len(SHAPES)]
        meta = {"name": f"p{self.number}", "namespace": "default"}
        spec = {"nodeName": "n1", "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 3, **shape}
        self.number += 1
        await self.client.create(POD, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})

    async def pods(self) -> list[Document]:
        return [item.document() for item in (await self.client.list(POD, "default")).items]

    async def strike(self, group: asyncio.TaskGroup) -> None:
        """One piece of bad luck."""
        observed = list((await FakeRuntime.observe(self.runtime)).values())
        containers = [item for pod in observed for item in pod.containers if item.state is ContainerState.RUNNING]
        sandboxes = [box for pod in observed for box in pod.sandboxes if box.ready]
        if containers and self.chance(0.3):
            self.runtime.crash(containers[int(self.ids.fraction() * len(containers))].id, 1)
        if sandboxes and self.chance(0.1):
            self.runtime.break_sandbox(sandboxes[int(self.ids.fraction() * len(sandboxes))].id)
        if self.chance(0.1):
            await self.stop()
            await self.clock.sleep(self.ids.fraction() * 5)
            self.start(group)
        if self.chance(0.2) and self.number < 14:
            await self.make_pod()
        living = [pod for pod in await self.pods() if "deletionTimestamp" not in pod["metadata"]]
        if len(living) > 3 and self.chance(0.15):
            grace_s = 0 if self.chance(0.3) else None
            name = living[int(self.ids.fraction() * len(living))]["metadata"]["name"]
            await self.client.delete(POD, "default", name, grace_s=grace_s)

    async def check(self) -> None:
        """What must hold at every moment."""
        assert self.runtime.overlaps == []
        for pod in await self.pods():
            for status in pod.get("status", {}).get("containerStatuses", []):
                key = pod["metadata"]["uid"] + status["name"]
                assert status["restartCount"] >= self.restarts.get(key, 0), f"restarts went back: {status}"
                self.restarts[key] = status["restartCount"]

    async def run(self) -> None:
        await self.core.start()
        for name in ("default", "kube-node-lease"):
            await self.client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        meta = {"name": "default", "namespace": "default"}
        await self.client.create(SERVICEACCOUNT, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
        async with asyncio.TaskGroup() as group:
            self.start(group)
            for _ in SHAPES:
                await self.make_pod()
            self.runtime.share = 0.2
            while self.clock.monotonic() < STORM_S:
                await self.clock.sleep(2.0)
                await self.strike(group)
                await self.check()
            self.runtime.share = self.weather.share = 0.0
            await self.clock.sleep(CALM_S)
            await self.check()
            await self.all_is_well()
            assert len(self.runtime.calls) < MOST_CALLS, "the agent was busy without end"
            for pod in await self.pods():
                await self.client.delete(POD, "default", pod["metadata"]["name"])
            await self.clock.sleep(120)
            assert await self.pods() == []
            assert await FakeRuntime.observe(self.runtime) == {}
            await self.stop()
        await self.core.close()

    async def all_is_well(self) -> None:
        pods = await self.pods()
        assert pods
        observed = await FakeRuntime.observe(self.runtime)
        assert set(observed) <= {pod["metadata"]["uid"] for pod in pods}
        for pod in pods:
            status, name = pod["status"], pod["metadata"]["name"]
            policy = pod["spec"].get("restartPolicy", "Always")
            assert "deletionTimestamp" not in pod["metadata"], name
            if policy == "Always":
                ready = [item["status"] for item in status["conditions"] if item["type"] == "Ready"]
                assert ready == ["True"], (name, status)
                box = observed[pod["metadata"]["uid"]].sandboxes[0]
                assert [entry["ip"] for entry in status["podIPs"]] == list(box.ips)
            else:
                assert status["phase"] == ("Failed" if policy == "Never" else "Succeeded"), (name, status)


@pytest.mark.parametrize("seed", range(4))
def test_all_is_well_after_a_storm(seed: int) -> None:
    with asyncio.Runner(loop_factory=SimulationLoop) as runner:
        storm = Storm(seed, runner.get_loop())  # type: ignore[arg-type]
        runner.run(storm.run())
