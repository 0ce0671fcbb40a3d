"""What a pod costs does not grow with the number of pods: counted, not timed."""

from __future__ import annotations

import re

import navarch
from navarch.kinds import POD
from navarch.testing.cluster import RunningCluster

FEW, MANY = 50, 200


def deployment(name: str, replicas: int) -> dict[str, object]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "web"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def looked_at(c: RunningCluster) -> dict[str, float]:
    """How many keys each controller was given so far."""
    text = c.client.raw("GET", "/metrics").decode()
    return {
        name: float(count) for name, count in re.findall(r'^workqueue_adds_total\{name="([^"]+)"\} (\S+)$', text, re.M)
    }


def cost(c: RunningCluster, name: str, replicas: int) -> tuple[int, dict[str, float]]:
    """Writes, and keys of each controller, for a Deployment of so many pods."""
    c.clock.advance(seconds=0)
    writes, looks = c.client.list(POD).revision, looked_at(c)

    def complete(found: dict[str, dict[str, int]]) -> bool:
        return found.get("status", {}).get("availableReplicas", 0) == replicas

    c.apply(deployment(name, replicas))
    c.wait(f"deployment/{name}", complete)
    c.clock.advance(seconds=0)
    after = looked_at(c)
    return c.client.list(POD).revision - writes, {one: after[one] - looks.get(one, 0) for one in after}


def test_the_writes_and_looks_for_a_pod_stay_as_many() -> None:
    with navarch.Cluster(nodes=10) as c:
        cost(c, "warm", 2)
        few_writes, few_looks = cost(c, "few", FEW)
        many_writes, many_looks = cost(c, "many", MANY)
    assert many_writes <= 6 * MANY, "a pod is made, bound, and told of once; the rest is statuses and events"
    assert many_writes < 1.25 * MANY / FEW * few_writes
    assert sum(many_looks.values()) < 1.25 * MANY / FEW * sum(few_looks.values())
    for idle in ("garbagecollector", "taint-eviction"):
        assert many_looks[idle] <= 10, f"{idle} has nothing to do with pods that stay where they are"
