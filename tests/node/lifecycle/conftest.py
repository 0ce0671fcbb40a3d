"""Whoever tests the beginning and the end of a cluster has the machine to himself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from containerd_fixture import missing
from real_cluster import navarch, one_cluster


@pytest.fixture(scope="module", autouse=True)
def machine() -> Iterator[None]:
    assert not missing(), missing()
    with one_cluster():
        yield


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What `navarch` is called with; a cluster that the test left is taken down."""
    found = {"KUBECONFIG": str(tmp_path / "kubeconfig"), "HOME": str(tmp_path)}
    yield found
    navarch("down", environment=found)
