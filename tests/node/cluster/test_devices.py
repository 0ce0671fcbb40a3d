"""A driver of devices beside a running cluster, as docs/howto/devices.md tells: a pod claims a green lamp and gets it,
keeps it while the agent dies, and the driver takes it back with the pod."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from real_cluster import ROOT, Kubectl, kill, pod, until

from navarch.app.layout import Layout

pytestmark = pytest.mark.node

NAME = "lamps.navarch.dev"
EXAMPLE = ROOT / "examples" / "dra-driver"


def driver(log: Path, *words: object) -> subprocess.Popen[bytes]:
    """The example's, once it is registered."""
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLE / "driver.py"), *map(str, words)],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )
    until("it is registered", lambda: f"{NAME} is registered" in log.read_text() or process.poll() is not None)
    assert process.poll() is None, log.read_text()
    return process


def published(kubectl: Kubectl) -> list[str]:
    """The uids of the driver's slices."""
    found = json.loads(kubectl("get", "resourceslices", "-o", "json"))["items"]
    return [one["metadata"]["uid"] for one in found if one["spec"]["driver"] == NAME]


def test_a_pod_claims_a_device_and_keeps_it_while_the_agent_dies(kubectl: Kubectl, tmp_path: Path) -> None:
    node = kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    log, cdi = tmp_path / "driver.log", Path("/var/run/cdi")
    process = driver(log, "--kubeconfig", kubectl.kubeconfig, "--kubelet", Layout().agent, "--node", node)
    try:
        kubectl("apply", "-f", str(EXAMPLE / "class.yaml"))
        claims = [{"name": "light", "resourceClaimTemplateName": "green-lamp"}]
        script = "echo $LAMP_1; cat /lamps/lamp-1; exec sleep 1000"
        kubectl.apply(pod("reader", script, resourceClaims=claims, resources={"claims": [{"name": "light"}]}))
        kubectl.ready("reader")
        assert kubectl("logs", "reader").splitlines() == ["green at 80%", "lamp-1 is green"]
        [described] = cdi.glob(f"{NAME}-*.json")
        before, slices = described.stat(), published(kubectl)
        container = kubectl.get("pod", "reader")["status"]["containerStatuses"][0]["containerID"]
        kill("agent")
        until("the driver has published again", lambda: len(new := published(kubectl)) == 1 and new != slices)
        until("it is registered again", lambda: log.read_text().count(f"{NAME} is registered") == 2)
        assert described.stat() == before, "it was prepared twice"
        [status] = kubectl.get("pod", "reader")["status"]["containerStatuses"]
        assert (status["containerID"], status["restartCount"]) == (container, 0)
        assert status["allocatedResourcesStatus"][0]["name"] == "claim:light"
        kubectl("delete", "pod", "reader")
        assert not described.exists()
        until("the claim is gone", lambda: json.loads(kubectl("get", "resourceclaims", "-o", "json"))["items"] == [])
    finally:
        process.terminate()
        process.wait(timeout=60)
        kubectl("delete", "-f", str(EXAMPLE / "class.yaml"), "--ignore-not-found")
        kubectl("delete", "resourceslices", "--all")
