"""DaemonSets through the library, with the real kubectl: every node, rollouts with and without surge, undo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import navarch

Kubectl = Callable[..., str]

AGENT = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: main, image: "agent:v1"}]}
"""


def rolled_out(found: dict[str, Any]) -> bool:
    status = found.get("status", {})
    return bool(
        status.get("observedGeneration") == found["metadata"]["generation"]
        and status.get("updatedNumberScheduled", 0) == status["desiredNumberScheduled"]
        and status.get("numberAvailable", 0) == status["desiredNumberScheduled"]
    )


def pods(c: Any) -> dict[str, str]:
    """Image by node, of the pods that stay."""
    found = [pod.view for pod in c.client.list("pods", "default", labels="app=agent").items]
    assert len({pod.spec.node_name for pod in found if not pod.terminating}) <= len(found)
    return {pod.spec.node_name: pod.spec.containers[0].image for pod in found if not pod.terminating}


def test_every_node_has_one_also_those_that_come_later(kubectl: Kubectl) -> None:
    with navarch.Cluster(nodes=3, frozen=True) as c:
        kubectl(c.kubeconfig, "apply", "-f", "-", input=AGENT)
        c.wait("daemonset/agent", rolled_out, leap_s=30)
        assert sorted(pods(c)) == ["node-0", "node-1", "node-2"]
        c.nodes.add("late")
        c.clock.advance(seconds=5)
        assert sorted(pods(c)) == ["late", "node-0", "node-1", "node-2"]
        kubectl(c.kubeconfig, "cordon", "node-0")
        kubectl(c.kubeconfig, "taint", "node", "node-1", "dedicated=db:NoExecute")
        c.clock.advance(seconds=60)
        assert sorted(pods(c)) == ["late", "node-0", "node-2"]
        row = kubectl(c.kubeconfig, "get", "ds", "agent", "--no-headers").split()
        assert row[1:6] == ["3", "3", "3", "3", "3"]
        kubectl(c.kubeconfig, "patch", "ds", "agent", "-p", '{"spec":{"template":{"spec":{"nodeSelector":{"a":"b"}}}}}')
        c.clock.advance(seconds=60)
        assert pods(c) == {}
        kubectl(c.kubeconfig, "label", "node", "late", "a=b")
        c.clock.advance(seconds=5)
        assert sorted(pods(c)) == ["late"]
        kubectl(c.kubeconfig, "delete", "ds", "agent", "--wait=false")
        c.clock.advance(seconds=60)
        assert pods(c) == {}
        assert c.client.list("controllerrevisions", "default").items == []


def test_a_rollout_keeps_its_bounds_and_is_undone(kubectl: Kubectl) -> None:
    behaviours = [navarch.Behaviour(ready_s=3, stop_s=2)]
    with navarch.Cluster(nodes=5, behaviours=behaviours, frozen=True) as c:
        c.apply(AGENT)
        c.wait("daemonset/agent", rolled_out, leap_s=60)
        c.clock.advance(seconds=1)
        kubectl(c.kubeconfig, "annotate", "ds", "agent", "kubernetes.io/change-cause=second")
        kubectl(c.kubeconfig, "set", "image", "ds/agent", "main=agent:v2")
        fewest = 5
        for _ in range(60):
            c.clock.advance(seconds=1)
            found = c.client.get("daemonset", "default", "agent").document()
            ready = sum(pod.view.ready and not pod.view.terminating for pod in c.client.list("pods").items)
            fewest = min(fewest, ready)
            if rolled_out(found):
                break
        assert fewest == 4
        assert set(pods(c).values()) == {"agent:v2"}
        assert "successfully rolled out" in kubectl(c.kubeconfig, "rollout", "status", "ds/agent", "--timeout=100s")
        history = kubectl(c.kubeconfig, "rollout", "history", "ds/agent").splitlines()
        assert [line.split() for line in history[2:] if line] == [["1", "<none>"], ["2", "second"]]
        assert "agent:v1" in kubectl(c.kubeconfig, "rollout", "history", "ds/agent", "--revision=1")
        kubectl(c.kubeconfig, "rollout", "undo", "ds/agent")
        c.wait("daemonset/agent", rolled_out, leap_s=120)
        assert set(pods(c).values()) == {"agent:v1"}
        numbers = sorted(one.view.revision for one in c.client.list("controllerrevisions", "default").items)
        assert numbers == [2, 3]
        kubectl(c.kubeconfig, "rollout", "restart", "ds/agent")
        c.wait("daemonset/agent", rolled_out, leap_s=120)
        assert len(c.client.list("controllerrevisions", "default").items) == 3


def test_with_a_surge_no_node_is_ever_without(kubectl: Kubectl) -> None:
    behaviours = [navarch.Behaviour(ready_s=3, stop_s=2)]
    with navarch.Cluster(nodes=4, behaviours=behaviours, frozen=True) as c:
        surge = "  updateStrategy: {rollingUpdate: {maxSurge: 2, maxUnavailable: 0}}\n  minReadySeconds: 2\n"
        c.apply(AGENT + surge)
        c.wait("daemonset/agent", rolled_out, leap_s=60)
        c.clock.advance(seconds=1)
        kubectl(c.kubeconfig, "set", "image", "ds/agent", "main=agent:v2")
        most = 0
        for _ in range(60):
            c.clock.advance(seconds=1)
            found = [pod.view for pod in c.client.list("pods", "default").items]
            assert len({pod.spec.node_name for pod in found if pod.ready}) == 4
            most = max(most, sum(not pod.terminating for pod in found))
        assert most == 6
        assert set(pods(c).values()) == {"agent:v2"}


def test_on_delete_waits_for_others_to_delete(kubectl: Kubectl) -> None:
    with navarch.Cluster(nodes=2, frozen=True) as c:
        c.apply(AGENT + "  updateStrategy: {type: OnDelete}\n")
        c.wait("daemonset/agent", lambda found: found["status"].get("numberReady") == 2, leap_s=60)
        kubectl(c.kubeconfig, "set", "image", "ds/agent", "main=agent:v2")
        c.clock.advance(minutes=5)
        assert set(pods(c).values()) == {"agent:v1"}
        first = c.client.list("pods", "default").items[0]
        kubectl(c.kubeconfig, "delete", "pod", first.name, "--wait=false")
        c.clock.advance(minutes=1)
        assert sorted(pods(c).values()) == ["agent:v1", "agent:v2"]


def test_pods_that_fail_come_back_ever_later() -> None:
    evicted = navarch.Behaviour(image="agent:v1")
    with navarch.Cluster(behaviours=[evicted], frozen=True) as c:
        c.apply(AGENT)
        c.wait("daemonset/agent", rolled_out, leap_s=60)
        for waited in (0, 1, 2, 4):
            (pod,) = c.client.list("pods", "default").items
            c.client.patch("pod", "default", pod.name, {"status": {"phase": "Failed"}}, subresource="status")
            c.clock.advance()
            if waited:
                assert [one.name for one in c.client.list("pods", "default").items] == [pod.name]
            c.clock.advance(seconds=waited + 0.1)
            assert pod.name not in [one.name for one in c.client.list("pods", "default").items]
        assert any("FailedDaemonPod" in line for line in c.events())
