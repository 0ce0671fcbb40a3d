"""What the file of `navarch up --kubelet-config` says is how the node is run: seen from outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from node_settings import LOG_BYTES, PIDS, PODS, SETTINGS
from real_cluster import Kubectl, kill, pod, until
from shell import play_on

from navarch.app.layout import Layout, load_settings
from navarch.objects import quantity

pytestmark = pytest.mark.node


def test_what_is_reserved_and_how_many_pods_there_may_be_stand_in_the_nodes_status(kubectl: Kubectl) -> None:
    [node] = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    capacity, allocatable = node["status"]["capacity"], node["status"]["allocatable"]
    assert capacity["pods"] == allocatable["pods"] == str(PODS)
    kept = {"cpu": quantity.nano("100m"), "memory": quantity.nano("192Mi")}
    for name, amount in kept.items():
        assert quantity.nano(capacity[name]) - quantity.nano(allocatable[name]) == amount
    left = quantity.whole(capacity["ephemeral-storage"]) * 0.97
    assert quantity.whole(allocatable["ephemeral-storage"]) == pytest.approx(left, rel=0.001)


def told_by(kubectl: Kubectl) -> dict[str, Any]:
    """What the node says of how it is run."""
    node = kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    found: dict[str, Any] = json.loads(kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/configz"))["kubeletconfig"]
    return found


def test_the_node_tells_how_it_is_run(kubectl: Kubectl) -> None:
    told = told_by(kubectl)
    wanted = SETTINGS | {"containerLogMaxSize": LOG_BYTES}
    assert {name: told[name] for name in wanted} == wanted
    assert told["staticPodPath"].endswith("/static")


def test_processes_are_limited_and_logs_are_set_aside(kubectl: Kubectl) -> None:
    kubectl.apply(
        pod("wordy", "yes 123456789012345678901234567890123456789012345678 | head -c 14000000; exec sleep 1000")
    )
    kubectl.ready("wordy")
    uid = kubectl.get("pod", "wordy")["metadata"]["uid"]
    [file] = Path("/sys/fs/cgroup").glob(f"**/navarch/**/pod{uid}/pids.max")
    assert file.read_text() == f"{PIDS}\n"
    logs = Layout().logs / "pods" / f"{kubectl.namespace}_wordy_{uid}" / "main"
    until("the log to be set aside", lambda: len(list(logs.iterdir())) > 1)
    assert (logs / "0.log").exists()


def test_the_page_of_static_pods(kubeconfig: Path, kubectl: Kubectl, tmp_path: Path) -> None:
    folder = Path(told_by(kubectl)["staticPodPath"])
    try:
        play_on(kubeconfig, kubectl.namespace, "howto/static-pods", tmp_path)
    finally:
        left = list(folder.iterdir())
        for file in left:
            file.unlink()
    assert left == []


def test_the_page_of_a_node_that_runs_short(kubeconfig: Path, kubectl: Kubectl, tmp_path: Path) -> None:
    play_on(kubeconfig, kubectl.namespace, "howto/pressure", tmp_path)


def test_the_page_of_how_a_node_is_run(kubeconfig: Path, kubectl: Kubectl, tmp_path: Path) -> None:
    """It puts a file of its own in the place of the node's, which is put back; a pod that runs notices neither."""
    settings = load_settings(Layout())
    assert settings
    file = Path(settings.kubelet_config_file)
    text = file.read_text()
    kubectl.apply(pod("beside", "exec sleep 1000"))
    kubectl.ready("beside")
    before = kubectl.status("beside")["containerID"]
    try:
        play_on(kubeconfig, kubectl.namespace, "howto/node-settings", tmp_path)
    finally:
        file.write_text(text)
        kill("agent")
        node = kubectl("get", "nodes", "-o", "name").strip()
        kubectl.wait(node, f"jsonpath={{.status.capacity.pods}}={PODS}")
        kubectl.wait(node, "condition=Ready")
        until("the agent to answer", lambda: kubectl.run("exec", "beside", "--", "true").returncode == 0)
    assert kubectl.status("beside")["containerID"] == before
    assert told_by(kubectl)["maxPods"] == PODS
