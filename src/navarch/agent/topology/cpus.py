"""The CPUs of a machine, and which of them to give away together: whole sockets before whole cores before single
threads, so that who gets some shares as little as possible with others. Pure but for `read_layout`.

Source: https://kubernetes.io/docs/tasks/administer-cluster/cpu-management-policies/
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from navarch.agent.topology import cpusets

Cpus = frozenset[int]

SYS = Path("/sys/devices/system")


@dataclass(frozen=True, slots=True)
class Cpu:
    """core: unique on the machine."""

    id: int
    core: tuple[int, int]
    socket: int
    node: int


@dataclass(frozen=True, slots=True)
class Layout:
    cpus: tuple[Cpu, ...] = ()

    @property
    def all(self) -> Cpus:
        return frozenset(cpu.id for cpu in self.cpus)

    @property
    def nodes(self) -> frozenset[int]:
        return frozenset(cpu.node for cpu in self.cpus)

    def on(self, nodes: Iterable[int]) -> Cpus:
        chosen = frozenset(nodes)
        return frozenset(cpu.id for cpu in self.cpus if cpu.node in chosen)


def read_layout(folder: Path = SYS, usable: Iterable[int] | None = None) -> Layout:
    """usable: the CPUs that we may run on, by default those of this process."""
    chosen = frozenset(os.sched_getaffinity(0) if usable is None else usable)
    nodes = {cpu: node for node, cpus in _nodes(folder / "node") for cpu in cpus}
    found = []
    for number in sorted(chosen):
        place = folder / "cpu" / f"cpu{number}" / "topology"
        socket = max(0, _number(place / "physical_package_id", 0))
        core = (socket, _number(place / "core_id", number))
        found.append(Cpu(number, core, socket, nodes.get(number, 0)))
    return Layout(tuple(found))


def _nodes(folder: Path) -> Iterator[tuple[int, Cpus]]:
    for place in folder.glob("node*"):
        if shape := re.fullmatch(r"node(\d+)", place.name):
            try:
                yield int(shape[1]), cpusets.parse((place / "cpulist").read_text())
            except (OSError, ValueError):
                continue  # a node without CPUs, or a kernel that does not tell


def _number(path: Path, default: int) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # virtual machines may lack it
        return default


def take(layout: Layout, free: Cpus, count: int) -> Cpus:
    """`count` of the free CPUs. Raises: ValueError, when there are fewer."""
    if count > len(free):
        raise ValueError(f"not enough cpus available to satisfy request: requested={count}, available={len(free)}")
    taken: set[int] = set()
    kinds: tuple[Callable[[Cpu], object], ...] = (lambda cpu: (cpu.socket, cpu.node), lambda cpu: cpu.core)
    for kind in kinds:
        for group in _whole(layout, free - taken, kind):
            if len(group) <= count - len(taken):
                taken |= group
    left = [cpu for cpu in layout.cpus if cpu.id in free and cpu.id not in taken]
    beside = Counter(cpu.socket for cpu in left), Counter(cpu.core for cpu in left)
    left.sort(key=lambda cpu: (beside[0][cpu.socket], beside[1][cpu.core], cpu.id))
    return frozenset(taken | {cpu.id for cpu in left[: count - len(taken)]})


def _whole(layout: Layout, free: Cpus, kind: Callable[[Cpu], object]) -> Iterator[set[int]]:
    """Groups of which every CPU is free, in the order of the machine; those on sockets that are used already first."""
    groups: dict[object, set[int]] = {}
    sockets: dict[object, int] = {}
    for cpu in layout.cpus:
        groups.setdefault(kind(cpu), set()).add(cpu.id)
        sockets.setdefault(kind(cpu), cpu.socket)
    room = Counter(cpu.socket for cpu in layout.cpus if cpu.id in free)
    for key in sorted(groups, key=lambda each: (room[sockets[each]], min(groups[each]))):
        if groups[key] <= free:
            yield groups[key]


def take_near(layout: Layout, free: Cpus, count: int, nodes: Iterable[int] | None) -> Cpus:
    """As `take`, from those nodes as far as they have enough. nodes: None for anywhere. Raises: ValueError."""
    if nodes is None:
        return take(layout, free, count)
    near = free & layout.on(nodes)
    first = take(layout, near, min(count, len(near)))
    return first | take(layout, free - first, count - len(first))
