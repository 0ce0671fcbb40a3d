"""What the file of `navarch up --kubelet-config` says is how the node is run: seen from outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from node_settings import LOG_BYTES, PIDS, PODS, SETTINGS
from real_cluster import Kubectl, navarch, pod, until

from navarch.app.layout import Layout
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


def test_the_node_tells_how_it_is_run(kubectl: Kubectl) -> None:
    node = kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    told = json.loads(kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/configz"))["kubeletconfig"]
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


def test_a_pod_in_the_folder_of_static_pods_runs(kubectl: Kubectl) -> None:
    node = kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    told = json.loads(kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/configz"))["kubeletconfig"]
    wanted = pod("static", "exec sleep 1000", automountServiceAccountToken=False)
    wanted["metadata"]["namespace"] = kubectl.namespace
    file = Path(told["staticPodPath"]) / "static.json"
    file.write_text(json.dumps(wanted))
    try:
        kubectl.wait(f"pod/static-{node}", "create")
        kubectl.ready(f"static-{node}")
    finally:
        file.unlink()
    kubectl.wait(f"pod/static-{node}", "delete")


def test_a_file_that_means_nothing_is_refused_and_the_node_runs_on(kubectl: Kubectl, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nmaxPod: 3\n")
    up = navarch("up", "--kubelet-config", str(wrong))
    assert up.returncode in (1, 2)
    assert "maxPod: this agent has no such field; did you mean maxPods?" in up.stderr
    assert kubectl("get", "nodes", "-o", "jsonpath={.items[0].status.capacity.pods}") == str(PODS)
