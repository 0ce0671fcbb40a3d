"""What dies is replaced, what is deleted takes with it what it owned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import navarch
from navarch.base.errors import NotFound, TooMany
from navarch.kinds import EVENT, POD
from navarch.kinds.registry import DEFAULT

Make = Callable[..., dict[str, Any]]
Kubectl = Callable[..., str]


def places(c: Any) -> dict[str, str]:
    return {pod.name: pod.view.spec.node_name for pod in c.client.list("pods", "default").items}


def test_a_dead_nodes_pods_are_replaced(deployment: Make) -> None:
    with navarch.Cluster(nodes=3, frozen=True) as c:
        c.apply(deployment(replicas=6))
        c.wait("deployment/web", "rolled out", leap_s=60)
        before = places(c)
        assert sorted(before.values()) == sorted(["node-0", "node-1", "node-2"] * 2)
        c.nodes.fail("node-1")
        c.clock.advance(seconds=5)
        c.wait("node/node-1", "Ready=True")
        c.wait("node/node-1", "Ready=Unknown", leap_s=60)
        c.wait("deployment/web", lambda d: d["status"].get("readyReplicas") == 6, leap_s=600)
        after = places(c)
        kept = {name: node for name, node in before.items() if node != "node-1"}
        assert kept.items() <= after.items(), "healthy pods are left alone"
        well = [pod for pod in c.client.list("pods", "default").items if not pod.view.terminating]
        assert {pod.view.spec.node_name for pod in well} == {"node-0", "node-2"}

        c.nodes.heal("node-1")
        c.wait("node/node-1", lambda d: not d["spec"].get("taints"), leap_s=60)
        c.clock.advance(seconds=60)
        assert len(places(c)) == 6, "the old pods of the node are gone now"
        c.client.patch("deployment", "default", "web", {"spec": {"replicas": 9}})
        c.wait("deployment/web", "rolled out", leap_s=60)
        assert "node-1" in places(c).values()


def test_short_silence_is_forgiven(deployment: Make) -> None:
    with navarch.Cluster(nodes=2, frozen=True) as c:
        c.apply(deployment(replicas=4))
        c.wait("deployment/web", "rolled out", leap_s=60)
        before = places(c)
        c.nodes.fail("node-0")
        c.clock.advance(seconds=8)
        c.nodes.heal("node-0")
        c.clock.advance(minutes=10)
        assert places(c) == before


def test_deleting_a_namespace_deletes_all_that_is_in_it(deployment: Make) -> None:
    with navarch.Cluster(frozen=True) as c:
        c.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        c.clock.advance()
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "b"}}
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
        }
        c.apply([deployment(), config, service], namespace="shop")
        c.wait("deployment/web", "rolled out", namespace="shop", leap_s=60)
        c.client.delete("namespace", "", "shop")
        c.wait("namespace/shop", "gone", leap_s=120)
        for kind in DEFAULT:
            if kind.namespaced and "list" in kind.verbs and kind is not EVENT:
                assert list(c.client.list(kind, "shop").items) == [], kind.plural
        with pytest.raises(NotFound):
            c.apply(config, namespace="shop")


@pytest.mark.parametrize(("cascade", "left"), [("background", 0), ("foreground", 0), ("orphan", 3)])
def test_cascades(deployment: Make, kubectl: Kubectl, cascade: str, left: int) -> None:
    with navarch.Cluster() as c:
        c.apply(deployment())
        c.wait("deployment/web", "rolled out")
        kubectl(c.kubeconfig, "delete", "deployment", "web", f"--cascade={cascade}", "--timeout=100s")
        c.clock.advance(minutes=2)
        assert len(c.client.list(POD, "default").items) == left
        assert len(c.client.list("replicasets", "default").items) == (1 if left else 0)


def test_services_know_their_ready_pods(deployment: Make) -> None:
    unready = navarch.Behaviour(image="web:v1", unready=((60, 120),))
    with navarch.Cluster(behaviours=[unready], frozen=True) as c:
        c.apply(deployment(replicas=2))
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
        }
        c.apply(service)

        def ready() -> list[bool]:
            found = c.client.list("endpointslices", "default", labels="kubernetes.io/service-name=web").items
            return [e["conditions"]["ready"] for s in found for e in s.document().get("endpoints") or ()]

        c.clock.advance(seconds=30)
        assert ready() == [True, True]
        c.clock.advance(seconds=60)
        assert ready() == [False, False]
        c.clock.advance(seconds=60)
        assert ready() == [True, True]


def test_budgets_hold_evictions_back(deployment: Make, kubectl: Kubectl) -> None:
    with navarch.Cluster(nodes=2) as c:
        c.apply(deployment(replicas=2))
        c.apply(
            {
                "apiVersion": "policy/v1",
                "kind": "PodDisruptionBudget",
                "metadata": {"name": "web"},
                "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}},
            }
        )
        c.wait("deployment/web", "rolled out")
        c.wait("pdb/web", lambda d: d.get("status", {}).get("currentHealthy") == 2)
        (pod, *_) = c.client.list("pods", "default").items
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod.name}}
        with pytest.raises(TooMany, match="disruption budget"):
            c.client.post("pods", "default", pod.name, "eviction", eviction)
        c.client.patch("pdb", "default", "web", {"spec": {"minAvailable": 1}})
        c.wait("pdb/web", lambda d: d["status"]["disruptionsAllowed"] == 1)
        kubectl(c.kubeconfig, "drain", "node-0", "--ignore-daemonsets", "--timeout=100s")
        c.wait("deployment/web", lambda d: d["status"].get("readyReplicas") == 2)
        assert set(places(c).values()) == {"node-1"}
