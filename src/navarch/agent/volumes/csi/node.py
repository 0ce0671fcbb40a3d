"""Puts together what a node has for drivers: who takes them, who makes their volumes, what both do by the way."""

from __future__ import annotations

import asyncio

from navarch.agent.config import AgentConfig
from navarch.agent.volumes.csi.attached import Attachments
from navarch.agent.volumes.csi.context import Contexts
from navarch.agent.volumes.csi.driver import Drivers
from navarch.agent.volumes.csi.expand import Expander
from navarch.agent.volumes.csi.records import Places
from navarch.agent.volumes.csi.register import CsiRegistry
from navarch.agent.volumes.csi.volumes import CsiVolumes
from navarch.agent.volumes.tokens import PodTokens
from navarch.base.clock import Clock
from navarch.base.errors import ApiError, Retryable
from navarch.base.log import Log
from navarch.client.client import Client
from navarch.client.events import Recorder

_log = Log("agent")

RETRY_S = 2.0


class CsiNode:
    """registry: for the watch of plugins. volumes: for the pods' storage."""

    def __init__(self, client: Client, clock: Clock, config: AgentConfig, recorder: Recorder) -> None:
        self._clock = clock
        self._new: set[str] = set()
        self._wake = asyncio.Event()
        node, drivers = config.node_name, Drivers()
        contexts = Contexts(client, PodTokens(client, clock))
        self.volumes = CsiVolumes(
            drivers,
            contexts,
            Attachments(client, clock, node),
            Expander(client, contexts, recorder, node),
            Places(config.paths, node),
            clock,
            config.volumes_again_s,
        )
        self.registry = CsiRegistry(client, node, drivers, self._taken)

    def _taken(self, driver: str) -> None:
        self._new.add(driver)
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled: makes the node's CSINode, and lets go of what drivers that register hold for nobody."""
        await self._begin()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._new:
                await self.volumes.sweep(self._new.pop())

    async def _begin(self) -> None:
        while True:
            try:
                await self.registry.begin()
                await self.volumes.begin()
                return
            except (ApiError, Retryable) as error:
                _log.warning("the node's CSINode cannot be seen to yet", error=error)
                await self._clock.sleep(RETRY_S)
