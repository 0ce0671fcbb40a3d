"""An API server in memory and one agent on it, on virtual time: an hour of weather takes milliseconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from navarch.agent.agent import Agent
from navarch.agent.cgroups import Cgroups, Hierarchy
from navarch.agent.config import AgentConfig, Paths
from navarch.agent.fake import FakeRuntime
from navarch.agent.machine import SIMULATED
from navarch.agent.runtime import Container
from navarch.agent.volumes.storage import NoStorage
from navarch.apiserver.call import ITSELF
from navarch.apiserver.core import Core
from navarch.base.clock import LoopClock, SeededIds
from navarch.base.loop import SimulationLoop
from navarch.client.client import Client
from navarch.kinds import EVENT, NAMESPACE, NODE, POD, SERVICEACCOUNT
from navarch.kinds.registry import DEFAULT
from navarch.objects.value import Document
from navarch.store.memory import MemoryStore

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
CONFIG = AgentConfig("n1", ("192.0.2.7",), Paths(Path("/none"), Path("/none")), log_bytes=0)


class LeapingClock(LoopClock):
    """One whose wall clock can be set, as somebody sets a machine's."""

    leapt = timedelta()

    def now(self) -> datetime:
        return super().now() + self.leapt


@dataclass
class Island:
    """client: the agent's; tests ask `api`, which no weather strikes."""

    core: Core
    api: Client
    client: Any
    runtime: Any
    clock: LeapingClock
    config: AgentConfig = CONFIG
    agents: list[Agent] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self, group: asyncio.TaskGroup, **given: Any) -> Agent:
        stand_ins = {"storage": NoStorage(), "machine": SIMULATED, "cgroups": Cgroups("", Hierarchy(None, {}))}
        agent = Agent(self.client, self.runtime, self.clock, SeededIds(5), self.config, **(stand_ins | given))
        self.agents.append(agent)
        self.tasks.append(group.create_task(agent.run()))
        return agent

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()

    async def create(self, name: str, **spec: Any) -> None:
        given = {"nodeName": "n1", "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 3}
        given |= {"containers": [{"name": "main", "image": "app:1"}]} | spec
        meta = {"name": name, "namespace": "default"}
        await self.api.create(POD, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": given})

    async def pod(self, name: str) -> Document:
        return (await self.api.get(POD, "default", name)).document()

    async def pods(self) -> list[Document]:
        return [item.document() for item in (await self.api.list(POD, "default")).items]

    async def node_ready(self) -> Document:
        """The node's Ready condition."""
        conditions = (await self.api.get(NODE, "", "n1")).document()["status"]["conditions"]
        return next(one for one in conditions if one["type"] == "Ready")

    async def events(self) -> list[tuple[str, str]]:
        found = [item.document() for item in (await self.api.list(EVENT, "default")).items]
        return [(event["reason"], event["message"]) for event in found]

    async def containers(self, name: str) -> list[Container]:
        """Newest first; asked past any weather."""
        found = await FakeRuntime.observe(self.runtime)
        return next((list(pod.containers) for pod in found.values() if pod.name == name), [])


def restarts(document: Document) -> int:
    return int(document["status"]["containerStatuses"][0]["restartCount"])


def play(
    scenario: Callable[[Island, asyncio.TaskGroup], Coroutine[Any, Any, None]],
    runtime: Callable[..., Any] = FakeRuntime,
    client: Callable[[Client], Any] = lambda client: client,
    config: dict[str, Any] = {},  # noqa: B006 - only read
    **given: Any,
) -> None:
    """Run a scenario; agents that it started are stopped afterwards. given: for the runtime."""

    async def run(loop: SimulationLoop) -> None:
        clock = LeapingClock(EPOCH, loop)
        core = Core(MemoryStore(), DEFAULT, clock, SeededIds(1))
        await core.start()
        api = core.local(ITSELF, "test")
        for name in ("default", "kube-node-lease"):
            await api.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        meta = {"name": "default", "namespace": "default"}
        await api.create(SERVICEACCOUNT, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
        made = runtime(clock, SeededIds(2), **given)
        island = Island(core, api, client(api), made, clock, replace(CONFIG, **config))
        async with asyncio.TaskGroup() as group:
            await scenario(island, group)
            await island.stop()
        await core.close()

    with asyncio.Runner(loop_factory=SimulationLoop) as runner:
        runner.run(run(runner.get_loop()))  # type: ignore[arg-type]
