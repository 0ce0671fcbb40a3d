"""Puts together what keeps a node from running short: eviction, and the removal of images that nobody uses.

Simulated nodes have none of it: nothing there is real that could run short.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from navarch.agent.act import Tools
from navarch.agent.eviction.holdings import Holdings
from navarch.agent.eviction.run import Evictor, Signals
from navarch.agent.eviction.signals import MachineSignals
from navarch.agent.eviction.thresholds import IMAGE_DISK
from navarch.agent.garbage.run import ImageCollector
from navarch.agent.pods import Pods
from navarch.client.events import Recorder
from navarch.client.informer import Informer

RELEASE_S = 2.0
"""How long workers get to remove what pods that have ended left behind, before it is measured again."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What of the machine can run short. images: where the runtime keeps them. pinned: names of those that always stay.

    signals: read in place of this machine's, by tests.
    """

    images: Path
    pinned: frozenset[str] = frozenset()
    signals: Signals | None = None


class Shortage:
    """nodes: of this node's own object. changed: called when `pressure` is another one."""

    def __init__(
        self, ground: Ground, pods: Pods, tools: Tools, recorder: Recorder, nodes: Informer, changed: Callable[[], None]
    ) -> None:
        config, runtime, cgroups, clock = tools.config, tools.runtime, tools.cgroups, tools.clock
        self._pods = pods
        self._clock = clock
        self._config = config
        self._recorder = recorder
        self._nodes = nodes
        self._signals = ground.signals or MachineSignals(cgroups.hierarchy, config.paths.root, ground.images)
        self._images = ImageCollector(
            config.kubelet,
            runtime,
            clock,
            disk=lambda: self._signals().get(IMAGE_DISK),
            used=lambda: pods.images_used() | ground.pinned,
            tell=self._tell,
            left=tools.images.forget_gone,
        )
        self.evictor = Evictor(
            config.kubelet,
            self._signals,
            pods,
            Holdings(runtime, config.paths, cgroups.processes),
            clock,
            reclaim=self._reclaim,
            tell=self._tell,
            changed=changed,
        )

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.evictor.run())
            group.create_task(self._images.run())

    async def _reclaim(self) -> None:
        """Raises: RuntimeFailure."""
        if self._pods.release():
            await self._clock.sleep(RELEASE_S)
        await self._images.remove_unused()

    def _tell(self, type: str, reason: str, message: str) -> None:
        node = self._nodes.get("", self._config.node_name)
        if node is not None:
            self._recorder.event(node, type, reason, message)
