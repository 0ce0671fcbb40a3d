"""Measures what pods use, when somebody is about to be chosen or pods with limits on the disk are due to be looked at.

Memory and containers' own layers are the runtime's to say; volumes and logs are counted file by file, in a thread, as
`du` does. What is mounted from elsewhere (memory, claims) is no holding of the node's disk and is left out.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from navarch.agent.config import Paths
from navarch.agent.eviction.ranking import NONE_HELD, Candidate, ContainerUse, Held, PodUse
from navarch.agent.runtime import ContainerStats, Runtime
from navarch.kinds.pod import Pod

BLOCK_BYTES = 512


@dataclass(frozen=True, slots=True)
class Holdings:
    """processes: how many a pod has, by its uid."""

    runtime: Runtime
    paths: Paths
    processes: Callable[[str], int] = lambda _: 0

    async def of(self, pods: Sequence[Pod], *, disk: bool, processes: bool = False) -> list[Candidate]:
        """disk: whether volumes and logs are to be counted as well. Raises: RuntimeFailure."""
        stats: dict[str, list[ContainerStats]] = {}
        for one in await self.runtime.stats():
            stats.setdefault(one.uid, []).append(one)
        return await asyncio.to_thread(self._all, pods, stats, disk, processes)

    def _all(
        self, pods: Sequence[Pod], stats: Mapping[str, Sequence[ContainerStats]], disk: bool, processes: bool
    ) -> list[Candidate]:
        return [Candidate(pod, self._one(pod, stats.get(pod.metadata.uid, ()), disk, processes)) for pod in pods]

    def _one(self, pod: Pod, stats: Iterable[ContainerStats], disk: bool, processes: bool) -> PodUse | None:
        meta = pod.metadata
        logs = logs_below(self.paths.pod_logs(meta.namespace, meta.name, meta.uid)) if disk else {}
        uses = {one.name: ContainerUse(one.working_set_bytes, Held(one.disk_bytes, one.inodes)) for one in stats}
        for name, held in logs.items():
            known = uses.get(name, ContainerUse())
            uses[name] = ContainerUse(known.memory_bytes, known.layer, held)
        if not uses and not disk and not processes:
            return None
        found = volumes_below(self.paths.volumes(meta.uid)) if disk else {}
        return PodUse(uses, found, self.processes(meta.uid) if processes else 0)


def logs_below(place: Path) -> Mapping[str, Held]:
    """By container; files that were rotated count as well."""
    return {directory.name: held_below(directory) for directory in _directories(place)}


def volumes_below(place: Path) -> Mapping[str, Held]:
    """By name, of those that lie on the same disk as `place`."""
    try:
        device = place.stat().st_dev
    except OSError:  # the pod has none, or none any more
        return {}
    return {one.name: held_below(one) for one in _directories(place) if one.lstat().st_dev == device}


def _directories(place: Path) -> list[Path]:
    try:
        return sorted(entry for entry in place.iterdir() if entry.is_dir() and not entry.is_symlink())
    except OSError:  # nothing was written yet, or it is being removed
        return []


def held_below(place: Path) -> Held:
    """Of one disk: what is mounted below is not gone into; a file with several names counts once."""
    held, seen, device = NONE_HELD, set[int](), -1
    waiting = [place]
    while waiting:
        here = waiting.pop()
        try:
            own = here.lstat()
            if device == -1:
                device = own.st_dev
            if own.st_dev != device:
                continue
            held += Held(own.st_blocks * BLOCK_BYTES, 1)
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                    else:
                        held += _of_file(entry, seen)
        except OSError:  # it was removed meanwhile
            continue
    return held


def _of_file(entry: os.DirEntry[str], seen: set[int]) -> Held:
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError:  # it was removed meanwhile
        return NONE_HELD
    if found.st_nlink > 1:
        if found.st_ino in seen:
            return NONE_HELD
        seen.add(found.st_ino)
    return Held(found.st_blocks * BLOCK_BYTES, 1)
