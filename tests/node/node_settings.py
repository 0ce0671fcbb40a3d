"""How the node of the cluster that tests share is run: settings that can be seen from outside and that stand in no
other test's way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

PIDS = 600
PODS = 87
LOG_BYTES = 9 << 20
SETTINGS: dict[str, Any] = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "maxPods": PODS,
    "podPidsLimit": PIDS,
    "kubeReserved": {"cpu": "100m", "memory": "128Mi"},
    "evictionHard": {"memory.available": "64Mi", "nodefs.available": "3%", "imagefs.available": "3%"},
    "imageGCHighThresholdPercent": 97,
    "imageGCLowThresholdPercent": 96,
    "containerLogMaxSize": str(LOG_BYTES),
    "containerLogMaxFiles": 3,
    "volumeStatsAggPeriod": "1s",
    "maxParallelImagePulls": 3,
    "serializeImagePulls": False,
    "enableSystemLogQuery": True,
}


def write(folder: Path) -> Path:
    """The file, with a folder of static pods beside it."""
    (folder / "static").mkdir()
    path = folder / "node.yaml"
    path.write_text(yaml.safe_dump(SETTINGS | {"staticPodPath": str(folder / "static")}))
    return path
