"""When a resource of the node counts as short: thresholds on signals, as a kubelet's configuration writes them.

A threshold without a grace period is hard: what falls below it is acted on at once. Pure; who measures the signals
stands in `signals`, what follows from them in `judge`.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from navarch.agent.kubelet import KubeletConfig
from navarch.agent.kubelet import Threshold as Least

MEMORY = "memory.available"
NODE_DISK = "nodefs.available"
NODE_INODES = "nodefs.inodesFree"
IMAGE_DISK = "imagefs.available"
IMAGE_INODES = "imagefs.inodesFree"
CONTAINER_DISK = "containerfs.available"
CONTAINER_INODES = "containerfs.inodesFree"
PROCESSES = "pid.available"

MEMORY_PRESSURE, DISK_PRESSURE, PROCESS_PRESSURE = "MemoryPressure", "DiskPressure", "PIDPressure"

CONDITIONS: Mapping[str, str] = {
    MEMORY: MEMORY_PRESSURE,
    NODE_DISK: DISK_PRESSURE,
    NODE_INODES: DISK_PRESSURE,
    IMAGE_DISK: DISK_PRESSURE,
    IMAGE_INODES: DISK_PRESSURE,
    CONTAINER_DISK: DISK_PRESSURE,
    CONTAINER_INODES: DISK_PRESSURE,
    PROCESSES: PROCESS_PRESSURE,
}
"""The condition of the node that each signal brings about; memory, which kills soonest, comes first."""

RESOURCES: Mapping[str, str] = {
    MEMORY: "memory",
    NODE_DISK: "ephemeral-storage",
    NODE_INODES: "inodes",
    IMAGE_DISK: "ephemeral-storage",
    IMAGE_INODES: "inodes",
    CONTAINER_DISK: "ephemeral-storage",
    CONTAINER_INODES: "inodes",
    PROCESSES: "pids",
}
"""What a signal is short of, in the words of messages."""

NOTHING = Least(0)


@dataclass(frozen=True, slots=True)
class Threshold:
    """grace_s: how long the signal must lie below before pods are evicted; 0 is a hard threshold.

    reclaim: how much further the signal must rise before the shortage counts as over.
    """

    signal: str
    least: Least
    grace_s: float = 0.0
    reclaim: Least = NOTHING

    @property
    def hard(self) -> bool:
        return self.grace_s == 0

    @property
    def condition(self) -> str:
        return CONDITIONS[self.signal]

    @property
    def resource(self) -> str:
        return RESOURCES[self.signal]


@dataclass(frozen=True, slots=True)
class Observation:
    """Of one signal: what is left, of how much in all (bytes, inodes or process ids)."""

    available: int
    capacity: int


def thresholds(config: KubeletConfig) -> tuple[Threshold, ...]:
    """Those that are set; one of nothing (`0`, `0%`) or of everything (`100%`) is switched off."""
    wanted = config.eviction_minimum_reclaim
    hard = [Threshold(name, least, 0.0, wanted.get(name, NOTHING)) for name, least in config.eviction_hard.items()]
    soft = [
        Threshold(name, least, config.eviction_soft_grace_period_s.get(name, 0.0), wanted.get(name, NOTHING))
        for name, least in config.eviction_soft.items()
    ]
    return tuple(one for one in (*hard, *soft) if one.least.amount or (one.least.amount is None and _partly(one)))


def _partly(threshold: Threshold) -> bool:
    return 0 < threshold.least.part < 1
