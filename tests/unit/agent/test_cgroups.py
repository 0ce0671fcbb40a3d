"""Control groups, on directories that look like the kernel's."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from navarch.agent.cgroups import Cgroups, Hierarchy, find_hierarchy, weight
from navarch.agent.kubelet import KubeletConfig
from navarch.kinds import POD
from tests.unit.agent import cluster
from tests.unit.agent.pods import UID, pod

LIMITED = {"name": "main", "image": "a", "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}}}


def version1(tmp_path: Path) -> Hierarchy:
    points = {name: tmp_path / name for name in ("cpu", "cpuset", "memory")}
    for point in points.values():
        point.mkdir()
    (points["cpuset"] / "cpuset.cpus").write_text("0-1\n")
    (points["cpuset"] / "cpuset.mems").write_text("0\n")
    return Hierarchy(None, points)


def test_pods_lie_below_their_quality_of_service(tmp_path: Path) -> None:
    groups = Cgroups("/kubepods", version1(tmp_path))
    assert groups.parent(pod()) == f"/kubepods/besteffort/pod{UID}"
    assert groups.parent(pod(LIMITED)) == f"/kubepods/pod{UID}"
    assert Cgroups("", version1_of(tmp_path)).parent(pod()) == ""
    assert Cgroups("/kubepods", Hierarchy(None, {})).parent(pod()) == ""


def version1_of(tmp_path: Path) -> Hierarchy:
    return Hierarchy(None, {"cpu": tmp_path / "cpu"})


def test_version_1_fills_every_cpuset_on_the_way(tmp_path: Path) -> None:
    hierarchy = version1(tmp_path)
    groups = Cgroups("/kubepods", hierarchy)
    groups.make(pod())
    here = hierarchy.controllers["cpuset"]
    for name in ("kubepods", "besteffort", f"pod{UID}"):
        here = here / name
        assert ((here / "cpuset.cpus").read_text(), (here / "cpuset.mems").read_text()) == ("0-1", "0")


def test_version_1_takes_the_limits_of_the_pod(tmp_path: Path) -> None:
    hierarchy = version1(tmp_path)
    for controller, files in (
        ("cpu", ("cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us")),
        ("memory", ("memory.limit_in_bytes",)),
    ):
        group = hierarchy.controllers[controller] / "kubepods" / f"pod{UID}"
        group.mkdir(parents=True)
        for file in files:
            (group / file).write_text("0\n")
    Cgroups("/kubepods", hierarchy).make(pod(LIMITED))
    cpu = hierarchy.controllers["cpu"] / "kubepods" / f"pod{UID}"
    memory = hierarchy.controllers["memory"] / "kubepods" / f"pod{UID}"
    assert (cpu / "cpu.cfs_quota_us").read_text() == "50000"
    assert (memory / "memory.limit_in_bytes").read_text() == str(64 << 20)


def test_version_2_switches_controllers_on_from_the_top(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("memory\n")
    groups = Cgroups("/kubepods", Hierarchy(tmp_path, {}))
    groups.make(pod())
    assert (tmp_path / "cgroup.subtree_control").read_text() in ("+cpu", "+pids")
    assert (tmp_path / "kubepods" / "besteffort" / f"pod{UID}").is_dir()
    assert groups.version == 2


V1 = ("cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us", "memory.limit_in_bytes", "pids.max")
V1_PAGES = ("hugetlb.1GB.limit_in_bytes", "hugetlb.2MB.limit_in_bytes")
V2 = ("cpu.weight", "cpu.max", "memory.max", "pids.max", "hugetlb.1GB.max", "hugetlb.2MB.max")
HUNGRY = {
    "name": "main",
    "image": "a",
    "resources": {
        "requests": {"cpu": "500m", "memory": "64Mi", "hugepages-2Mi": "4Mi"},
        "limits": {"cpu": "1", "memory": "64Mi", "hugepages-2Mi": "4Mi"},
    },
}


def groups_of(tmp_path: Path, version: int, **kubelet: Any) -> tuple[Cgroups, dict[str, str]]:
    """Groups whose kernel has every file already, and what the pod's own group holds once it is made."""
    below = f"kubepods/burstable/pod{UID}"
    if version == 2:
        (tmp_path / "cgroup.controllers").write_text("cpu cpuset memory pids hugetlb\n")
        hierarchy, files = Hierarchy(tmp_path, {}), [tmp_path / below / name for name in V2]
    else:
        points = {name: tmp_path / name for name in ("cpu", "memory", "pids", "hugetlb")}
        hierarchy = Hierarchy(None, points)
        files = [points[name.partition(".")[0]] / below / name for name in (*V1, *V1_PAGES)]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("untouched\n")
    groups = Cgroups("/kubepods", hierarchy, kubelet=KubeletConfig(**kubelet), pagesizes=(1 << 30, 2 << 20))
    groups.make(pod(HUNGRY))
    return groups, {file.name: file.read_text().strip() for file in files}


