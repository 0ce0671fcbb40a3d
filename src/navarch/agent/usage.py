"""What the node and its pods use at a moment, and at which rate they use processors: read when somebody asks.

Nothing is measured while nobody asks. A rate needs two measurements: the second is compared with the one that was taken
for whoever asked before, unless that is long ago. What it is told as stands in `summary` and `exposition`.

Source: https://kubernetes.io/docs/reference/instrumentation/node-metrics/; proc(5)
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from navarch.agent.runtime import Container, ContainerState, ContainerStats, PodOnNode, Runtime
from navarch.base.clock import Clock

FRESH_S = 5.0
"""So long a measurement is given to others who ask: a rate over less says little."""
LONGEST_S = 120.0
"""A measurement that is older says nothing of what is used at the moment; two are taken then, a little apart."""
APART_S = 1.0
KIB = 1024


@dataclass(frozen=True, slots=True)
class Traffic:
    """Of a network interface, since it is there."""

    name: str
    received_bytes: int = 0
    received_errors: int = 0
    sent_bytes: int = 0
    sent_errors: int = 0
    received_packets: int = 0
    received_dropped: int = 0
    sent_packets: int = 0
    sent_dropped: int = 0


@dataclass(frozen=True, slots=True)
class Memory:
    """working_set: without the part of the page cache that the kernel would give up first."""

    total_bytes: int = 0
    used_bytes: int = 0
    working_set_bytes: int = 0
    rss_bytes: int = 0
    faults: int = 0
    major_faults: int = 0
    swap_total_bytes: int = 0
    swap_used_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Disk:
    total_bytes: int = 0
    free_bytes: int = 0
    used_bytes: int = 0
    inodes: int = 0
    inodes_free: int = 0


@dataclass(frozen=True, slots=True)
class ContainerUse:
    """cpu_ns: of one core, since it was started. cpu_nano: billionths of a core over the window. id: the runtime's."""

    id: str
    name: str
    image: str
    attempt: int
    started: datetime
    at: datetime
    cpu_ns: int = 0
    memory_bytes: int = 0
    working_set_bytes: int = 0
    disk_bytes: int = 0
    inodes: int = 0
    log_bytes: int = 0
    cpu_nano: int = 0


