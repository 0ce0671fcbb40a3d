"""Clusters that live through a trace on virtual time, and what is told of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from navarch.base.errors import BadRequest
from navarch.testing.behaviour import Behaviour
from navarch.testing.fleet import Fleet, Group
from navarch.testing.report import Report
from navarch.testing.scenario import Progress, Scenario, play
from navarch.testing.trace import outage, read

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 6
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: main, image: web, resources: {requests: {cpu: "1", memory: 1Gi}}}]
"""
CRASHING = "{apiVersion: v1, kind: Pod, metadata: {name: sick}, spec: {containers: [{name: main, image: crash}]}}"
CRONJOB = """
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "0 * * * *"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: batch}]}}}}
"""


def run(folder: Path, text: str, *, nodes: int = 2, cpu: str = "2", length_s: float = 600.0, **more: Any) -> Report:
    (folder / "t.yaml").write_text(text)
    fleet = Fleet()
    fleet.add_group(Group(count=nodes, cpu=cpu, memory="8Gi", zones=("a", "b")), "test")
    steps = read([str(folder / "t.yaml")]).ordered() + [step for one in more.pop("fail", ()) for step in outage(one)]
    steps.sort(key=lambda step: step.at_s)
    return play(Scenario(fleet, steps, length_s, **more))


def test_placement_pending_and_utilisation(tmp_path: Path) -> None:
    more = "\n---\n- {at: 5m, scale: {deployment/web: 3}, namespace: shop}"
    found = run(tmp_path, DEPLOYMENT + more, length_s=240.0)
    assert [(node.name, node.zone, node.pods, node.cpu_requested) for node in found.nodes] == [
        ("node-0", "a", 2, 2000),
        ("node-1", "b", 2, 2000),
    ]
    (waiting,) = found.pending
    assert (waiting.pods, waiting.workload, waiting.reason) == (2, "deployment/web", "Unschedulable")
    assert waiting.message == "0/2 nodes are available: 2 Insufficient cpu."
    (web,) = found.workloads
    assert (web.name, web.ready, web.wanted, web.well, web.took_seconds) == ("deployment/web", 4, 6, False, None)
    last = found.samples[-1]
    assert (last.cpu_share, last.memory_share, last.pods, last.ready, last.pending) == (1.0, 0.25, 6, 4, 2)
    assert found.samples[0].pods == 0
    assert "namespaces that no manifest brings were made: shop" in found.notes
    assert "left out, since they lie after the end: 1 of 2 steps of the trace" in found.notes
    assert not found.well
    scaled = run(tmp_path, DEPLOYMENT + more)
    assert scaled.well
    assert scaled.workloads[0].ready == 3


def test_one_seed_is_one_history(tmp_path: Path) -> None:
    first, again, other = (run(tmp_path, DEPLOYMENT, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.pending[0].names != other.pending[0].names


def test_a_node_that_fails_and_what_is_said(tmp_path: Path) -> None:
    moments: list[Progress] = []
    (tmp_path / "t.yaml").write_text(DEPLOYMENT)
    found = run(tmp_path, DEPLOYMENT, cpu="8", fail=["node-0@1m..3m"])
    (gone,) = found.outages
    assert gone.node == "node-0"
    assert 60 < gone.from_seconds < 120
    assert gone.until_seconds == 180
    assert {event.reason for event in found.events} >= {"NodeNotReady", "TaintManagerEviction"}
    assert found.well
    assert found.nodes[1].pods == 6
    fleet = Fleet()
    fleet.add_group(Group(count=1), "test")
    play(Scenario(fleet, [], 60.0), moments.append)
    assert (moments[0].at_s, moments[-1].at_s) == (0.0, 60.0)


def test_pods_that_are_placed_and_not_well(tmp_path: Path) -> None:
    crash = Behaviour(image="crash", runs_s=1, exit_code=3)
    found = run(tmp_path, CRASHING, behaviours=[crash], length_s=30.0)
    (sick,) = found.unwell
    assert (sick.workload, sick.reason) == ("pod/sick", "CrashLoopBackOff")
    assert sick.message == "back-off 20s restarting failed container (container main)"


def test_cronjobs_are_counted(tmp_path: Path) -> None:
    found = run(tmp_path, CRONJOB, length_s=6 * 3600.0 + 60)
    (nightly,) = found.workloads
    assert (nightly.name, nightly.note, nightly.well) == ("cronjob/nightly", "6 runs", True)


def test_what_is_refused_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(BadRequest) as refused:
        run(tmp_path, DEPLOYMENT + "\n---\n- {at: 1m, delete: deployment/other, namespace: shop}")
    assert 't.yaml, line 14, after 60 s: deployments.apps "other" not found' in str(refused.value)
    with pytest.raises(BadRequest, match=r"t.yaml, line 2, after 0 s: .*spec.replicas: Invalid value: -6"):
        run(tmp_path, DEPLOYMENT.replace("6", "-6", 1))


def test_forbidden_pods_are_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    quota = "{apiVersion: v1, kind: ResourceQuota, metadata: {name: q}, spec: {hard: {pods: '0'}}}"
    found = run(
        tmp_path, f"{quota}\n---\n{CRASHING.replace('metadata: {', 'metadata: {annotations: {navarch.dev/at: 5s}, ')}"
    )
    (refused,) = found.refused
    assert "t.yaml, line 3, after 5 s" in refused
    assert "exceeded quota: q" in refused
    assert not found.well
