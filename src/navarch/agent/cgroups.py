"""The control groups that pods live below: one for each quality of service, one for each pod in it; versions 1 and 2.

The runtime makes a group for each container below its pod's. On version 1, values of a new cpuset must be filled in
before anything can run in it; on version 2, controllers must be switched on from the top down.

Source: https://kubernetes.io/docs/concepts/architecture/cgroups/
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from navarch.agent import resources
from navarch.base.log import Log
from navarch.kinds.pod import Pod

_log = Log("agent")

MOUNTS = Path("/proc/mounts")
_CONTROLLERS = frozenset(
    [
        "cpu",
        "cpuacct",
        "cpuset",
        "memory",
        "pids",
        "blkio",
        "devices",
        "freezer",
        "hugetlb",
        "net_cls",
        "net_prio",
        "perf_event",
        "rdma",
        "misc",
    ]
)
MANAGED = ("cpu", "cpuset", "memory", "pids", "io", "hugetlb")


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Where groups are mounted. unified: version 2; else a directory for each controller of version 1, and at "" the
    one without controllers that runtimes make groups in besides."""

    unified: Path | None
    controllers: Mapping[str, Path]


def find_hierarchy(mounts: Path = MOUNTS) -> Hierarchy:
    """Version 1 wins where a machine has both: then the controllers are there."""
    unified: Path | None = None
    controllers: dict[str, Path] = {}
    for line in mounts.read_text().splitlines():
        _, point, kind, options, *_ = line.split(" ")
        if kind == "cgroup2":
            unified = Path(point)
        elif kind == "cgroup":
            for option in options.split(","):
                if option in _CONTROLLERS or option.startswith("name="):
                    controllers.setdefault(option, Path(point))
    if not controllers:
        return Hierarchy(unified, {})
    return Hierarchy(None, controllers | ({"": unified} if unified is not None else {}))


def weight(shares: int) -> int:
    """Version 1's cpu.shares (2 to 262144) as version 2's cpu.weight (1 to 10000)."""
    return 1 + (shares - 2) * 9999 // 262142


