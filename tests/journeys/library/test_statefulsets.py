"""StatefulSets through the library, with the real kubectl: order, identity, rollouts, claims, dead nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import navarch

Kubectl = Callable[..., str]

DB = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 3
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: main, image: "db:v1"}]}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""
SLOW = navarch.Behaviour(ready_s=3, stop_s=2)


def pods(c: Any) -> dict[str, str]:
    """Image by name, of the pods that stay."""
    found = [pod.view for pod in c.client.list("pods", "default", labels="app=db").items]
    return {pod.metadata.name: pod.spec.containers[0].image for pod in found if not pod.terminating}


def claims(c: Any) -> list[str]:
    return sorted(one.name for one in c.client.list("persistentvolumeclaims", "default").items)


def ready(c: Any) -> list[str]:
    found = c.client.list("pods", "default", labels="app=db").items
    return sorted(pod.name for pod in found if pod.view.ready and not pod.view.terminating)


def complete(found: dict[str, Any]) -> bool:
    status, wanted = found.get("status", {}), found["spec"]["replicas"]
    return bool(
        status.get("observedGeneration") == found["metadata"]["generation"]
        and status["currentRevision"] == status["updateRevision"]
        and status.get("updatedReplicas", 0) == status["replicas"] == status["availableReplicas"] == wanted
    )


def test_they_come_in_order_and_go_in_reverse(kubectl: Kubectl) -> None:
    with navarch.Cluster(nodes=2, behaviours=[SLOW], frozen=True) as c:
        kubectl(c.kubeconfig, "apply", "-f", "-", input=DB)
        for _ in range(20):
            c.clock.advance(seconds=1)
            there = sorted(pods(c))
            assert there == [f"db-{number}" for number in range(len(there))]
            assert len(there) <= len(ready(c)) + 1
        c.wait("statefulset/db", complete, leap_s=30)
        assert claims(c) == ["data-db-0", "data-db-1", "data-db-2"]
        assert kubectl(c.kubeconfig, "get", "sts", "db", "--no-headers").split()[1] == "3/3"
        pod = c.client.get("pod", "default", "db-1").document()
        assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("db-1", "db")
        kubectl(c.kubeconfig, "scale", "sts/db", "--replicas=1")
        gone = []
        for _ in range(20):
            c.clock.advance(seconds=1)
            gone += [name for name in ("db-2", "db-1") if name not in pods(c) and name not in gone]
        assert gone == ["db-2", "db-1"]
        assert claims(c) == ["data-db-0", "data-db-1", "data-db-2"], "claims are kept by default"


def test_a_rollout_a_canary_and_back(kubectl: Kubectl) -> None:
    with navarch.Cluster(nodes=2, behaviours=[SLOW], frozen=True) as c:
        c.apply(DB)
        c.wait("statefulset/db", complete, leap_s=60)
        kubectl(
            c.kubeconfig, "patch", "sts", "db", "-p", '{"spec":{"updateStrategy":{"rollingUpdate":{"partition":2}}}}'
        )
        kubectl(c.kubeconfig, "set", "image", "sts/db", "main=db:v2")
        c.clock.advance(seconds=60)
        assert pods(c) == {"db-0": "db:v1", "db-1": "db:v1", "db-2": "db:v2"}
        c.client.delete("pod", "default", "db-0")
        c.clock.advance(seconds=60)
        assert pods(c)["db-0"] == "db:v1", "below the partition the version before comes back"
        kubectl(
            c.kubeconfig, "patch", "sts", "db", "-p", '{"spec":{"updateStrategy":{"rollingUpdate":{"partition":0}}}}'
        )
        order: list[str] = []
        for _ in range(60):
            c.clock.advance(seconds=1)
            assert len(ready(c)) >= 2
            order += [name for name, image in pods(c).items() if image == "db:v2" and name not in order]
        assert order == ["db-2", "db-1", "db-0"]
        assert "roll out complete: 3 new pods" in kubectl(c.kubeconfig, "rollout", "status", "sts/db", "--timeout=100s")
        history = kubectl(c.kubeconfig, "rollout", "history", "sts/db").splitlines()
        assert [line.split()[0] for line in history[2:] if line] == ["1", "2"]
        kubectl(c.kubeconfig, "rollout", "undo", "sts/db")
        c.wait("statefulset/db", complete, leap_s=120)
        assert set(pods(c).values()) == {"db:v1"}
        numbers = sorted(one.view.revision for one in c.client.list("controllerrevisions", "default").items)
        assert numbers == [2, 3]


def test_several_at_once_when_that_is_allowed() -> None:
    with navarch.Cluster(nodes=2, behaviours=[SLOW], frozen=True) as c:
        extra = "  podManagementPolicy: Parallel\n  updateStrategy: {rollingUpdate: {maxUnavailable: 2}}\n"
        c.apply((DB + extra).replace("replicas: 3", "replicas: 6"))
        c.clock.advance()
        assert len(pods(c)) == 6
        c.wait("statefulset/db", complete, leap_s=60)
        c.apply((DB + extra).replace("replicas: 3", "replicas: 6").replace("db:v1", "db:v2"))
        fewest = 6
        for _ in range(60):
            c.clock.advance(seconds=1)
            fewest = min(fewest, len(ready(c)))
        assert fewest == 4
        assert set(pods(c).values()) == {"db:v2"}


def test_ordinals_may_start_anywhere(kubectl: Kubectl) -> None:
    with navarch.Cluster(frozen=True) as c:
        c.apply(DB + "  ordinals: {start: 5}\n")
        c.wait("statefulset/db", complete, leap_s=60)
        assert sorted(pods(c)) == ["db-5", "db-6", "db-7"]
        kubectl(c.kubeconfig, "patch", "sts", "db", "-p", '{"spec":{"ordinals":{"start":6}}}')
        c.clock.advance(seconds=60)
        assert sorted(pods(c)) == ["db-6", "db-7", "db-8"]


def test_claims_go_when_they_are_asked_to(kubectl: Kubectl) -> None:
    with navarch.Cluster(behaviours=[SLOW], frozen=True) as c:
        c.apply(DB + "  persistentVolumeClaimRetentionPolicy: {whenScaled: Delete, whenDeleted: Delete}\n")
        c.wait("statefulset/db", complete, leap_s=60)
        kubectl(c.kubeconfig, "scale", "sts/db", "--replicas=1")
        c.clock.advance(seconds=60)
        assert claims(c) == ["data-db-0"]
        kubectl(c.kubeconfig, "scale", "sts/db", "--replicas=2")
        c.clock.advance(seconds=60)
        assert claims(c) == ["data-db-0", "data-db-1"]
        kubectl(c.kubeconfig, "delete", "sts", "db", "--wait=false")
        c.clock.advance(seconds=60)
        assert (pods(c), claims(c)) == ({}, [])


def test_an_identity_is_never_there_twice() -> None:
    with navarch.Cluster(nodes=3, frozen=True) as c:
        c.apply(DB.partition("  volumeClaimTemplates")[0])  # a claim's folder would have kept it on the node
        c.wait("statefulset/db", complete, leap_s=60)
        node = c.client.get("pod", "default", "db-1").view.spec.node_name
        uid = c.client.get("pod", "default", "db-1").uid
        c.nodes.fail(node)
        c.clock.advance(minutes=10)
        held = c.client.get("pod", "default", "db-1")
        assert held.uid == uid, "it may still run there, nobody knows"
        assert held.view.terminating
        c.client.delete("node", "", node)
        c.clock.advance(minutes=2)
        back = c.client.get("pod", "default", "db-1")
        assert back.uid != uid
        assert back.view.ready


def test_a_broken_version_waits_to_be_mended(kubectl: Kubectl) -> None:
    broken = navarch.Behaviour(image="db:broken", never_ready=True)
    with navarch.Cluster(behaviours=[broken], frozen=True) as c:
        c.apply(DB)
        c.wait("statefulset/db", complete, leap_s=60)
        kubectl(c.kubeconfig, "set", "image", "sts/db", "main=db:broken")
        c.clock.advance(minutes=5)
        assert pods(c) == {"db-0": "db:v1", "db-1": "db:v1", "db-2": "db:broken"}
        kubectl(c.kubeconfig, "rollout", "undo", "sts/db")
        c.client.delete("pod", "default", "db-2")
        c.wait("statefulset/db", complete, leap_s=60)
        assert set(pods(c).values()) == {"db:v1"}
