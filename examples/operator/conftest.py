"""What the tests of both operators share."""

from collections.abc import Iterator
from pathlib import Path

import kubernetes
import pytest

from navarch.testing.cluster import RunningCluster


@pytest.fixture
def websites(navarch_cluster: RunningCluster) -> RunningCluster:
    """A cluster that knows Websites."""
    navarch_cluster.apply(Path(__file__).with_name("crd.yaml"))
    navarch_cluster.wait("crd/websites.example.com", "Established")
    return navarch_cluster


@pytest.fixture
def api(websites: RunningCluster) -> Iterator[kubernetes.client.ApiClient]:
    """The official client, as it would be set up anywhere."""
    with kubernetes.config.new_client_from_config(str(websites.kubeconfig)) as made:
        yield made
