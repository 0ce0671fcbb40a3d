"""Control groups, on directories that look like the kernel's."""

from __future__ import annotations

from pathlib import Path

from navarch.agent.cgroups import Cgroups, Hierarchy, find_hierarchy, weight
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