def test_both_versions_are_told_the_same(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    old, one = groups_of(tmp_path / "1", 1, pod_pids_limit=100)
    new, two = groups_of(tmp_path / "2", 2, pod_pids_limit=100)
    assert one == {
        "cpu.shares": "512",
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "100000",
        "memory.limit_in_bytes": str(64 << 20),
        "pids.max": "100",
        "hugetlb.1GB.limit_in_bytes": "0",
        "hugetlb.2MB.limit_in_bytes": str(4 << 20),
    }
    assert two == {
        "cpu.weight": str(weight(512)),
        "cpu.max": "100000 100000",
        "memory.max": str(64 << 20),
        "pids.max": "100",
        "hugetlb.1GB.max": "0",
        "hugetlb.2MB.max": str(4 << 20),
    }
    assert (old.kills_together, new.kills_together) == (False, True)
    assert old.pagesizes == new.pagesizes == (1 << 30, 2 << 20)


def test_what_is_not_to_be_limited_is_left_or_opened(tmp_path: Path) -> None:
    _, found = groups_of(tmp_path, 2, cpu_cfs_quota=False)
    assert (found["cpu.max"], found["pids.max"]) == ("max 100000", "untouched")
    groups, _ = groups_of(tmp_path, 2, pod_pids_limit=5, single_process_oom_kill=True)
    groups.open_up(pod(HUNGRY))
    place = tmp_path / f"kubepods/burstable/pod{UID}"
    assert [(place / name).read_text() for name in ("cpu.max", "memory.max", "pids.max")] == ["max 100000", "max", "5"]
    assert not groups.kills_together


def test_who_asks_for_no_cpu_time_steps_back_for_those_who_do(tmp_path: Path) -> None:
    for version, weight_file in ((1, "cpu.shares"), (2, "cpu.weight")):
        point = tmp_path / str(version)
        groups = Cgroups("/k", Hierarchy(point, {}) if version == 2 else Hierarchy(None, {"cpu": point}))
        lazy, place = pod(), point / f"k/besteffort/pod{UID}"
        asking, other = pod(HUNGRY), point / f"k/burstable/pod{UID}"
        for folder in (place, other):
            folder.mkdir(parents=True)
            (folder / "cpu.idle").write_text("1\n" if folder == other else "0\n")
            (folder / weight_file).write_text("untouched\n")
        groups.make(lazy)
        groups.make(asking)
        found = [(folder / name).read_text().strip() for folder in (place, other) for name in ("cpu.idle", weight_file)]
        assert found == ["1", "untouched", "0", "512" if version == 1 else str(weight(512))]


def test_memory_in_use_cannot_be_taken_away(tmp_path: Path) -> None:
    groups, _ = groups_of(tmp_path, 2)
    usage = tmp_path / f"kubepods/burstable/pod{UID}" / "memory.current"
    assert groups.too_small(pod(HUNGRY)) == "", "nobody says how much is used"
    usage.write_text(f"{(64 << 20) + 1}\n")
    words = f"attempting to set pod memory limit ({64 << 20}) below current usage ({(64 << 20) + 1})"
    assert groups.too_small(pod(HUNGRY)) == words
    usage.write_text(f"{64 << 20}\n")
    assert groups.too_small(pod(HUNGRY)) == ""
    assert groups.too_small(pod()) == ""


def test_all_pods_together_leave_the_reserved_processes_free(tmp_path: Path) -> None:
    place = tmp_path / "kubepods"
    place.mkdir()
    for name in ("cpu.weight", "memory.max", "pids.max"):
        (place / name).write_text("\n")
    kubelet = KubeletConfig(kube_reserved={"pid": "100"}, system_reserved={"pid": "50"})
    Cgroups("/kubepods", Hierarchy(tmp_path, {}), kubelet=kubelet, pids=1000).set_up({"cpu": 1000, "memory": 5000})
    assert [(place / name).read_text() for name in ("memory.max", "pids.max")] == ["5", "850"]


def test_huge_pages_are_not_limited_where_the_kernel_does_not_count_them(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    assert Cgroups("/x", Hierarchy(tmp_path, {}), pagesizes=(2 << 20,)).pagesizes == ()
    assert Cgroups("/x", Hierarchy(None, {"cpu": tmp_path}), pagesizes=(2 << 20,)).pagesizes == ()


def test_weights_span_the_whole_range() -> None:
    assert (weight(2), weight(1024), weight(262144)) == (1, 39, 10000)


def test_everything_below_a_pod_is_removed(tmp_path: Path) -> None:
    hierarchy = Hierarchy(None, {"cpu": tmp_path / "cpu", "memory": tmp_path / "memory"})
    groups = Cgroups("/kubepods", hierarchy)
    groups.make(pod())
    (tmp_path / "memory" / "kubepods" / "besteffort" / f"pod{UID}" / "container").mkdir()
    assert groups.remove(UID)
    assert not (tmp_path / "memory" / "kubepods" / "besteffort" / f"pod{UID}").exists()
    assert groups.remove(UID)
    assert groups.tear_down()
    assert not (tmp_path / "cpu" / "kubepods").exists()


def test_a_group_in_use_is_reported(tmp_path: Path) -> None:
    groups = Cgroups("/kubepods", Hierarchy(None, {"cpu": tmp_path}))
    groups.make(pod())
    (tmp_path / "kubepods" / "besteffort" / f"pod{UID}" / "busy").write_text("a file stops rmdir")
    assert not groups.remove(UID)


def test_the_machines_hierarchy_is_read_from_its_mounts(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n")
    assert find_hierarchy(mounts) == Hierarchy(Path("/sys/fs/cgroup"), {})
    mounts.write_text(
        "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n"
        "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n"
        "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"
    )
    point = Path("/sys/fs/cgroup/cpu,cpuacct")
    assert find_hierarchy(mounts) == Hierarchy(
        None, {"cpu": point, "cpuacct": point, "": Path("/sys/fs/cgroup/unified")}
    )
    mounts.write_text("")
    assert Cgroups("/x", find_hierarchy(mounts)).version == 0


def test_a_running_pod_is_given_what_it_asks_for_as_a_whole(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
        async with cluster.world(tmp_path) as world:
            agent = world.running(cgroups=Cgroups("/kubepods", Hierarchy(tmp_path, {})))
            async with agent:
                whole = {"requests": {"cpu": "500m"}, "limits": {"cpu": "1", "memory": "1Gi"}}
                made = await world.create_pod("web", resources=whole)
                found = await world.until("web", cluster.ready)
                assert found["status"]["resources"]["limits"] == whole["limits"]
                place = tmp_path / f"kubepods/burstable/pod{made.uid}"
                (place / "cpu.max").write_text("100000 100000\n")
                wider = {"limits": {"cpu": "1500m", "memory": "1Gi"}, "requests": {"cpu": "600m", "memory": "1Gi"}}
                patch = {"spec": {"resources": wider}}
                await world.client.patch(POD, "default", "web", patch, type="strategic", subresource="resize")
                done = await world.until("web", lambda pod: pod["status"]["resources"]["limits"]["cpu"] == "1500m")
                assert done["status"]["allocatedResources"]["cpu"] == "600m"
                assert (place / "cpu.max").read_text() == "150000 100000"
                assert cluster.container(done)["restartCount"] == 0

    asyncio.run(scenario())
