"""What the plan says for machines of different kinds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from navarch.app.provision import Facts, Plan, cgroup_version, plan

READY = Facts(root=True, missing=(), cgroups=1, overlay=True, apt=True)


def test_a_machine_that_has_all_needs_nothing() -> None:
    assert plan(READY) == Plan()


def test_missing_programs_become_packages() -> None:
    assert plan(replace(READY, missing=("nft", "cni"))).packages == ("nftables", "containernetworking-plugins")


def test_every_obstacle_is_named_and_nothing_installed() -> None:
    found = plan(Facts(root=False, missing=("runc",), cgroups=0, overlay=False, apt=False))
    assert found.packages == ()
    assert len(found.refusals) == 4
    assert "root" in found.refusals[0]
    assert "cgroup" in found.refusals[1]
    assert "overlay" in found.refusals[2]
    assert "runc" in found.refusals[3]


def test_cgroup_versions_are_told_apart(tmp_path: Path) -> None:
    assert cgroup_version(tmp_path) == 0
    (tmp_path / "cgroup.controllers").write_text("hugetlb\n")
    assert cgroup_version(tmp_path) == 0
    for name in ("cpu", "memory", "pids"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.procs").touch()
    assert cgroup_version(tmp_path) == 1
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    assert cgroup_version(tmp_path) == 2
