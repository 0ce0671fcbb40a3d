"""What nodes and pods use, measured by the node's agent: `kubectl top`, an autoscaler, and what Prometheus reads."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from real_cluster import Kubectl, pod, until
from shell import play_on

from navarch.app.layout import Layout

pytestmark = pytest.mark.node

SPIN = "while :; do :; done"
LIMITED = {"requests": {"cpu": "50m", "memory": "16Mi"}, "limits": {"cpu": "200m", "memory": "64Mi"}}


def top(kubectl: Kubectl, *words: str) -> dict[str, tuple[int, int]]:
    """name -> thousandths of a core and MiB, as the table says."""
    said = kubectl.run("top", *words, "--no-headers")  # which fails while nothing is measured
    rows = [line.split() for line in said.stdout.splitlines()] if said.returncode == 0 else []
    return {row[0]: (int(row[1].removesuffix("m")), int(re.sub(r"\D", "", row[-1]))) for row in rows}


@pytest.fixture(scope="module")
def busy(kubectl: Kubectl) -> str:
    """The name of a Deployment's pod that uses as much of a core as it may; beside it is one that sleeps, `calm`."""
    template = {"metadata": {"labels": {"app": "busy"}}, "spec": pod("busy", SPIN, resources=LIMITED)["spec"]}
    deployment = {"selector": {"matchLabels": {"app": "busy"}}, "template": template}
    kubectl.apply(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "busy"}, "spec": deployment},
        pod("calm", "exec sleep 1000", resources=LIMITED),
    )
    kubectl.wait("deployment/busy", "condition=Available")
    kubectl.ready("calm")
    return kubectl("get", "pods", "-l", "app=busy", "-o", "jsonpath={.items[0].metadata.name}")


def test_kubectl_top_tells_who_is_busy(kubectl: Kubectl, busy: str) -> None:
    def measured() -> dict[str, tuple[int, int]] | None:
        found = top(kubectl, "pods")
        return found if "calm" in found and found.get(busy, (0, 0))[0] >= 50 else None

    found = until("measurements", measured)
    assert found["calm"][0] < found[busy][0] <= 400, "twice its limit, for windows that are cut a little short"
    assert all(memory <= 64 for _, memory in found.values())
    [(cpu, memory)] = top(kubectl, "nodes").values()
    assert cpu > 0
    assert memory > 0


def test_what_a_node_uses_is_told_as_a_kubelet_tells_it(kubectl: Kubectl, busy: str) -> None:
    node = kubectl.get("pod", busy)["spec"]["nodeName"]

    def raw(path: str) -> str:
        return kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/{path}")

    summary: Any = json.loads(raw("stats/summary"))
    assert summary["node"]["nodeName"] == node
    pods = {one["podRef"]["name"]: one for one in summary["pods"]}
    assert [one["name"] for one in pods[busy]["containers"]] == ["main"]
    assert pods[busy]["cpu"]["usageCoreNanoSeconds"] > pods["calm"]["cpu"]["usageCoreNanoSeconds"]
    assert pods["calm"]["network"]["name"] == "eth0"
    assert 0 < pods["calm"]["memory"]["workingSetBytes"] < 64 << 20
    named = f'namespace="{kubectl.namespace}",pod="{busy}"'
    used = rf'^container_cpu_usage_seconds_total{{container="main",{named}}} [\d.]+ \d{{13}}$'
    assert re.search(used, raw("metrics/resource"), re.MULTILINE)
    assert f'container_network_receive_bytes_total{{interface="eth0",{named}}}' in raw("metrics/cadvisor")
    assert f'kubelet_node_name{{node="{node}"}} 1' in raw("metrics")


def test_the_page_of_asking_a_node(kubeconfig: Path, kubectl: Kubectl, tmp_path: Path) -> None:
    """It reads a log that it puts into the machine's own folder of logs, which a page that fails leaves there."""
    try:
        play_on(kubeconfig, kubectl.namespace, "howto/ask-a-node", tmp_path)
    finally:
        shutil.rmtree("/var/log/shop", ignore_errors=True)


def test_an_autoscaler_follows_what_pods_use(kubectl: Kubectl, busy: str) -> None:
    until("a measurement", lambda: busy in top(kubectl, "pods"))
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "busy"},
        "maxReplicas": 2,
        "metrics": [{"type": "Resource", "resource": cpu}],
    }
    kubectl.apply(
        {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "busy"}, "spec": spec}
    )
    until("a second replica", lambda: kubectl.get("deployment", "busy")["spec"]["replicas"] == 2, 120)


def test_the_agent_holds_no_library_that_only_the_server_needs(kubectl: Kubectl) -> None:
    """Each of them is 5 to 13 MB; see `tests/robustness/test_footprint.py`."""
    state = json.loads(Layout().supervisor_state.read_text())
    mapped = Path(f"/proc/{state['agent']['pid']}/maps").read_text()
    assert "/site-packages/grpc/" in mapped, "or this looks at the wrong process"
    assert [name for name in ("cryptography", "numpy", "apsw") if f"/site-packages/{name}" in mapped] == []
