"""The node's own object, as a function of what was seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from navarch.agent import pages
from navarch.agent.config import AgentConfig, Paths
from navarch.agent.kubelet import KubeletConfig
from navarch.agent.machine import Machine, is_readonly, read_machine
from navarch.agent.node import Observed, differs, new_node, node_status
from navarch.agent.runtime import Image, RuntimeInfo
from navarch.objects import condition
from tests.unit.agent.pods import at

MACHINE = Machine(2, 4 << 30, 100 << 30, kernel="6.1", os_image="Debian", arch="amd64")
CONFIG = AgentConfig("n1", ("192.0.2.7",), Paths(Path("/a"), Path("/l")), port=10250, labels={"zone": "a"})


def seen(*problems: str) -> Observed:
    images = (Image("sha256:1", ("a:1",), 10), Image("sha256:2", ("b:1",), 20))
    return Observed(MACHINE, "containerd://1.6", problems, images)


def test_a_node_says_what_it_has() -> None:
    status = node_status(CONFIG, seen(), {}, at(0))
    assert status["capacity"]["cpu"] == "2"
    assert status["capacity"]["memory"] == "4194304Ki"
    assert status["addresses"] == [
        {"type": "InternalIP", "address": "192.0.2.7"},
        {"type": "Hostname", "address": "n1"},
    ]
    assert [image["names"] for image in status["images"]] == [["b:1"], ["a:1"]]
    assert status["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 10250}}
    assert status["nodeInfo"]["kubeletVersion"].startswith("v1.36")
    document = new_node(CONFIG, MACHINE)
    assert document["metadata"]["labels"]["zone"] == "a"
    assert document["metadata"]["labels"]["kubernetes.io/arch"] == "amd64"


def test_a_node_says_what_its_runtime_can_do_and_nothing_of_what_that_does_not_tell() -> None:
    silent = node_status(CONFIG, replace(seen(), info=RuntimeInfo("containerd", "1.6.20")), {}, at(0))
    assert "runtimeHandlers" not in silent
    assert "features" not in silent
    info = RuntimeInfo("containerd", "2.1", (), ("", "kata"), frozenset({"kata"}), frozenset({""}), strict_groups=True)
    status = node_status(CONFIG, replace(seen(), info=info), {}, at(0))
    assert status["features"] == {"supplementalGroupsPolicy": True}
    assert status["runtimeHandlers"] == [
        {"name": "", "features": {"recursiveReadOnlyMounts": True, "userNamespaces": False}},
        {"name": "kata", "features": {"recursiveReadOnlyMounts": False, "userNamespaces": True}},
    ]


def test_what_is_reserved_is_not_allocatable() -> None:
    kept = KubeletConfig(max_pods=20, kube_reserved={"cpu": "500m", "memory": "1Gi"}, eviction_hard={})
    found = MACHINE.allocatable(kept)
    assert (found["cpu"], found["memory"], found["pods"]) == ("1500m", "3Gi", "20")
    assert MACHINE.allocatable(KubeletConfig(system_reserved={"cpu": "5"}))["cpu"] == "0"
    plain = MACHINE.allocatable(KubeletConfig())
    assert (plain["memory"], plain["ephemeral-storage"]) == ("3996Mi", str((100 << 30) * 9 // 10))


def test_huge_pages_are_told_of_and_are_no_memory_for_others(tmp_path: Path) -> None:
    for size, count in ((2048, 512), (1048576, 1)):
        place = tmp_path / f"hugepages-{size}kB"
        place.mkdir()
        (place / "nr_hugepages").write_text(f"{count}\n")
    (tmp_path / "hugepages-odd").mkdir()
    found = pages.read_pages(tmp_path)
    assert found == ((1 << 30, 1), (2 << 20, 512))
    machine = replace(MACHINE, hugepages=found)
    capacity, allocatable = machine.capacity(KubeletConfig()), machine.allocatable(KubeletConfig(eviction_hard={}))
    assert (capacity["hugepages-1Gi"], capacity["hugepages-2Mi"], capacity["memory"]) == ("1Gi", "1Gi", "4194304Ki")
    assert allocatable["memory"] == "2Gi"
    assert [pages.control_name(size) for size in (1 << 30, 2 << 20, 64 << 10)] == ["1GB", "2MB", "64KB"]
    assert pages.read_pages(tmp_path / "none") == ()


def test_problems_make_a_node_unready_and_say_why() -> None:
    ready = node_status(CONFIG, seen(), {}, at(0))
    broken = node_status(CONFIG, seen("no network"), ready, at(10))
    condition = next(item for item in broken["conditions"] if item["type"] == "Ready")
    assert (condition["status"], condition["message"]) == ("False", "no network")
    assert condition["lastTransitionTime"] == "2026-01-01T00:00:10Z"
    assert differs(ready, broken)


def test_a_heartbeat_alone_is_no_difference() -> None:
    old = node_status(CONFIG, seen(), {}, at(0))
    new = node_status(CONFIG, seen(), old, at(100))
    assert new != old
    assert not differs(old, new)
    theirs = {**old, "conditions": [*old["conditions"], {"type": "NetworkUnavailable", "status": "False"}]}
    assert not differs(theirs, new)
    assert differs({}, new)


def test_this_machine_can_be_read(tmp_path: Path) -> None:
    found = read_machine(tmp_path / "not" / "yet" / "there")
    assert found.cpus >= 1
    assert found.memory_bytes > 1 << 20
    assert found.disk_bytes > 1 << 20
    assert found.kernel


def test_a_disk_that_takes_no_writes_is_told_and_taken_back(tmp_path: Path) -> None:
    quiet = node_status(CONFIG, seen(), {}, at(0))
    assert {item["type"] for item in quiet["conditions"]} == {
        "MemoryPressure",
        "DiskPressure",
        "PIDPressure",
        "Ready",
    }
    broken = node_status(CONFIG, replace(seen(), readonly=True), quiet, at(10))
    told = condition.get(broken["conditions"], "ReadonlyFilesystem")
    assert told is not None
    assert (told["status"], told["reason"]) == ("True", "FilesystemIsReadOnly")
    mended = node_status(CONFIG, seen(), broken, at(20))
    told = condition.get(mended["conditions"], "ReadonlyFilesystem")
    assert told is not None
    assert (told["status"], told["reason"]) == ("False", "FilesystemIsNotReadOnly")
    assert not is_readonly(tmp_path)
    assert not is_readonly(tmp_path / "not there")
