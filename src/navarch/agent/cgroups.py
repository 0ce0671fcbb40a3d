"""The control groups that pods live below: one for each quality of service, one for each pod in it; versions 1 and 2.

The runtime makes a group for each container below its pod's. On version 1, values of a new cpuset must be filled in
before anything can run in it; on version 2, controllers must be switched on from the top down.

Source: https://kubernetes.io/docs/concepts/architecture/cgroups/
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from navarch.agent import pages, resources
from navarch.agent.kubelet import KubeletConfig
from navarch.base.log import Log
from navarch.kinds.pod import Pod
from navarch.objects import quantity

_log = Log("agent")

DEFAULTS = KubeletConfig()
MOUNTS = Path("/proc/mounts")
QUALITIES = ("", "/besteffort", "/burstable")
"""Below the root, where pods have their groups: the guaranteed ones at the root itself."""
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
WEIGHTS = ("cpu.shares", "cpu.weight")
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


@dataclass(frozen=True, slots=True)
class Limits:
    """What a group may use; 0 for no limit. pids: None leaves what is there. hugepages: bytes by page size (`2MB`)."""

    shares: int = resources.MIN_SHARES
    quota_us: int = 0
    memory_bytes: int = 0
    pids: int | None = None
    hugepages: Mapping[str, int] = field(default_factory=dict)

    def files(self, version: int) -> Iterator[tuple[str, str, str]]:
        """(controller, file, value), in an order in which the kernel takes them."""
        if version == 2:
            yield "cpu", "cpu.weight", str(weight(self.shares))
            yield "cpu", "cpu.max", f"{self.quota_us or 'max'} {resources.PERIOD_US}"
            yield "memory", "memory.max", str(self.memory_bytes or "max")
        else:
            yield "cpu", "cpu.shares", str(self.shares)
            yield "cpu", "cpu.cfs_period_us", str(resources.PERIOD_US)
            yield "cpu", "cpu.cfs_quota_us", str(self.quota_us or -1)
            yield "memory", "memory.limit_in_bytes", str(self.memory_bytes or -1)
        if self.pids is not None:
            yield "pids", "pids.max", str(self.pids or "max")
        for size, amount_bytes in self.hugepages.items():
            yield "hugetlb", f"hugetlb.{size}.{'max' if version == 2 else 'limit_in_bytes'}", str(amount_bytes)


class Cgroups:
    """root: the group below which all pods are (`/kubepods`); "" does nothing at all. pagesizes: of huge pages that the
    machine knows, in bytes. pids: that the machine has in all; 0 when nobody says."""

    def __init__(
        self,
        root: str,
        hierarchy: Hierarchy | None = None,
        *,
        kubelet: KubeletConfig = DEFAULTS,
        pagesizes: Sequence[int] = (),
        pids: int = 0,
    ) -> None:
        self._root = root.rstrip("/")
        self._hierarchy = hierarchy if hierarchy is not None else find_hierarchy()
        self._kubelet = kubelet
        self._pagesizes = pagesizes
        self._pids = pids

    @property
    def version(self) -> int:
        return 2 if self._hierarchy.unified is not None else 1 if self._hierarchy.controllers else 0

    @property
    def kills_together(self) -> bool:
        """Whether a container that is out of memory loses all its processes at once; only version 2 can."""
        return self.active and self.version == 2 and not self._kubelet.single_process_oom_kill

    @property
    def pagesizes(self) -> Sequence[int]:
        """Of the huge pages that can be limited here; none where the kernel does not account for them."""
        return self._pagesizes if self.active and self._accounts("hugetlb") else ()

    def _accounts(self, controller: str) -> bool:
        if self._hierarchy.unified is not None:
            return controller in _read(self._hierarchy.unified / "cgroup.controllers").split()
        return controller in self._hierarchy.controllers

    @property
    def hierarchy(self) -> Hierarchy:
        return self._hierarchy

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
        for quality in QUALITIES:
            self._make(f"{self._root}{quality}")
        shares = resources.cpu_shares(allocatable_milli.get("cpu", 0))
        kept = (self._kubelet.kube_reserved, self._kubelet.system_reserved)
        reserved = sum(quantity.whole(each.get("pid", 0)) for each in kept)
        pids = max(1, self._pids - reserved) if reserved and self._pids else None
        self._limit(self._root, Limits(shares, memory_bytes=allocatable_milli.get("memory", 0) // 1000, pids=pids))
        self._limit(f"{self._root}/besteffort", Limits())

    def make(self, pod: Pod) -> None:
        """The pod's group with its requests and limits. Raises: OSError."""
        group = self.parent(pod)
        if group:
            self._make(group)
            self._limit(group, self.limits(pod))

    def limits(self, pod: Pod) -> Limits:
        """Of the pod's own group."""
        quota_milli = resources.pod_total(pod, "cpu", limits=True) if self._kubelet.cpu_cfs_quota else 0
        pids = self._kubelet.pod_pids_limit
        return Limits(
            shares=resources.cpu_shares(resources.pod_total(pod, "cpu", limits=False)),
            quota_us=resources.cpu_quota_us(quota_milli),
            memory_bytes=resources.pod_total(pod, "memory", limits=True) // 1000,
            pids=pids if pids > 0 else None,
            hugepages={
                pages.control_name(size): resources.pod_total(pod, pages.resource_name(size), limits=False) // 1000
                for size in self.pagesizes
            },
        )

    def too_small(self, pod: Pod) -> str:
        """Why the pod's memory cannot be bounded as it now asks; "" when it can."""
        limit_bytes = self.limits(pod).memory_bytes
        unified = self._hierarchy.unified
        point = unified or self._hierarchy.controllers.get("memory")
        if point is None or not limit_bytes:
            return ""
        place = point / self.parent(pod).lstrip("/")
        used = _read(place / ("memory.current" if unified is not None else "memory.usage_in_bytes")).strip()
        if not used.isdecimal() or int(used) <= limit_bytes:
            return ""
        return f"attempting to set pod memory limit ({limit_bytes}) below current usage ({used})"

    def open_up(self, pod: Pod) -> None:
        """Take the limits of the pod's group away, so that those of its containers can change in any order."""
        if group := self.parent(pod):
            self._limit(group, Limits(self.limits(pod).shares))

    def share_burstable(self, cpu_milli: int) -> None:
        """Give all burstable pods together the weight of what they ask for. Raises: OSError."""
        if self.active:
            self._limit(f"{self._root}/burstable", Limits(resources.cpu_shares(cpu_milli)))

    def member(self, uid: str) -> int:
        """The id of one of the processes in a pod's group; 0 where there is none."""
        for group in self._groups_of(uid):
            for place in self._places(group)[:1]:
                for file in place.glob("*/cgroup.procs"):
                    if found := _read(file).split():
                        return int(found[0])
        return 0

    def processes(self, uid: str) -> int:
        """How many a pod has, threads included; 0 where nobody counts them."""
        unified = self._hierarchy.unified
        point = unified if unified is not None else self._hierarchy.controllers.get("pids")
        if point is None:
            return 0
        for group in self._groups_of(uid):
            if text := _read(point / group.lstrip("/") / "pids.current").strip():
                return int(text)
        return 0

    def pods(self) -> list[str]:
        """Uids of all pods that have a group."""
        above = [f"{self._root}{quality}" for quality in QUALITIES] if self._root else []
        places = [place for group in above for place in self._places(group)]
        found = [group.name.removeprefix("pod") for place in places for group in place.glob("pod*")]
        return list(dict.fromkeys(found))

    def container(self, uid: str, container_id: str, controller: str = "") -> Path | None:
        """The group of a pod's container, for one controller of version 1; None where there is none."""
        if not self.active:
            return None
        point = self._hierarchy.unified or self._hierarchy.controllers.get(controller)
        places = [] if point is None else [point / group.lstrip("/") / container_id for group in self._groups_of(uid)]
        return next((place for place in places if place.is_dir()), None)

    def remove(self, uid: str) -> bool:
        """Whatever quality of service the pod had; False while something still dies in one of its groups."""
        return False not in [self._remove(group) for group in self._groups_of(uid)]

    def tear_down(self) -> bool:
        """All groups below the root, and the root; False while something still lives in one."""
        return self._remove(self._root) if self._root else True

    def _groups_of(self, uid: str) -> list[str]:
        """Where a pod's group may be, whatever its quality of service."""
        return [f"{self._root}{quality}/pod{uid}" for quality in QUALITIES] if self._root else []

    def _places(self, group: str) -> list[Path]:
        below = group.lstrip("/")
        if self._hierarchy.unified is not None:
            return [self._hierarchy.unified / below]
        return [point / below for point in dict.fromkeys(self._hierarchy.controllers.values())]

    def _make(self, group: str) -> None:
        if self._hierarchy.unified is not None:
            self._make_unified(self._hierarchy.unified, group)
            return
        for name in ("cpu", "cpuset", "memory", "pids", "hugetlb"):
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

    def _limit(self, group: str, limits: Limits) -> None:
        below = group.lstrip("/")
        for controller, file, value in limits.files(self.version):
            point = self._hierarchy.unified or self._hierarchy.controllers.get(controller)
            if point is not None and not (file in WEIGHTS and _steps_back(point / below, limits.shares)):
                _try_write(point / below / file, value)

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


def _steps_back(place: Path, shares: int) -> bool:
    """Whether the kernel was told that the group asked for no CPU time: it gets what nobody else wants, and whoever
    asked for some need not wait until it has had its turn. Such a group has no weight that could be set."""
    file = place / "cpu.idle"
    if not file.exists():  # a kernel before 5.15
        return False
    _try_write(file, "1" if shares <= resources.MIN_SHARES else "0")
    return _read(file).strip() == "1"


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
