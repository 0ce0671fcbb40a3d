"""What this machine has and is, as a Node object tells it. Reads /proc and /etc; nothing here changes anything."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from navarch.agent import pages
from navarch.agent.imagefile import architecture
from navarch.agent.kubelet import KubeletConfig
from navarch.objects import quantity


@dataclass(frozen=True, slots=True)
class Machine:
    cpus: int
    memory_bytes: int
    disk_bytes: int
    machine_id: str = ""
    system_uuid: str = ""
    boot_id: str = ""
    kernel: str = ""
    os_image: str = ""
    arch: str = ""
    hugepages: tuple[tuple[int, int], ...] = ((1 << 30, 0), (2 << 20, 0))
    """(size in bytes, how many)."""
    pids: int = 0
    """How many processes there can be; 0 when that is not known."""
    apparmor: bool = False

    def capacity(self, kubelet: KubeletConfig) -> dict[str, str]:
        return {
            "cpu": str(self.cpus),
            "memory": f"{self.memory_bytes // 1024}Ki",
            "ephemeral-storage": f"{self.disk_bytes // 1024}Ki",
            **{
                pages.resource_name(size): quantity.text(size * count * quantity.NANO, "binary")
                for size, count in self.hugepages
            },
            "pods": str(kubelet.max_pods),
        }

    def allocatable(self, kubelet: KubeletConfig, *, free: bool = True) -> dict[str, str]:
        """The capacity without what is reserved and what must stay free; huge pages are no memory for anything else.

        free: see `KubeletConfig.kept_back`.
        """
        found = self.capacity(kubelet)
        huge_bytes = sum(size * count for size, count in self.hugepages)
        kept = {"memory": "0", **kubelet.kept_back(found, free=free)}
        for name, amount in kept.items():
            taken = quantity.nano(amount) + (huge_bytes * quantity.NANO if name == "memory" else 0)
            left = max(0, quantity.nano(found[name]) - taken)
            found[name] = quantity.text(left, "binary" if name == "memory" else "decimal")
        return found


def read_machine(data: Path) -> Machine:
    """data: a directory on the disk that containers write to."""
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=_memory_bytes(),
        disk_bytes=shutil.disk_usage(_existing(data)).total,
        machine_id=_line("/etc/machine-id"),
        system_uuid=_line("/sys/class/dmi/id/product_uuid") or _line("/etc/machine-id"),
        boot_id=_line("/proc/sys/kernel/random/boot_id"),
        kernel=platform.release(),
        os_image=_os_name(),
        arch=architecture(),
        hugepages=pages.read_pages(),
        pids=min(int(_line(f"/proc/sys/kernel/{file}") or 0) for file in ("pid_max", "threads-max")),
        apparmor=_line("/sys/module/apparmor/parameters/enabled") == "Y",
    )


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if place.exists())


def _memory_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


def _line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:  # containers and some machines do not have it
        return ""


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


SIMULATED = Machine(8, 32 << 30, 200 << 30, kernel="6.1.0", os_image="Simulated Linux", arch="amd64", apparmor=True)
"""A machine for agents whose containers are simulated."""


def is_readonly(path: Path) -> bool:
    """Whether nothing can be written there, as after an error of the disk; False when there is no such place."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False
