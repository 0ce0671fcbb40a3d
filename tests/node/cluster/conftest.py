"""The cluster of this folder: brought up for its first test, taken down after its last."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from real_cluster import Kubectl
from shared_cluster import brought_up, own_namespace


@pytest.fixture(scope="package")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of the administrator of a running cluster that has the tests' images."""
    with brought_up(tmp_path_factory.mktemp("cluster")) as path:
        yield path


@pytest.fixture(scope="module")
def kubectl(kubeconfig: Path, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """In a namespace of the module's own, which is deleted after its last test."""
    with own_namespace(kubeconfig, request.module.__name__) as found:
        yield found
