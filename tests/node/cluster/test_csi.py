"""A driver and its provisioner beside a running cluster, as docs/howto/csi.md tells: a claim gets a volume of it, a pod
writes there, another pod reads it, and with the claim the volume goes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from real_cluster import ROOT, Kubectl, pod, until

from navarch.app.layout import Layout

pytestmark = pytest.mark.node

NAME = "disk.navarch.dev"
EXAMPLE = ROOT / "examples" / "csi-driver"


@contextmanager
def running(script: str, said: str, log: Path, *words: object) -> Iterator[None]:
    """A program of the example, from when it has said so until it has ended."""
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLE / script), *map(str, words)],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )
        try:
            until(said, lambda: said in log.read_text() or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            yield
        finally:
            process.terminate()
            process.wait(timeout=60)


def claimed(name: str, script: str, **more: Any) -> dict[str, Any]:
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "disk"}}]
    return pod(name, script, volumes=volumes, volumeMounts=[{"name": "data", "mountPath": "/data"}], **more)


def test_a_claim_gets_a_volume_of_a_driver(kubectl: Kubectl, tmp_path: Path) -> None:
    state = tmp_path / "disks"
    driver = ("driver.py", f"{NAME} is registered", tmp_path / "driver.log")
    node = kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    words = ("--state", state, "--kubelet", Layout().agent, "--node", node)
    provisioner = ("provisioner.py", f"provisioning for {NAME}", tmp_path / "provisioner.log")
    target = ("--kubeconfig", kubectl.kubeconfig, "--endpoint", state / "csi.sock")
    with running(*driver, *words), running(*provisioner, *target):
        kubectl("apply", "-f", str(EXAMPLE / "class.yaml"))
        try:
            assert NAME in kubectl("get", "csinode", node, "-o", "jsonpath={.spec.drivers[*].name}")
            spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "disk"}
            spec["resources"] = {"requests": {"storage": "16Mi"}}
            claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "disk"}, "spec": spec}
            kubectl.apply(claim, claimed("writer", "echo kept > /data/file", restartPolicy="Never"))
            kubectl.wait("pod/writer", "jsonpath={.status.phase}=Succeeded")
            volume = kubectl("get", "pvc", "disk", "-o", "jsonpath={.spec.volumeName}")
            assert (state / volume / "file").read_text() == "kept\n"
            kubectl.apply(claimed("reader", "cat /data/file; exec sleep 1000"))
            kubectl.ready("reader")
            assert kubectl("logs", "reader") == "kept\n"
            kubectl("delete", "pod", "writer", "reader")
            kubectl("delete", "pvc", "disk")
            until("the volume is gone", lambda: not (state / volume).exists())
            kubectl.wait(f"pv/{volume}", "delete")
        finally:
            kubectl("delete", "-f", str(EXAMPLE / "class.yaml"))
