"""The fixture `cluster` that all tests against real clients share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from navarch.base.clock import SystemClock, SystemIds
from navarch.base.pki import Pki

sys.path.insert(0, str(Path(__file__).parent))

from compat_server import HOST, Cluster, ServerThread, kubeconfig, older_kubectl


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One server for all tests of the session: use a namespace of your own."""
    directory = tmp_path_factory.mktemp("cluster")
    pki = Pki(directory / "pki", SystemClock(), SystemIds())
    running = ServerThread(pki)
    running.start()
    url = f"https://{HOST}:{running.port}"
    path = directory / "kubeconfig"
    path.write_text(kubeconfig(url, pki, pki.client("admin", "kubernetes-admin", ["system:masters"])))
    yield Cluster(url, directory, pki, path)
    running.stop()


@pytest.fixture(scope="session")
def older(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The same cluster, seen through kubectl 1.32."""
    directory = tmp_path_factory.mktemp("older")
    return replace(cluster, directory=directory, program=str(older_kubectl(directory)))
