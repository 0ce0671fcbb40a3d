"""A driver and its provisioner beside a running cluster, as docs/howto/csi.md tells: a claim gets a volume of it, a pod
writes there, another pod reads it, and with the claim the volume goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from csi_example import NAME, claim, storage
from real_cluster import Kubectl, pod, until

pytestmark = pytest.mark.node


def claimed(name: str, script: str, **more: Any) -> dict[str, Any]:
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "disk"}}]
    return pod(name, script, volumes=volumes, volumeMounts=[{"name": "data", "mountPath": "/data"}], **more)


def test_a_claim_gets_a_volume_of_a_driver(kubectl: Kubectl, tmp_path: Path) -> None:
    with storage(kubectl, tmp_path) as state:
        node = kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
        assert NAME in kubectl("get", "csinode", node, "-o", "jsonpath={.spec.drivers[*].name}")
        kubectl.apply(claim("disk"), claimed("writer", "echo kept > /data/file", restartPolicy="Never"))
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
