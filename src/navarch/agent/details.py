"""What summaries and dashboards want to know of pods besides what the runtime says: control groups, volumes, logs.

Read when somebody asks, in a thread; what lies on the disk is counted anew only when the last count is old, since that
goes file by file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from navarch.agent.config import Paths
from navarch.agent.eviction.holdings import held_below, logs_below
from navarch.agent.eviction.ranking import NONE_HELD, Held
from navarch.agent.groupstats import Groups, GroupUse
from navarch.agent.usage import Disk, PodUse, Usage, disk
from navarch.base.clock import Clock


@dataclass(frozen=True, slots=True)
class FolderUse:
    """own: it lies on the node's disk and ends with the pod."""

    name: str
    files: Disk
    held: Held
    own: bool = True


@dataclass(frozen=True, slots=True)
class PodDisk:
    """logs: by container, rotated files included."""

    volumes: tuple[FolderUse, ...] = ()
    logs: Mapping[str, Held] = field(default_factory=dict)

    @property
    def own(self) -> Held:
        """What counts as its ephemeral storage, containers' own layers apart."""
        return sum((one.held for one in self.volumes if one.own), sum(self.logs.values(), NONE_HELD))


@dataclass(frozen=True, slots=True)
class Details:
    """groups: by container id. disks: by the pod's uid. images: the disk that images lie on."""

    groups: Mapping[str, GroupUse] = field(default_factory=dict)
    disks: Mapping[str, PodDisk] = field(default_factory=dict)
    images: Disk | None = None
    most_processes: int = 0


NO_DETAILS = Details()


class Inspector:
    """images: where the runtime keeps them. old_s: after so many seconds the disk is looked at again."""

    def __init__(self, groups: Groups, paths: Paths, images: Path, clock: Clock, old_s: float) -> None:
        self._groups = groups
        self._paths = paths
        self._images = images
        self._clock = clock
        self._old_s = old_s
        self._disks: Mapping[str, PodDisk] = {}
        self._counted_at = float("-inf")
        self._turn = asyncio.Lock()

    async def groups(self, usage: Usage) -> Details:
        """Without a look at the disk."""
        return Details(groups=await asyncio.to_thread(self._groups_of, usage.pods))

    async def all(self, usage: Usage) -> Details:
        found = await self.groups(usage)
        async with self._turn:
            known = {pod.uid for pod in usage.pods} <= self._disks.keys()
            if not known or self._clock.monotonic() - self._counted_at >= self._old_s:
                self._disks = await asyncio.to_thread(self._disks_of, usage.pods)
                self._counted_at = self._clock.monotonic()
        images, most = await asyncio.to_thread(_machine, self._images)
        return replace(found, disks=self._disks, images=images, most_processes=most)

    def _groups_of(self, pods: Iterable[PodUse]) -> dict[str, GroupUse]:
        return {one.id: self._groups.of(pod.uid, one.id) for pod in pods for one in pod.containers}

    def _disks_of(self, pods: Iterable[PodUse]) -> dict[str, PodDisk]:
        found = {}
        for pod in pods:
            logs = logs_below(self._paths.pod_logs(pod.namespace, pod.name, pod.uid))
            found[pod.uid] = PodDisk(tuple(volumes_of(self._paths.volumes(pod.uid))), logs)
        return found


def volumes_of(place: Path) -> Iterable[FolderUse]:
    """Those that have a directory there."""
    try:
        device = place.stat().st_dev
        entries = sorted(entry for entry in place.iterdir() if entry.is_dir() and not entry.is_symlink())
    except OSError:  # the pod has none, or none any more
        return
    for entry in entries:
        try:
            own, files = entry.lstat().st_dev == device, disk(entry)
        except OSError:  # it is being taken away
            continue
        held = held_below(entry) if own else Held(files.used_bytes, files.inodes - files.inodes_free)
        yield FolderUse(entry.name, files, held, own)


def _machine(images: Path) -> tuple[Disk | None, int]:
    try:
        return disk(images), int(Path("/proc/sys/kernel/pid_max").read_text())
    except (OSError, ValueError):  # the runtime has no directory yet
        return None, 0
