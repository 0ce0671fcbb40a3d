"""The machine is about to go down: pods end in time, those of lower priority first, the most important in what is left.

From then on the node is not ready and takes no pods, until somebody says that the machine stays up after all. Who says
either: logind (see `agent.logind`), or whoever sends a signal (see `app.node`).

Source: https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/#graceful-node-shutdown
"""

from __future__ import annotations

import asyncio
import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from navarch.agent.eviction.ranking import CRITICAL_PRIORITY, Eviction
from navarch.agent.kubelet import KubeletConfig
from navarch.agent.vitals import Vitals
from navarch.base.clock import Clock, parse_rfc3339, rfc3339
from navarch.base.log import Log
from navarch.kinds.pod import Pod

_log = Log("agent")

REASON = "Terminated"
MESSAGE = "Pod was terminated in response to imminent node shutdown."
REFUSAL = ("NodeShutdown", "Pod was rejected as the node is shutting down.")
PROBLEM = "node is shutting down"
EVENT = "NodeShutdown"
BEGUN = "Shutdown manager detected shutdown event"
CALLED_OFF = "Shutdown manager detected shutdown cancellation"
LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Turn:
    """Pods that end together, in at most so long."""

    ends: tuple[Eviction, ...]
    period_s: float


def periods(config: KubeletConfig) -> Sequence[tuple[int, float]]:
    """From which priority on pods have how long (in seconds), lowest first; empty where pods are given no time."""
    if config.shutdown_grace_period_by_pod_priority:
        return sorted(config.shutdown_grace_period_by_pod_priority)
    whole_s, critical_s = config.shutdown_grace_period_s, config.shutdown_grace_period_critical_pods_s
    if whole_s <= 0:
        return ()
    return ((0, whole_s - critical_s), (CRITICAL_PRIORITY, critical_s))


def needed_s(config: KubeletConfig) -> float:
    """How long the machine has to wait for its pods."""
    return sum(period_s for _, period_s in periods(config))


def turns(pods: Iterable[Pod], config: KubeletConfig) -> Sequence[Turn]:
    """In order; what has no pods takes no time. Pods below the lowest priority that has a time end with those."""
    given = periods(config)
    priorities = [priority for priority, _ in given]
    groups: list[list[Pod]] = [[] for _ in given]
    for pod in pods:
        groups[max(0, bisect_right(priorities, pod.spec.priority) - 1)].append(pod)
    return [
        Turn(tuple(_end(pod, period_s) for pod in mine), period_s)
        for mine, (_, period_s) in zip(groups, given, strict=True)
        if mine
    ]


def _end(pod: Pod, period_s: float) -> Eviction:
    grace_s = min(pod.spec.termination_grace_period_seconds, int(period_s))
    return Eviction(pod.metadata.uid, MESSAGE, grace_s, disrupts=True, reason=REASON)


class Pods(Protocol):
    def active(self) -> Iterable[Pod]: ...

    def evict(self, eviction: Eviction) -> None: ...

    def is_stopped(self, uid: str) -> bool:
        """Whether nothing of it runs, and its volumes are given back."""
        ...

    def close(self, refusal: tuple[str, str] | None) -> None:
        """Take no pods any more; None: take them again."""
        ...


@dataclass(frozen=True, slots=True)
class Times:
    """When pods were last ended for a machine that goes down, kept in a file: the agent that tells of it is another."""

    file: Path | None
    """None: on simulated nodes, which remember nothing."""
    vitals: Vitals

    async def recall(self) -> None:
        if self.file is not None:
            await asyncio.to_thread(self._read, self.file)

    async def note(self, begun: datetime, ended: datetime | None = None) -> None:
        self._show(begun, ended)
        if self.file is not None:
            await asyncio.to_thread(self._write, self.file, begun, ended)

    def _read(self, file: Path) -> None:
        try:
            found = json.loads(file.read_text())
            begun, ended = (parse_rfc3339(found[key]) if found.get(key) else None for key in ("startTime", "endTime"))
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, AttributeError) as error:
            _log.warning("when the machine last went down cannot be read", file=file, error=error)
            return
        self._show(begun, ended)

    def _write(self, file: Path, begun: datetime, ended: datetime | None) -> None:
        said = {"startTime": rfc3339(begun)} | ({"endTime": rfc3339(ended)} if ended is not None else {})
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(said))
        except OSError as error:  # pods are to be ended all the same
            _log.warning("when the machine goes down cannot be noted", file=file, error=error.strerror)

    def _show(self, begun: datetime | None, ended: datetime | None) -> None:
        if begun is not None:
            self.vitals.shutdown_begun.set(begun.timestamp())
            self.vitals.shutdown_ended.set(ended.timestamp() if ended is not None else 0.0)


class Shutdown:
    """changed: called when the node has something to tell. tell: (reason, message) of an event about the node."""

    def __init__(
        self,
        pods: Pods,
        clock: Clock,
        config: KubeletConfig,
        changed: Callable[[], None],
        tell: Callable[[str, str], None],
        times: Times,
    ) -> None:
        self._pods = pods
        self._clock = clock
        self._config = config
        self._changed = changed
        self._tell = tell
        self._times = times
        self._down = False
        self._told = asyncio.Event()
        self.over = asyncio.Event()
        """Set when all pods have had their time."""
        self.finished: Callable[[], None] = lambda: None
        """Called then: by whoever holds the machine up meanwhile."""

    def begin(self) -> None:
        """The machine goes down. Without a time that is configured for it, nothing is done."""
        if not periods(self._config):
            _log.warning("the machine goes down, and shutdownGracePeriod gives the pods no time: they are not stopped")
            return
        self._say(True)

    def call_off(self) -> None:
        """The machine stays up after all: pods are taken again. Those that were ended stay so."""
        self._say(False)

    def _say(self, down: bool) -> None:
        if down is not self._down:
            self._down = down
            self._tell(EVENT, BEGUN if down else CALLED_OFF)
            self._pods.close(REFUSAL if down else None)
            self._changed()
            self._told.set()

    def problem(self) -> str:
        return PROBLEM if self._down else ""

    async def run(self) -> None:
        """Until cancelled."""
        await self._times.recall()
        while True:
            await self._told.wait()
            self._told.clear()
            if not self._down:
                _log.info("the machine stays up after all")
                self.over.clear()
            elif not self.over.is_set():
                await self._end_pods()

    async def _end_pods(self) -> None:
        _log.info("the machine goes down", seconds=needed_s(self._config))
        begun = self._clock.now()
        await self._times.note(begun)
        for turn in turns(self._pods.active(), self._config):
            for end in turn.ends if self._down else ():
                self._pods.evict(end)
            await self._until_stopped(turn)
        await self._times.note(begun, self._clock.now())
        if self._down:
            _log.info("pods have had their time")
            self.over.set()
            self.finished()

    async def _until_stopped(self, turn: Turn) -> None:
        last = self._clock.monotonic() + turn.period_s
        while self._down and self._clock.monotonic() < last:
            if all(self._pods.is_stopped(end.uid) for end in turn.ends):
                return
            await self._clock.sleep(LOOK_S)