@dataclass(frozen=True, slots=True)
class PodUse:
    """started: its sandbox. traffic: () for pods on the node's own network."""

    uid: str
    namespace: str
    name: str
    started: datetime
    containers: tuple[ContainerUse, ...] = ()
    traffic: tuple[Traffic, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """window_s: what rates are over; 0 in a measurement that was not compared with another."""

    node: str
    at: datetime
    booted: datetime
    cpus: int = 0
    cpu_ns: int = 0
    cpu_nano: int = 0
    window_s: float = 0.0
    memory: Memory = field(default_factory=Memory)
    disk: Disk = field(default_factory=Disk)
    traffic: tuple[Traffic, ...] = ()
    processes: int = 0
    pods: tuple[PodUse, ...] = ()


# --- reading


def busy_ns(stat: str, ticks: int) -> int:
    """From /proc/stat: what all processors have worked, waiting and being idle left out. ticks: a second's."""
    fields = [int(word) for word in stat.partition("\n")[0].split()[1:]]
    user, nice, system, _, _, interrupt, soft, stolen = (fields + [0] * 8)[:8]
    return (user + nice + system + interrupt + soft + stolen) * 1_000_000_000 // ticks


def memory(meminfo: str, vmstat: str) -> Memory:
    kib = {name: int(number) for name, number in re.findall(r"^([\w()]+):\s+(\d+)", meminfo, re.MULTILINE)}
    counts = {name: int(number) for name, number in re.findall(r"^(\w+) (\d+)$", vmstat, re.MULTILINE)}
    used = kib.get("MemTotal", 0) - kib.get("MemFree", 0)
    return Memory(
        total_bytes=kib.get("MemTotal", 0) * KIB,
        used_bytes=used * KIB,
        working_set_bytes=max(0, used - kib.get("Inactive(file)", 0)) * KIB,
        rss_bytes=kib.get("AnonPages", 0) * KIB,
        faults=counts.get("pgfault", 0),
        major_faults=counts.get("pgmajfault", 0),
        swap_total_bytes=kib.get("SwapTotal", 0) * KIB,
        swap_used_bytes=(kib.get("SwapTotal", 0) - kib.get("SwapFree", 0)) * KIB,
    )


def traffic(dev: str) -> tuple[Traffic, ...]:
    """From /proc/net/dev, the loopback interface left out; the first is eth0 where there is one."""
    found = []
    for line in dev.splitlines()[2:]:
        name, _, rest = line.partition(":")
        numbers = [int(word) for word in rest.split()]
        if name.strip() != "lo" and len(numbers) >= 12:
            received, packets, errors, dropped, *_ = numbers
            sent = numbers[8:12]
            both = (received, errors, sent[0], sent[2], packets, dropped, sent[1], sent[3])
            found.append(Traffic(name.strip(), *both))
    return tuple(sorted(found, key=lambda one: one.name != "eth0"))


def disk(place: Path) -> Disk:
    """Of the file system that `place` is on. Raises: OSError."""
    found = os.statvfs(place)
    total, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
    return Disk(total, free, total - found.f_bfree * found.f_frsize, found.f_files, found.f_ffree)


def pods(
    seen: Mapping[str, PodOnNode], stats: Sequence[ContainerStats], log_bytes: Callable[[str], int]
) -> tuple[PodUse, ...]:
    """The pods that run, by namespace and name. log_bytes: of a log at a path."""
    by_id = {one.id: one for one in stats}
    found = []
    for pod in seen.values():
        boxes = [box for box in pod.sandboxes if box.ready]
        if boxes:
            running = [one for one in pod.containers if one.state is ContainerState.RUNNING and one.id in by_id]
            used = tuple(_container(one, by_id[one.id], log_bytes) for one in sorted(running, key=lambda one: one.name))
            found.append(PodUse(pod.uid, pod.namespace, pod.name, boxes[0].created_at, used))
    return tuple(sorted(found, key=lambda one: (one.namespace, one.name)))


def _container(one: Container, stats: ContainerStats, log_bytes: Callable[[str], int]) -> ContainerUse:
    return ContainerUse(
        id=one.id,
        name=one.name,
        image=one.image,
        attempt=one.attempt,
        started=one.started_at or one.created_at,
        at=stats.at,
        cpu_ns=stats.cpu_core_ns,
        memory_bytes=stats.memory_bytes,
        working_set_bytes=stats.working_set_bytes,
        disk_bytes=stats.disk_bytes,
        inodes=stats.inodes,
        log_bytes=log_bytes(one.log_path),
    )


# --- comparing


def compared(old: Usage, new: Usage) -> Usage:
    """`new` with rates over the time since `old`; of containers that were started since, over their life."""
    before = {one.id: one for pod in old.pods for one in pod.containers}

    def rated(one: ContainerUse) -> ContainerUse:
        was = before.get(one.id)
        since, from_ns = (was.at, was.cpu_ns) if was is not None else (one.started, 0)
        return replace(one, cpu_nano=_rate(one.cpu_ns - from_ns, one.at - since))

    return replace(
        new,
        window_s=(new.at - old.at).total_seconds(),
        cpu_nano=_rate(new.cpu_ns - old.cpu_ns, new.at - old.at),
        pods=tuple(replace(pod, containers=tuple(map(rated, pod.containers))) for pod in new.pods),
    )


def _rate(ns: int, over: timedelta) -> int:
    seconds = over.total_seconds()
    return max(0, round(ns / seconds)) if seconds > 0 else 0


# --- the edge


class Gauges:
    """data: on the disk that is told about. member: the id of one of a pod's processes by the pod's uid, 0 for none."""

    def __init__(
        self,
        runtime: Runtime,
        clock: Clock,
        node: str,
        data: Path,
        member: Callable[[str], int] = lambda _: 0,
        proc: Path = Path("/proc"),
    ) -> None:
        self._runtime = runtime
        self._clock = clock
        self._node = node
        self._data = data
        self._member = member
        self._proc = proc
        self._last: Usage | None = None
        self._turn = asyncio.Lock()

    async def read(self) -> Usage:
        """What is used now, with rates. Raises: RuntimeFailure."""
        async with self._turn:
            last = self._last
            age_s = (self._clock.now() - last.at).total_seconds() if last is not None else LONGEST_S
            if last is not None and 0 <= age_s < FRESH_S:
                return last
            if last is None or not 0 <= age_s < LONGEST_S:
                last = await self._measure()
                await self._clock.sleep(APART_S)
            self._last = compared(last, await self._measure())
            return self._last

    async def _measure(self) -> Usage:
        seen, stats = await asyncio.gather(self._runtime.observe(), self._runtime.stats())
        found = pods(seen, stats, _size)
        wired = {pod.uid for pod in seen.values() if any(box.ready and box.ips for box in pod.sandboxes)}
        now = self._clock.now()
        text = self._text("stat")
        return Usage(
            node=self._node,
            at=now,
            booted=datetime.fromtimestamp(_boot(text), now.tzinfo),
            cpus=len(re.findall(r"^cpu\d", text, re.MULTILINE)),
            cpu_ns=busy_ns(text, os.sysconf("SC_CLK_TCK")),
            memory=memory(self._text("meminfo"), self._text("vmstat")),
            disk=disk(self._data),
            traffic=traffic(self._text("net/dev")),
            processes=sum(entry.isdecimal() for entry in os.listdir(self._proc)),
            pods=tuple(replace(pod, traffic=self._traffic(pod.uid)) if pod.uid in wired else pod for pod in found),
        )

    def _traffic(self, uid: str) -> tuple[Traffic, ...]:
        member = self._member(uid)
        with suppress(OSError):  # it has ended meanwhile
            return traffic(self._text(f"{member}/net/dev")) if member else ()
        return ()

    def _text(self, name: str) -> str:
        return (self._proc / name).read_text()


def _boot(stat: str) -> int:
    found = re.search(r"^btime (\d+)$", stat, re.MULTILINE)
    return int(found[1]) if found else 0


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size if path else 0
    except OSError:  # it is rotated at this moment, or was never written
        return 0
