"""What is read of the machine and counted on its disk: on files that a test wrote."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from navarch.agent.cgroups import Hierarchy
from navarch.agent.config import Paths
from navarch.agent.eviction.holdings import Holdings, held_below, volumes_below
from navarch.agent.eviction.signals import MachineSignals
from navarch.agent.runtime import ContainerStats
from tests.unit.agent import pods

KIB = 1024
MEMINFO = "MemTotal: 1000 kB\nMemFree: 300 kB\nInactive(file): 50 kB\n"


def proc(place: Path) -> Path:
    (place / "sys/kernel").mkdir(parents=True)
    (place / "meminfo").write_text(MEMINFO)
    (place / "loadavg").write_text("0.5 0.4 0.3 3/120 4711\n")
    (place / "sys/kernel/pid_max").write_text("32768\n")
    (place / "sys/kernel/threads-max").write_text("1000\n")
    return place


def read(place: Path, hierarchy: Hierarchy) -> MachineSignals:
    return MachineSignals(hierarchy, place / "not" / "there", place, proc(place / "proc"))


def test_version_one_of_control_groups_says_what_is_used(tmp_path: Path) -> None:
    (tmp_path / "memory.usage_in_bytes").write_text(f"{600 * KIB}\n")
    (tmp_path / "memory.stat").write_text(f"cache 5\ntotal_inactive_file {100 * KIB}\n")
    found = read(tmp_path, Hierarchy(None, {"memory": tmp_path}))()["memory.available"]
    assert (found.available, found.capacity) == (500 * KIB, 1000 * KIB)


def test_version_two_says_it_in_meminfo_and_the_roots_statistics(tmp_path: Path) -> None:
    (tmp_path / "memory.stat").write_text(f"anon 7\ninactive_file {60 * KIB}\n")
    assert read(tmp_path, Hierarchy(tmp_path, {}))()["memory.available"].available == 360 * KIB


def test_without_control_groups_the_kernels_own_figures_do(tmp_path: Path) -> None:
    assert read(tmp_path, Hierarchy(None, {}))()["memory.available"].available == 350 * KIB


def test_disks_and_process_ids(tmp_path: Path) -> None:
    signals = read(tmp_path, Hierarchy(None, {}))
    found = signals()
    room = os.statvfs(tmp_path)
    assert found["nodefs.available"].capacity == room.f_blocks * room.f_frsize
    assert found["containerfs.available"].capacity == found["imagefs.available"].capacity
    assert (found["pid.available"].available, found["pid.available"].capacity) == (880, 1000)
    assert not signals.split


def test_what_cannot_be_read_is_left_out_and_the_rest_is_there(tmp_path: Path) -> None:
    signals = read(tmp_path, Hierarchy(None, {"memory": tmp_path / "gone"}))
    (tmp_path / "proc/loadavg").write_text("nonsense")
    found = signals()
    assert "memory.available" not in found
    assert "pid.available" not in found
    assert "nodefs.available" in found


def test_this_machine_can_be_read(tmp_path: Path) -> None:
    found = MachineSignals(Hierarchy(None, {}), tmp_path, tmp_path)()
    assert found["memory.available"].available > 0
    assert found["pid.available"].available > 0


def test_files_are_counted_once_and_links_are_not_followed(tmp_path: Path) -> None:
    place = tmp_path / "volume"
    (place / "below").mkdir(parents=True)
    (place / "below" / "file").write_bytes(os.urandom(100_000))
    os.link(place / "below" / "file", place / "again")
    (place / "away").symlink_to("/usr")
    found = held_below(place)
    assert 100_000 <= found.bytes < 200_000
    assert found.inodes == 4
    assert held_below(tmp_path / "none").bytes == 0
    assert volumes_below(tmp_path / "none") == {}


class Runtime:
    async def stats(self) -> list[ContainerStats]:
        now = datetime.now(UTC)
        return [ContainerStats("1", "main", pods.UID, now, working_set_bytes=5, disk_bytes=7, inodes=2)]


def test_a_pods_holdings_are_its_layers_logs_and_volumes(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "agent", tmp_path / "logs")
    logs = paths.pod_logs("default", "web", pods.UID) / "main"
    logs.mkdir(parents=True)
    (logs / "0.log").write_bytes(os.urandom(5000))
    (logs / "0.log.20260101-000000.gz").write_bytes(os.urandom(5000))
    paths.volume(pods.UID, "data").mkdir(parents=True)
    (paths.volume(pods.UID, "data") / "file").write_bytes(os.urandom(50_000))
    runtime: Any = Runtime()
    holdings = Holdings(runtime, paths, lambda uid: 3)
    (found,) = asyncio.run(holdings.of([pods.pod()], disk=True, processes=True))
    assert found.use is not None
    main = found.use.containers["main"]
    assert (main.memory_bytes, main.layer.bytes, main.layer.inodes) == (5, 7, 2)
    assert main.logs.bytes >= 10_000
    assert found.use.volumes["data"].bytes >= 50_000
    assert found.use.processes == 3
    (brief,) = asyncio.run(holdings.of([pods.pod()], disk=False))
    assert brief.use is not None
    assert brief.use.volumes == {}
    (unknown,) = asyncio.run(holdings.of([pods.pod(meta={"uid": "other"})], disk=False))
    assert unknown.use is None
