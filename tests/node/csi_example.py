"""The storage driver of the examples and its provisioner, run beside a cluster of `navarch up`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from real_cluster import ROOT, Kubectl, until

from navarch.app.layout import Layout

NAME = "disk.navarch.dev"
CLASS = "disk"
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


@contextmanager
def storage(kubectl: Kubectl, folder: Path) -> Iterator[Path]:
    """The driver, the provisioner and their class; yields where the volumes lie."""
    state = folder / "disks"
    driver = ("driver.py", f"{NAME} is registered", folder / "driver.log")
    node = kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    words = ("--state", state, "--kubelet", Layout().agent, "--node", node)
    provisioner = ("provisioner.py", f"provisioning for {NAME}", folder / "provisioner.log")
    target = ("--kubeconfig", kubectl.kubeconfig, "--endpoint", state / "csi.sock")
    with running(*driver, *words), running(*provisioner, *target):
        kubectl("apply", "-f", str(EXAMPLE / "class.yaml"))
        try:
            yield state
        finally:
            kubectl("delete", "-f", str(EXAMPLE / "class.yaml"))


def claim(name: str) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": CLASS}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": spec | {"resources": {"requests": {"storage": "16Mi"}}},
    }
