"""The loop that keeps the node out of trouble: it measures, judges, makes room where nobody is hurt, then evicts.

At most one pod goes in a round for what the node is short of, and the next round waits until it is gone. What is in
good order costs a few small files every ten seconds.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from navarch.agent.eviction import limits
from navarch.agent.eviction.holdings import Holdings
from navarch.agent.eviction.judge import Memory, is_over, judge
from navarch.agent.eviction.ranking import Eviction, choose
from navarch.agent.eviction.thresholds import (
    DISK_PRESSURE,
    IMAGE_DISK,
    NODE_DISK,
    NODE_INODES,
    Observation,
    Threshold,
    thresholds,
)
from navarch.agent.kubelet import KubeletConfig
from navarch.agent.runtime import RuntimeFailure
from navarch.base.clock import Clock
from navarch.base.log import Log
from navarch.kinds.pod import Pod

_log = Log("agent")

ROUND_S = 10.0
GONE_S = 30.0
LOOK_S = 1.0
"""How often signals are read; how long is waited for an evicted pod to go, and how often it is looked at meanwhile."""
GLANCE_S = 0.25
"""How often it is looked at the room that disks have, which costs next to nothing, while pods have limits there: a fast
disk takes a hundred MiB in that time."""
SUSPECT_BYTES = 128 << 20
SPARED = 10
"""When a disk has lost so much since pods were measured against their limits, they are measured before it is time; but
only so many times as long after the last time as that took."""


class Signals(Protocol):
    @property
    def split(self) -> bool: ...

    def disks(self) -> Mapping[str, Observation]:
        """Of the node's disks alone, which costs next to nothing."""
        ...

    def __call__(self) -> Mapping[str, Observation]: ...


class PodsHere(Protocol):
    """The agent's pods."""

    def active(self) -> Sequence[Pod]:
        """Those that run or are about to."""
        ...

    def evict(self, eviction: Eviction) -> None: ...

    def is_over(self, uid: str) -> bool:
        """Whether nothing of the pod runs any more, and the API server knows."""
        ...


class Evictor:
    """reclaim: gives up what nobody uses, dead containers and images. tell: (type, reason, message) of an event about
    the node. changed: called when `pressure` is another one."""

    def __init__(
        self,
        config: KubeletConfig,
        signals: Signals,
        pods: PodsHere,
        holdings: Holdings,
        clock: Clock,
        *,
        reclaim: Callable[[], Awaitable[None]],
        tell: Callable[[str, str, str], None],
        changed: Callable[[], None],
    ) -> None:
        self.pressure: frozenset[str] = frozenset()
        self.evicted: Counter[str] = Counter()
        """How many pods went, by the signal or limit that they went for."""
        self._thresholds = thresholds(config)
        self._config = config
        self._signals = signals
        self._pods = pods
        self._holdings = holdings
        self._clock = clock
        self._reclaim = reclaim
        self._tell = tell
        self._changed = changed
        self._memory = Memory()
        self._weighed_at = float("-inf")
        self._weighing_s = 0.0
        self._most_left: Mapping[str, int] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                gone = await self.round()
            except (RuntimeFailure, OSError) as error:
                _log.warning("pressure on the node not judged, will be tried again", error=error)
                gone = []
            if gone:
                await self._until_gone(gone)
            else:
                await self._rest()

    async def _rest(self) -> None:
        """Until the next round, which comes early when pods have limits on a disk that loses room fast."""
        until = self._clock.monotonic() + ROUND_S
        while (left_s := until - self._clock.monotonic()) > 0:
            await self._clock.sleep(min(left_s, GLANCE_S))
            limited = any(map(limits.is_limited, self._pods.active()))
            if limited and self._is_suspicious(await asyncio.to_thread(self._signals.disks)):
                return

    def _is_suspicious(self, observed: Mapping[str, Observation]) -> bool:
        """Whether so much room went since pods were weighed; what was given back meanwhile is room that can go."""
        room = _room(observed)
        lost = max((self._most_left.get(signal, 0) - now for signal, now in room.items()), default=0)
        self._most_left = {signal: max(now, self._most_left.get(signal, 0)) for signal, now in room.items()}
        return lost >= SUSPECT_BYTES and self._clock.monotonic() - self._weighed_at >= SPARED * self._weighing_s

    async def _until_gone(self, uids: Sequence[str]) -> None:
        until = self._clock.monotonic() + GONE_S
        while self._clock.monotonic() < until and not all(map(self._pods.is_over, uids)):
            await self._clock.sleep(LOOK_S)

    async def round(self) -> list[str]:
        """One look at everything; returns the uids of the pods that are evicted. Raises: RuntimeFailure, OSError."""
        observed = await asyncio.to_thread(self._signals)
        transition_s = self._config.eviction_pressure_transition_period_s
        judged = judge(self._thresholds, observed, self._memory, self._clock.now(), transition_s)
        self._memory = judged.memory
        if judged.pressure != self.pressure:
            self.pressure = judged.pressure
            self._changed()
        if over := await self._over_limits(observed):
            return [self._evict(one) for one in over]
        if not judged.due:
            return []
        first = judged.due[0]
        self._tell("Warning", "EvictionThresholdMet", f"Attempting to reclaim {first.resource}")
        if await self._make_room(first):
            return []
        disk = first.condition == DISK_PRESSURE
        candidates = await self._holdings.of(self._pods.active(), disk=disk, processes=first.resource == "pids")
        split = disk and self._signals.split
        longest_s = self._config.eviction_max_pod_grace_period_s
        chosen = choose(candidates, judged.due, observed, longest_s=longest_s, split=split)
        if chosen is None:
            _log.warning("the node is short of something, and there is no pod to evict for it", signal=first.signal)
            return []
        return [self._evict(chosen)]

    async def _over_limits(self, observed: Mapping[str, Observation]) -> list[Eviction]:
        began = self._clock.monotonic()
        early = began - self._weighed_at < self._config.volume_stats_agg_period_s
        if early and not self._is_suspicious(observed):
            return []
        self._most_left = _room(observed)
        limited = [pod for pod in self._pods.active() if limits.is_limited(pod)]
        found = limits.over(await self._holdings.of(limited, disk=True)) if limited else []
        self._weighed_at = self._clock.monotonic()
        self._weighing_s = self._weighed_at - began
        return found

    async def _make_room(self, threshold: Threshold) -> bool:
        """Whether giving up what nobody uses was enough. Raises: OSError."""
        elsewhere = threshold.signal in (NODE_DISK, NODE_INODES) and self._signals.split
        if threshold.condition != DISK_PRESSURE or elsewhere:
            return False
        try:
            await self._reclaim()
        except RuntimeFailure as error:
            _log.warning("what nobody uses was not all given up", error=error)
        return is_over(self._thresholds, await asyncio.to_thread(self._signals))

    def _evict(self, eviction: Eviction) -> str:
        _log.info("pod evicted", uid=eviction.uid, cause=eviction.cause, why=eviction.message.strip())
        self.evicted[eviction.cause] += 1
        self._pods.evict(eviction)
        return eviction.uid


def _room(observed: Mapping[str, Observation]) -> dict[str, int]:
    return {signal: observed[signal].available for signal in (NODE_DISK, IMAGE_DISK) if signal in observed}
