"""Applications and the real kubectl for journeys through the library."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

KUBECTL = Path(sys.executable).parent / "kubectl"


def make_deployment(name: str = "web", *, image: str = "web:v1", replicas: int = 3, **spec: Any) -> dict[str, Any]:
    annotations = spec.pop("annotations", {})
    labels = {"app": name}
    container = {"name": "main", "image": image, "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            **spec,
        },
    }


@pytest.fixture
def deployment() -> Callable[..., dict[str, Any]]:
    return make_deployment


@pytest.fixture
def kubectl() -> Callable[..., str]:
    """Runs the real kubectl: (kubeconfig, arguments) -> what it prints."""

    def run(kubeconfig: Path, *arguments: str, input: str = "") -> str:
        done = subprocess.run(
            [str(KUBECTL), *arguments],
            env={**os.environ, "KUBECONFIG": str(kubeconfig)},
            input=input,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    return run
