"""Puts together what a node has for drivers: who takes them, who makes their volumes, what both do by the way."""

from __future__ import annotations

import asyncio

from navarch.agent.config import AgentConfig
from navarch.agent.pluginwatch import Refused
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
LATER_S = 60


class CsiNode:
    """registry: for the watch of plugins. volumes: for the pods' storage.

    How often a driver wishes to be asked how many volumes the node takes is read when it registers, and each time.
    """

    def __init__(self, client: Client, clock: Clock, config: AgentConfig, recorder: Recorder) -> None:
        self._clock = clock
        self._contexts = Contexts(client, PodTokens(client, clock))
        self._new: set[str] = set()
        self._due: dict[str, float] = {}
        """By driver that wishes it, when (monotonic) to ask again how many volumes the node takes."""
        self._wake = asyncio.Event()
        self._drivers = Drivers()
        node = config.node_name
        self.volumes = CsiVolumes(
            self._drivers,
            self._contexts,
            Attachments(client, clock, node),
            Expander(client, self._contexts, recorder, node),
            Places(config.paths, node),
            clock,
            config.volumes_again_s,
        )
        self.registry = CsiRegistry(client, node, self._drivers, self._taken)

    def _taken(self, driver: str) -> None:
        self._new.add(driver)
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled: makes the node's CSINode, and lets go of what drivers that register hold for nobody."""
        try:
            await self._begin()
            while True:
                self._wake.clear()
                while self._new:
                    await self._see_to(self._new.pop())
                for name, due in list(self._due.items()):
                    if due <= self._clock.monotonic():
                        await self._ask_again(name)
                await self._wait()
        finally:
            await self._drivers.close()

    async def _see_to(self, driver: str) -> None:
        """One that has just registered."""
        await self.volumes.sweep(driver)
        await self._put_down(driver)

    async def _put_down(self, driver: str) -> None:
        """When to ask it again how many volumes the node takes, if it wishes that."""
        self._due.pop(driver, None)
        try:
            rules = await self._contexts.rules(driver)
            period_s = rules.node_allocatable_update_period_seconds if rules is not None else None
        except (ApiError, Retryable) as error:
            _log.warning("what a driver says of itself is not known, will be asked again", driver=driver, error=error)
            period_s = LATER_S
        if period_s is not None:
            self._due[driver] = self._clock.monotonic() + period_s

    async def _ask_again(self, driver: str) -> None:
        try:
            if not await self.registry.ask_again(driver):
                del self._due[driver]
                return
        except (Refused, ApiError, Retryable) as error:
            _log.warning("driver not asked how many volumes the node takes", driver=driver, error=error)
        await self._put_down(driver)

    async def _wait(self) -> None:
        """Until a driver has registered, or is to be asked again."""
        due = min(self._due.values(), default=None)
        try:
            async with asyncio.timeout(None if due is None else max(0.0, due - self._clock.monotonic()) + 0.001):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _begin(self) -> None:
        while True:
            try:
                await self.registry.begin()
                await self.volumes.begin()
                return
            except (ApiError, Retryable) as error:
                _log.warning("the node's CSINode cannot be seen to yet", error=error)
                await self._clock.sleep(RETRY_S)
