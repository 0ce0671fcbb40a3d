"""A rolling update of twenty replicas behind a Service on three nodes loses no request, with a preStop hook or without
(`.ci/soak rolling` sends at least 20,000 each way)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import rolling
from real_cluster import Kubectl
from shared_cluster import Node

pytestmark = pytest.mark.node


@pytest.mark.parametrize("way", [rolling.HOOKED, rolling.BARE], ids=lambda way: way.name)
def test_an_update_under_load_loses_no_request(kubectl: Kubectl, nodes: Sequence[Node], way: rolling.Way) -> None:
    found = rolling.update(kubectl, nodes, way, pause_ms=50)
    kubectl("delete", "deployment,service", way.name, "--wait=false")
    assert found.wrong == []
    assert found.requests > 500
    assert found.pods_replaced == rolling.REPLICAS
