"""What real clients are tried on: a server by itself, and a whole cluster with kubectl in a namespace for each test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import navarch
from navarch.base.clock import SystemClock, SystemIds
from navarch.base.pki import Pki
from navarch.testing.cluster import RunningCluster

sys.path.insert(0, str(Path(__file__).parent))

from compat_driver import VERSIONS, Kubectl, kubectl_in, newest, oldest
from compat_server import HOST, Cluster, ServerThread, kubeconfig


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
def older(cluster: Cluster, programs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The same server, seen through kubectl 1.32."""
    return replace(cluster, directory=tmp_path_factory.mktemp("older"), program=str(programs["1.32"]))


@pytest.fixture(scope="session")
def programs(request: pytest.FixtureRequest) -> dict[str, Path]:
    """kubectl by its version."""
    assert request.config.cache is not None
    return {"1.37": newest(), "1.32": oldest(request.config.cache.mkdir("kubectl-1.32"))}


@pytest.fixture(scope="module")
def whole() -> Iterator[RunningCluster]:
    """Three simulated nodes, controllers and a scheduler, behind a real port."""
    with navarch.Cluster(nodes=3) as running:
        yield running


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where kubectl keeps what it discovered."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(params=VERSIONS)
def kubectl(
    request: pytest.FixtureRequest, whole: RunningCluster, programs: dict[str, Path], home: Path, tmp_path: Path
) -> Kubectl:
    """Of each version in turn."""
    return kubectl_in(whole, programs[request.param], home, tmp_path)


@pytest.fixture
def one_kubectl(whole: RunningCluster, programs: dict[str, Path], home: Path, tmp_path: Path) -> Kubectl:
    """The newest only, where the server's answer is tested and not how it is shown."""
    return kubectl_in(whole, programs[VERSIONS[0]], home, tmp_path)


@pytest.fixture
def newest_kubectl(whole: RunningCluster, home: Path, tmp_path: Path) -> Kubectl:
    return kubectl_in(whole, newest(), home, tmp_path)
