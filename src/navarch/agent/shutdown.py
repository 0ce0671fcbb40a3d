"""The machine is about to go down: pods end in time, ordinary ones first, critical ones in what is left.

From then on the node is not ready and takes no pods. Whoever shuts the machine down says so by a signal (see
`app.node`) and gives the agent the time that its configuration names.

Source: https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/#graceful-node-shutdown
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from navarch.agent.eviction.ranking import CRITICAL_PRIORITY, Eviction
from navarch.agent.kubelet import KubeletConfig
from navarch.base.clock import Clock
from navarch.base.log import Log
from navarch.kinds.pod import Pod

_log = Log("agent")

REASON = "Terminated"
MESSAGE = "Pod was terminated in response to imminent node shutdown."
REFUSAL = ("NodeShutdown", "Pod was rejected as the node is shutting down.")
PROBLEM = "node is shutting down"
LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Turn:
    """Pods that end together, in at most so long."""

    ends: tuple[Eviction, ...]
    period_s: float


def turns(pods: Iterable[Pod], config: KubeletConfig) -> Sequence[Turn]:
    """In order; what has no pods takes no time."""
    critical_s = config.shutdown_grace_period_critical_pods_s
    listed = list(pods)
    found = []
    for critical, period_s in ((False, config.shutdown_grace_period_s - critical_s), (True, critical_s)):
        mine = [pod for pod in listed if (pod.spec.priority >= CRITICAL_PRIORITY) is critical]
        if mine:
            found.append(Turn(tuple(_end(pod, period_s) for pod in mine), period_s))
    return found


def _end(pod: Pod, period_s: float) -> Eviction:
    grace_s = min(pod.spec.termination_grace_period_seconds, int(period_s))
    return Eviction(pod.metadata.uid, MESSAGE, grace_s, disrupts=True, reason=REASON)


class Pods(Protocol):
    def active(self) -> Iterable[Pod]: ...

    def evict(self, eviction: Eviction) -> None: ...

    def is_stopped(self, uid: str) -> bool: ...

    def close(self, refusal: tuple[str, str]) -> None:
        """Take no pods any more."""
        ...


class Shutdown:
    """changed: called when the node has something to tell."""

    def __init__(self, pods: Pods, clock: Clock, config: KubeletConfig, changed: Callable[[], None]) -> None:
        self._pods = pods
        self._clock = clock
        self._config = config
        self._changed = changed
        self._asked = asyncio.Event()
        self.over = asyncio.Event()
        """Set when all pods have had their time."""

    def begin(self) -> None:
        """The machine goes down. Without a time that is configured for it, nothing is done."""
        if self._config.shutdown_grace_period_s <= 0:
            _log.warning("the machine goes down, and shutdownGracePeriod gives the pods no time: they are not stopped")
            return
        self._asked.set()

    def problem(self) -> str:
        return PROBLEM if self._asked.is_set() else ""

    async def run(self) -> None:
        """Until all is done, or cancelled."""
        await self._asked.wait()
        _log.info("the machine goes down", seconds=self._config.shutdown_grace_period_s)
        self._pods.close(REFUSAL)
        self._changed()
        for turn in turns(self._pods.active(), self._config):
            for end in turn.ends:
                self._pods.evict(end)
            await self._until_stopped(turn)
        _log.info("pods have had their time")
        self.over.set()

    async def _until_stopped(self, turn: Turn) -> None:
        last = self._clock.monotonic() + turn.period_s
        while self._clock.monotonic() < last:
            if all(self._pods.is_stopped(end.uid) for end in turn.ends):
                return
            await self._clock.sleep(LOOK_S)
