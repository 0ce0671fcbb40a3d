"""What time that passes costs a cluster in which nothing happens: nothing, however many nodes it has."""

from __future__ import annotations

import pytest

import navarch

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 60
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: main, image: nginx}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec:
  minAvailable: 1
  selector: {matchLabels: {app: web}}
"""


def leaps(c: navarch.Cluster) -> int:
    assert c._engine is not None
    return c._engine.loop.leaps


@pytest.mark.timeout(120)
def test_an_idle_month_takes_no_write_and_no_timer() -> None:
    """Heartbeats are a function of the clock: as leases, those of 20 nodes would be 5 million writes."""
    made = navarch.Cluster(nodes=20, frozen=True)
    with made as c:
        c.apply(WEB)
        c.wait("deployment/web", "Available", leap_s=60)
        c.clock.advance(hours=2)  # by then events have expired, and everybody has been told how far things are
        revision, before = c.client.list("nodes").revision, leaps(made)
        c.clock.advance(days=30)
        assert c.client.list("nodes").revision == revision, "nothing was written"
        assert leaps(made) == before, "nobody waited for a moment between"
        assert {node.view.ready for node in c.client.list("nodes").items} == {True}


@pytest.mark.timeout(120)
def test_a_node_that_falls_silent_is_noticed_after_an_idle_month() -> None:
    with navarch.Cluster(nodes=2, frozen=True) as c:
        c.clock.advance(days=30)
        c.nodes.fail("node-0")
        c.clock.advance(minutes=10)
        ready = {node.name: node.view.ready for node in c.client.list("nodes").items}
        assert ready == {"node-0": False, "node-1": True}
