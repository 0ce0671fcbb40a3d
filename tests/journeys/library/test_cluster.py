"""The cluster in a `with` block: what it is, what it leaves behind, and how it explains itself."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import navarch
from navarch.base.errors import BadRequest, Invalid, NotFound, Unavailable

Make = Callable[..., dict[str, Any]]
Kubectl = Callable[..., str]


def test_ready_within_a_second() -> None:
    """By the clock, where the machine has time for us; it has ten chances."""
    took_s: list[float] = []
    while not took_s or (min(took_s) >= 1.0 and len(took_s) < 10):
        began, busy = time.monotonic(), time.process_time()
        with navarch.Cluster() as c:
            took_s.append(time.monotonic() - began)
            busy_s = time.process_time() - busy
            assert [node.name for node in c.client.list("nodes").items] == ["node-0"]
    assert min(took_s) < 1.0 or busy_s < 0.8, f"took {took_s} s"


def test_gone_without_a_trace() -> None:
    threads = threading.active_count()
    files = len(list(Path("/proc/self/fd").iterdir()))
    with navarch.Cluster() as c:
        kubeconfig = c.kubeconfig
        assert kubeconfig == c.kubeconfig
        assert kubeconfig.stat().st_mode & 0o777 == 0o600
    assert not kubeconfig.parent.exists()
    assert threading.active_count() <= threads
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) <= files
    with pytest.raises(Unavailable, match="not running"):
        c.client.list("nodes")


def test_an_application_runs(deployment: Make) -> None:
    with navarch.Cluster(nodes=3, zones=("a", "b")) as c:
        c.apply(deployment())
        c.wait("deployment/web", "Available")
        pods = c.client.list("pods", "default", labels="app=web").items
        assert sorted(pod.view.spec.node_name for pod in pods) == ["node-0", "node-1", "node-2"]
        assert all(pod.view.ready for pod in pods)
        assert len({pod.view.status.pod_ip for pod in pods}) == 3
        zones = [node.labels["topology.kubernetes.io/zone"] for node in c.client.list("nodes").items]
        assert zones == ["a", "b", "a"]


def test_several_clusters_at_once_do_not_meet(deployment: Make) -> None:
    with navarch.Cluster() as one, navarch.Cluster() as two:
        one.apply(deployment())
        one.wait("deployment/web", "Available")
        assert list(two.client.list("deployments").items) == []
        assert one.kubeconfig != two.kubeconfig


def test_awaited(deployment: Make) -> None:
    async def main() -> None:
        async with navarch.Cluster(nodes=2) as c:
            await c.apply(deployment())
            await c.wait("deployment/web", "Available")
            listed = await c.client.list("pods", "default")
            assert len(listed.items) == 3
            await c.client.patch("deployment", "default", "web", {"spec": {"replicas": 1}})
            async for batch in c.client.watch("pods", "default", since=listed.revision):
                if any(event.type == "DELETED" for event in batch):
                    break
            before = c.clock.now()
            await c.clock.advance(hours=1)
            assert c.clock.now() - before >= timedelta(hours=1)
            with pytest.raises(navarch.NotReached):
                await c.wait("pod/none", timeout_s=0.05)
            await c.delete(deployment())
            await c.wait("deployment/web", "gone")

    asyncio.run(main())


def test_real_kubectl(deployment: Make, kubectl: Kubectl) -> None:
    with navarch.Cluster(nodes=2) as c:
        kubectl(c.kubeconfig, "apply", "-f", "-", input=json.dumps(deployment()))
        kubectl(c.kubeconfig, "rollout", "status", "deployment/web", "--timeout=100s")
        lines = kubectl(c.kubeconfig, "get", "pods", "-o", "wide").splitlines()
        assert lines[0].split()[:5] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
        assert [line.split()[1:3] for line in lines[1:]] == [["1/1", "Running"]] * 3
        kubectl(c.kubeconfig, "scale", "deployment/web", "--replicas=5")
        kubectl(c.kubeconfig, "wait", "--for=jsonpath={.status.readyReplicas}=5", "deployment/web", "--timeout=100s")
        events = kubectl(c.kubeconfig, "events")
        assert "Successfully assigned default/web-" in events


def test_time_flows_or_stands() -> None:
    with navarch.Cluster(frozen=True) as c:
        before = c.clock.now()
        time.sleep(0.02)
        assert c.clock.now() == before
        c.clock.advance(days=1, hours=1, minutes=1, seconds=1)
        assert c.clock.now() == before + timedelta(days=1, hours=1, minutes=1, seconds=1)
        with pytest.raises(ValueError, match="does not go back"):
            c.clock.advance(seconds=-1)
    with navarch.Cluster() as c:
        before = c.clock.now()
        time.sleep(0.02)
        assert c.clock.now() > before


def test_stages_of_a_pod_under_a_turned_clock(deployment: Make) -> None:
    slow = navarch.Behaviour(image="web:*", pull_s=30, ready_s=60)
    with navarch.Cluster(behaviours=[slow], frozen=True) as c:
        c.apply(deployment(replicas=1))
        c.clock.advance()
        assert "0/1 ready" in explained(c, "deployment/web")
        c.clock.advance(seconds=31)
        (pod,) = c.client.list("pods").items
        assert (pod.view.status.phase, pod.view.ready) == ("Running", False)
        c.clock.advance(seconds=60)
        c.wait("deployment/web", "Available")
        c.client.patch("deployment", "default", "web", {"spec": {"replicas": 2}})
        c.wait("deployment/web", lambda d: d["status"].get("readyReplicas") == 2, leap_s=600)


def explained(c: navarch.testing.cluster.RunningCluster, what: str) -> str:
    with pytest.raises(navarch.NotReached) as found:
        c.wait(what, "never", timeout_s=0.01)
    return str(found.value)


def test_a_wait_that_fails_says_why(deployment: Make) -> None:
    taint = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
    nodes = {"small": navarch.Machine(cpu="50m"), "tainted": navarch.Machine(taints=[taint])}
    with navarch.Cluster(nodes=nodes) as c:
        c.apply(deployment(replicas=1))
        with pytest.raises(navarch.NotReached) as failed:
            c.wait("deployment/web", "Available", leap_s=60)
        text = str(failed.value)
        assert "deployment/web in default was not 'Available' within 60 s of the cluster's time" in text
        assert "Available=False (MinimumReplicasUnavailable" in text
        assert "Pending, 0/1 ready, 0 restarts, on no node" in text
        assert (
            "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s). preemption: "
            "0/2 nodes are available: 2 Preemption is not helpful for scheduling."
        ) in text
        assert "does not exist; of its kind there are: web" in explained(c, "deployment/other")


def test_bad_input_is_refused_with_its_reason(deployment: Make, tmp_path: Path) -> None:
    with navarch.Cluster() as c:
        with pytest.raises(BadRequest, match="neither a file nor a manifest"):
            c.apply("missing.yaml")
        with pytest.raises(BadRequest, match='no matches for kind "Deploymint"'):
            c.apply({**deployment(), "kind": "Deploymint"})
        with pytest.raises(Invalid) as refused:
            c.apply(deployment(name="Not A Name"))
        assert "metadata.name" in str(refused.value)
        with pytest.raises(BadRequest, match="write kind/name"):
            c.wait("web", "Available")
        with pytest.raises(NotFound, match="simulated node"):
            c.nodes.fail("nowhere")
        (tmp_path / "broken.yaml").write_text("a: [")
        with pytest.raises(BadRequest, match=r"broken\.yaml is no YAML"):
            c.apply(tmp_path)
        assert list(c.client.list("deployments").items) == []


def test_a_thousand_nodes_in_one_process() -> None:
    began = time.process_time()
    with navarch.Cluster(nodes=1000, frozen=True) as c:
        assert len(c.client.list("nodes").items) == 1000
        before = c.client.list("nodes").revision
        c.clock.advance(hours=1)
        writes = c.client.list("nodes").revision - before
    assert time.process_time() - began < 20.0
    assert writes < 1000, "an idle node must not cost writes by the hour"


def test_events_of_containers_that_fail(deployment: Make) -> None:
    behaviours = "[{image: 'web:crash', runsSeconds: 1, exitCode: 2}, {image: 'web:lost', imageError: ErrImagePull}]"
    with navarch.Cluster(behaviours=behaviours, frozen=True) as c:
        c.apply([deployment("crash", image="web:crash", replicas=1), deployment("lost", image="web:lost", replicas=1)])
        c.clock.advance(seconds=5)
        text = "\n".join(c.events())
        assert "back-off 10s restarting failed container" in text
        assert "Back-off pulling image" in text
        states = {pod.labels["app"]: pod.view.status.container_statuses[0].state for pod in c.client.list("pods").items}
        assert states["crash"].waiting.reason == "CrashLoopBackOff"
        assert states["lost"].waiting.reason == "ImagePullBackOff"
