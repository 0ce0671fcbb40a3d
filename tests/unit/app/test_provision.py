"""What the plan says for machines of different kinds."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from navarch.app.provision import (
    Facts,
    NotProvisioned,
    Plan,
    cgroup_version,
    listener,
    node_name,
    plan,
    port_is_free,
)

READY = Facts(root=True, missing=(), cgroups=1, overlay=True, apt=True)


def test_a_machine_that_has_all_needs_nothing() -> None:
    assert plan(READY) == Plan()


def test_missing_programs_become_packages() -> None:
    assert plan(replace(READY, missing=("nft", "cni"))).packages == ("nftables", "containernetworking-plugins")


def test_what_few_pods_need_comes_along_and_is_no_obstacle() -> None:
    assert plan(replace(READY, lacking=("conmon",))) == Plan()
    assert plan(replace(READY, missing=("runc",), lacking=("conmon",))).packages == ("runc", "conmon")
    assert plan(replace(READY, lacking=("conmon",), apt=False)) == Plan()


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


@pytest.mark.parametrize(("host", "name"), [("Box", "box"), ("a.example.com.", "a.example.com"), ("n-1", "n-1")])
def test_a_node_is_called_like_its_host(host: str, name: str) -> None:
    assert node_name(host) == name


@pytest.mark.parametrize("host", ["my_host", "-a", "x" * 300])
def test_a_host_that_cannot_be_a_node_is_named(host: str) -> None:
    with pytest.raises(NotProvisioned, match="--node-name"):
        node_name(host)


def test_who_listens_on_a_port_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not port_is_free(port)
        assert listener(port).endswith(f"(pid {os.getpid()})")
    assert port_is_free(port)
    assert listener(port) == "another program"
