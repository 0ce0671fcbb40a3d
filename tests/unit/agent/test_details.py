"""What is read of control groups and disks for those who look closer, and how it is told."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from navarch.agent.cadvisor import cadvisor
from navarch.agent.cgroups import Hierarchy
from navarch.agent.config import Paths
from navarch.agent.details import Details, FolderUse, Inspector, PodDisk
from navarch.agent.eviction.ranking import Held
from navarch.agent.groupstats import Groups, GroupUse
from navarch.agent.summary import summary
from navarch.agent.usage import ContainerUse, Disk, PodUse, Usage
from navarch.base.clock import SystemClock

BEGIN = datetime(2026, 5, 1, 12, tzinfo=UTC)
ONE = {
    "memory/memory.stat": "rss 1\ntotal_rss 40\ntotal_cache 50\ntotal_mapped_file 6\ntotal_swap 7\n"
    "total_pgfault 80\ntotal_pgmajfault 9\n",
    "memory/memory.limit_in_bytes": "9223372036854771712\n",
    "memory/memory.max_usage_in_bytes": "1000\n",
    "memory/memory.failcnt": "3\n",
    "memory/memory.oom_control": "oom_kill_disable 0\noom_kill 2\n",
    "memory/cgroup.procs": "10\n11\n",
    "cpu/cpu.stat": "nr_periods 5\nnr_throttled 4\nthrottled_time 3000000000\n",
    "cpu/cpu.cfs_quota_us": "-1\n",
    "cpu/cpu.cfs_period_us": "100000\n",
    "cpu/cpu.shares": "256\n",
    "cpu/cpuacct.usage_user": "700\n",
    "cpu/cpuacct.usage_sys": "300\n",
    "blkio/blkio.throttle.io_service_bytes_recursive": "8:0 Read 10\n8:0 Write 20\n8:16 Read 5\nTotal 35\n",
    "blkio/blkio.throttle.io_serviced_recursive": "8:0 Read 1\n8:0 Write 2\n",
    "pids/pids.current": "6\n",
}
TWO = {
    "memory.stat": "anon 40\nfile 50\nfile_mapped 6\npgfault 80\npgmajfault 9\n",
    "memory.swap.current": "7\n",
    "memory.max": "max\n",
    "memory.peak": "1000\n",
    "memory.events": "low 0\nmax 3\noom_kill 2\n",
    "cpu.stat": "usage_usec 1\nuser_usec 7\nsystem_usec 3\nnr_periods 5\nnr_throttled 4\nthrottled_usec 3000000\n",
    "cpu.max": "50000 100000\n",
    "cpu.weight": "1\n",
    "io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=5\n",
    "cgroup.procs": "10\n11\n",
    "pids.current": "6\n",
}


def write(place: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    return place


def divided(place: Path) -> Groups:
    """Version 1, where cpu and cpuacct are often one."""
    below = "nav/burstable/podu1/c1"
    for name, text in ONE.items():
        controller, _, file = name.partition("/")
        write(place / controller / below, {file: text})
    points = {name: place / name for name in ("memory", "cpu", "blkio", "pids")}
    return Groups(Hierarchy(None, {**points, "cpuacct": place / "cpu"}), "/nav")


def test_both_versions_of_control_groups_say_the_same(tmp_path: Path) -> None:
    one = divided(tmp_path / "1").of("u1", "c1")
    write(tmp_path / "2" / "nav/podu1/c1", TWO)
    two = Groups(Hierarchy(tmp_path / "2", {}), "nav").of("u1", "c1")
    both = {"rss_bytes": 40, "cache_bytes": 50, "swap_bytes": 7, "peak_bytes": 1000, "limit_bytes": 0, "refused": 3}
    both |= {"faults": 80, "major_faults": 9, "oom_kills": 2, "periods": 5, "throttled_periods": 4}
    both |= {"throttled_ns": 3_000_000_000, "period_us": 100_000, "read_bytes": 15, "written_bytes": 20, "reads": 1}
    both |= {"writes": 2, "processes": 2, "threads": 6}
    for name, value in both.items():
        assert (name, getattr(one, name), getattr(two, name)) == (name, value, value)
    assert (one.user_ns, one.system_ns, one.quota_us, one.shares) == (700, 300, 0, 256)
    assert (two.user_ns, two.system_ns, two.quota_us, two.shares) == (7000, 3000, 50_000, 2)


def test_what_has_ended_used_nothing(tmp_path: Path) -> None:
    assert divided(tmp_path).of("u1", "gone") == GroupUse()
    assert Groups(Hierarchy(None, {}), "nav").of("u1", "c1") == GroupUse()


USAGE = Usage(
    "n1",
    BEGIN,
    BEGIN,
    disk=Disk(1000, 400, 600, 90, 80),
    pods=(
        PodUse("u1", "ns", "web", BEGIN, (ContainerUse("c1", "main", "i", 0, BEGIN, BEGIN, disk_bytes=30, inodes=2),)),
    ),
)


def test_a_closer_look_finds_groups_volumes_and_logs_and_counts_files_rarely(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "agent", tmp_path / "logs")
    paths.volume("u1", "data").mkdir(parents=True)
    (paths.volume("u1", "data") / "file").write_bytes(os.urandom(20_000))
    write(paths.pod_logs("ns", "web", "u1"), {"main/0.log": "x" * 5000})
    inspector = Inspector(divided(tmp_path / "groups"), paths, tmp_path, SystemClock(), 3600.0)

    async def look() -> None:
        found = await inspector.all(USAGE)
        assert found.groups["c1"].rss_bytes == 40
        [volume] = found.disks["u1"].volumes
        assert (volume.name, volume.own) == ("data", True)
        assert volume.held.bytes >= 20_000
        assert found.disks["u1"].logs["main"].bytes >= 5000
        assert found.images is not None
        assert found.most_processes > 0
        (paths.volume("u1", "data") / "more").write_bytes(os.urandom(50_000))
        assert (await inspector.all(USAGE)).disks == found.disks
        assert (await inspector.groups(USAGE)).disks == {}

    asyncio.run(look())


def test_what_a_summary_tells_of_volumes_storage_and_processes() -> None:
    volume = FolderUse("data", Disk(1000, 400, 600, 90, 80), Held(50, 3))
    elsewhere = FolderUse("claimed", Disk(5000, 1000, 4000, 7, 5), Held(4000, 2), own=False)
    disks = {"u1": PodDisk((volume, elsewhere), {"main": Held(7, 1)})}
    group = GroupUse(rss_bytes=40, processes=2, faults=80, swap_bytes=7)
    details = Details({"c1": group}, disks, Disk(2000, 500, 1500, 10, 9), 32768)
    found: Any = summary(USAGE, (), details)
    [pod] = found["pods"]
    assert [(one["name"], one["usedBytes"], one["capacityBytes"]) for one in pod["volume"]] == [
        ("data", 50, 1000),
        ("claimed", 4000, 5000),
    ]
    assert (pod["ephemeral-storage"]["usedBytes"], pod["ephemeral-storage"]["inodesUsed"]) == (87, 6)
    assert pod["process_stats"] == {"process_count": 2}
    [main] = pod["containers"]
    assert (main["rootfs"]["usedBytes"], main["rootfs"]["inodesUsed"]) == (30, 2)
    assert main["logs"]["usedBytes"] == 7
    assert (main["memory"]["rssBytes"], main["swap"]["swapUsageBytes"]) == (40, 7)
    assert found["node"]["runtime"]["imageFs"]["capacityBytes"] == 2000
    assert found["node"]["rlimit"]["maxpid"] == 32768


def test_dashboards_find_their_names() -> None:
    group = GroupUse(rss_bytes=40, throttled_ns=1_500_000_000, quota_us=50_000, major_faults=9)
    text = cadvisor(USAGE, {"c1": group}).decode()
    labels = 'container="main",id="c1",image="i",name="c1",namespace="ns",pod="web"'
    at = round(BEGIN.timestamp() * 1000)
    for line in (
        f"container_memory_rss{{{labels}}} 40 {at}",
        f"container_cpu_cfs_throttled_seconds_total{{{labels}}} 1.5 {at}",
        f"container_spec_cpu_quota{{{labels}}} 50000 {at}",
        f'container_memory_failures_total{{{labels},failure_type="pgmajfault",scope="container"}} 9 {at}',
    ):
        assert line in text.splitlines()
    unlimited = cadvisor(USAGE, {"c1": GroupUse()}).decode()
    assert "container_spec_cpu_quota" not in unlimited
    assert "container_memory_rss" not in cadvisor(USAGE, {}).decode()
