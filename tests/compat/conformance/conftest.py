"""One library cluster for each module of specs, a client of it, and a namespace for each test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

import navarch
from navarch.testing.cluster import RunningCluster

sys.path.insert(0, str(Path(__file__).parent))

from conformance_api import Api

NUMBERS = count()


@pytest.fixture(scope="module")
def library() -> Iterator[RunningCluster]:
    with navarch.Cluster(nodes=2) as running:
        yield running


@pytest.fixture(scope="module")
def api(library: RunningCluster) -> Api:
    """As an administrator."""
    return Api(library.kubeconfig)


@pytest.fixture
def ns(api: Api) -> str:
    """The name of a new namespace that has its default service account."""
    name = f"spec-{next(NUMBERS)}"
    api.post("/api/v1/namespaces", {"metadata": {"name": name}})
    api.when(f"/api/v1/namespaces/{name}/serviceaccounts/default", lambda _: True)
    return name
