"""An API server in memory and one agent on it, for tests of the agent: no disk, no sockets, scripted containers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from navarch.agent.agent import Agent
from navarch.agent.cgroups import Cgroups, Hierarchy
from navarch.agent.config import AgentConfig, Paths
from navarch.agent.fake import FakeRuntime
from navarch.agent.machine import SIMULATED
from navarch.agent.volumes.storage import NoStorage
from navarch.apiserver.call import ITSELF
from navarch.apiserver.core import Core
from navarch.base.clock import SeededIds, SystemClock
from navarch.client.client import Client
from navarch.kinds import NAMESPACE, POD, SERVICEACCOUNT
from navarch.kinds.object import Object
from navarch.kinds.registry import DEFAULT
from navarch.objects.value import Document
from navarch.store.memory import MemoryStore

NODE = "n1"


@dataclass
class World:
    core: Core
    client: Client
    runtime: FakeRuntime
    clock: SystemClock
    config: AgentConfig
    agents: list[Agent] = field(default_factory=list)

    async def create_pod(self, name: str, *containers: Document, **spec: Any) -> Object:
        made = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "nodeName": NODE,
                "automountServiceAccountToken": False,
                "containers": list(containers) or [{"name": "main", "image": "app:1"}],
                **spec,
            },
        }
        return await self.client.create(POD, made)

    async def pod(self, name: str) -> Document:
        return (await self.client.get(POD, "default", name)).document()

    async def until(self, name: str, true: Callable[[Document], Any], timeout_s: float = 120.0) -> Document:
        """The pod's document, once it is so."""
        found: Document = {}
        try:
            async with asyncio.timeout(timeout_s):
                listing = await self.client.list(POD, "default", fields=f"metadata.name={name}")
                for item in listing.items:
                    found = item.document()
                    if true(found):
                        return found
                async for batch in self.client.watch(
                    POD, "default", since=listing.revision, fields=f"metadata.name={name}"
                ):
                    for event in batch:
                        if event.object is not None and event.type != "DELETED":
                            found = event.object.document()
                            if true(found):
                                return found
        except TimeoutError as error:
            raise AssertionError(f"pod {name} is not so: {found.get('status')}") from error
        raise AssertionError("the watch ended")

    async def until_gone(self, name: str, timeout_s: float = 120.0) -> None:
        async with asyncio.timeout(timeout_s):
            listing = await self.client.list(POD, "default", fields=f"metadata.name={name}")
            if not listing.items:
                return
            async for batch in self.client.watch(
                POD, "default", since=listing.revision, fields=f"metadata.name={name}"
            ):
                if any(event.type == "DELETED" for event in batch):
                    return

    def agent(self, **given: Any) -> Agent:
        stand_ins = {"storage": NoStorage(), "machine": SIMULATED, "cgroups": Cgroups("", Hierarchy(None, {}))}
        made = Agent(self.client, self.runtime, self.clock, SeededIds(5), self.config, **(stand_ins | given))
        self.agents.append(made)
        return made

    @contextlib.asynccontextmanager
    async def running(self, **given: Any) -> AsyncIterator[Agent]:
        agent = self.agent(**given)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(agent.run())
            try:
                yield agent
            finally:
                task.cancel()


def ready(document: Document) -> bool:
    conditions = document.get("status", {}).get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def container(document: Document, name: str = "main", kind: str = "containerStatuses") -> Document:
    return next(item for item in document["status"][kind] if item["name"] == name)


@contextlib.asynccontextmanager
async def world(directory: Path, runtime: Callable[..., Any] = FakeRuntime, **given: Any) -> AsyncIterator[World]:
    clock = SystemClock()
    core = Core(MemoryStore(), DEFAULT, clock, SeededIds(1))
    await core.start()
    try:
        client = core.local(ITSELF, "test")
        await client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": "default"},
        }
        await client.create(SERVICEACCOUNT, account)
        config = AgentConfig(NODE, ("192.0.2.7",), Paths(directory / "agent", directory / "logs"))
        made = runtime(clock, SeededIds(2), **given)
        yield World(core, client, made, clock, config)
    finally:
        await core.close()