class Cgroups:
    """root: the group below which all pods are (`/kubepods`); "" does nothing at all."""

    def __init__(self, root: str, hierarchy: Hierarchy | None = None) -> None:
        self._root = root.rstrip("/")
        self._hierarchy = hierarchy if hierarchy is not None else find_hierarchy()

    @property
    def version(self) -> int:
        return 2 if self._hierarchy.unified is not None else 1 if self._hierarchy.controllers else 0

    @property
    def active(self) -> bool:
        """Whether there is anything to do at all."""
        return bool(self._root) and self.version > 0

    def parent(self, pod: Pod) -> str:
        """The pod's own group, as the runtime is told; "" when groups are left to it."""
        if not self.active:
            return ""
        kind = resources.qos_class(pod)
        between = "" if kind == "Guaranteed" else f"/{kind.lower()}"
        return f"{self._root}{between}/pod{pod.metadata.uid}"

    def set_up(self, allocatable_milli: Mapping[str, int]) -> None:
        """The groups above all pods. allocatable_milli: what pods may use in all, in thousandths. Raises: OSError."""
        if not self.active:
            return
        for group in (self._root, f"{self._root}/besteffort", f"{self._root}/burstable"):
            self._make(group)
        memory_bytes = allocatable_milli.get("memory", 0) // 1000
        self._limit(self._root, resources.cpu_shares(allocatable_milli.get("cpu", 0)), 0, memory_bytes)
        self._limit(f"{self._root}/besteffort", resources.MIN_SHARES, 0, 0)

    def make(self, pod: Pod) -> None:
        """The pod's group with its requests and limits. Raises: OSError."""
        group = self.parent(pod)
        if group:
            self._make(group)
            self._limit(
                group,
                resources.cpu_shares(resources.pod_total(pod, "cpu", limits=False)),
                resources.cpu_quota_us(resources.pod_total(pod, "cpu", limits=True)),
                resources.pod_total(pod, "memory", limits=True) // 1000,
            )

    def open_up(self, pod: Pod) -> None:
        """Take the limits of the pod's group away, so that those of its containers can change in any order."""
        if group := self.parent(pod):
            self._limit(group, resources.cpu_shares(resources.pod_total(pod, "cpu", limits=False)), 0, 0)

    def share_burstable(self, cpu_milli: int) -> None:
        """Give all burstable pods together the weight of what they ask for. Raises: OSError."""
        if self.active:
            self._limit(f"{self._root}/burstable", resources.cpu_shares(cpu_milli), 0, 0)

    def member(self, uid: str) -> int:
        """The id of one of the processes in a pod's group; 0 where there is none."""
        for kind in ("", "/besteffort", "/burstable") if self._root else ():
            for place in self._places(f"{self._root}{kind}/pod{uid}")[:1]:
                for file in place.glob("*/cgroup.procs"):
                    if found := _read(file).split():
                        return int(found[0])
        return 0

    def remove(self, uid: str) -> bool:
        """Whatever quality of service the pod had; False while something still dies in one of its groups."""
        kinds = ("", "/besteffort", "/burstable") if self._root else ()
        return False not in [self._remove(f"{self._root}{kind}/pod{uid}") for kind in kinds]

    def tear_down(self) -> bool:
        """All groups below the root, and the root; False while something still lives in one."""
        return self._remove(self._root) if self._root else True

    def _places(self, group: str) -> list[Path]:
        below = group.lstrip("/")
        if self._hierarchy.unified is not None:
            return [self._hierarchy.unified / below]
        return [point / below for point in dict.fromkeys(self._hierarchy.controllers.values())]

    def _make(self, group: str) -> None:
        if self._hierarchy.unified is not None:
            self._make_unified(self._hierarchy.unified, group)
            return
        for name in ("cpu", "cpuset", "memory", "pids"):
            point = self._hierarchy.controllers.get(name)
            if point is not None:
                (point / group.lstrip("/")).mkdir(parents=True, exist_ok=True)
        if "cpuset" in self._hierarchy.controllers:
            self._fill_cpuset(self._hierarchy.controllers["cpuset"], group)

    def _make_unified(self, point: Path, group: str) -> None:
        here = point
        for name in group.strip("/").split("/"):
            available = _read(here / "cgroup.controllers").split()
            enabled = _read(here / "cgroup.subtree_control").split()
            for controller in MANAGED:
                if controller in available and controller not in enabled:
                    _try_write(here / "cgroup.subtree_control", f"+{controller}")
            here = here / name
            here.mkdir(exist_ok=True)

    def _fill_cpuset(self, point: Path, group: str) -> None:
        here = point
        for name in group.strip("/").split("/"):
            above, here = here, here / name
            for file in ("cpuset.cpus", "cpuset.mems"):
                if not _read(here / file).strip():
                    (here / file).write_text(_read(above / file).strip())

    def _limit(self, group: str, shares: int, quota_us: int, memory_bytes: int) -> None:
        below = group.lstrip("/")
        if self._hierarchy.unified is not None:
            place = self._hierarchy.unified / below
            _try_write(place / "cpu.weight", str(weight(shares)))
            _try_write(place / "cpu.max", f"{quota_us or 'max'} {resources.PERIOD_US}")
            _try_write(place / "memory.max", str(memory_bytes or "max"))
            return
        controllers = self._hierarchy.controllers
        if "cpu" in controllers:
            _try_write(controllers["cpu"] / below / "cpu.shares", str(shares))
            _try_write(controllers["cpu"] / below / "cpu.cfs_period_us", str(resources.PERIOD_US))
            _try_write(controllers["cpu"] / below / "cpu.cfs_quota_us", str(quota_us or -1))
        if "memory" in controllers:
            _try_write(controllers["memory"] / below / "memory.limit_in_bytes", str(memory_bytes or -1))

    def _remove(self, group: str) -> bool:
        return False not in [_remove_groups(place) for place in self._places(group)]


def _remove_groups(place: Path) -> bool:
    """From the bottom up; True when nothing is left."""
    if not place.exists():
        return True
    for directory, _, _ in os.walk(place, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(directory)
    return not place.exists()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # a controller that this kernel does not have
        return ""


def _try_write(path: Path, text: str) -> None:
    """A kernel may lack the file, or forbid it here (nested groups): the pod then runs without that limit."""
    try:
        if path.exists() and path.read_text().strip() != text:
            path.write_text(text)
    except OSError as error:
        _log.warning("a control group's value was not taken", file=path, value=text, error=error.strerror)
