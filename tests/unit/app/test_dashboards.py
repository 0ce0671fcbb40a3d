"""What common dashboards and alerts ask for is there, with the labels that they go by."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from navarch.apiserver.call import ITSELF
from navarch.app.control_plane import ControlPlane, Settings
from navarch.base.clock import SystemClock, SystemIds
from navarch.base.pki import new_key
from navarch.kinds import POD, REPLICASET
from navarch.store.memory import MemoryStore
from navarch.wire.message import Peer, Request

ASKED = {
    # the API server
    "apiserver_request_total": {"verb", "code", "group", "version", "resource", "subresource", "scope", "component"},
    "apiserver_request_duration_seconds_bucket": {"verb", "resource", "scope", "le"},
    "apiserver_request_sli_duration_seconds_bucket": {"verb", "resource", "scope", "le"},
    "apiserver_request_sli_duration_seconds_count": {"verb", "resource", "scope"},
    "apiserver_current_inflight_requests": {"request_kind"},
    "apiserver_storage_objects": {"resource"},
    "apiserver_resource_objects": {"group", "resource"},
    "apiserver_selfrequest_total": {"verb", "group", "resource", "subresource"},
    "apiserver_flowcontrol_current_limit_seats": {"priority_level"},
    "etcd_request_duration_seconds_bucket": {"operation", "group", "resource", "le"},
    "etcd_requests_total": {"operation", "group", "resource"},
    # the controllers
    "workqueue_adds_total": {"name"},
    "workqueue_depth": {"name"},
    "workqueue_queue_duration_seconds_bucket": {"name", "le"},
    "workqueue_work_duration_seconds_bucket": {"name", "le"},
    "workqueue_retries_total": {"name"},
    "workqueue_unfinished_work_seconds": {"name"},
    "workqueue_longest_running_processor_seconds": {"name"},
    "rest_client_requests_total": {"code", "method", "host"},
    "rest_client_request_duration_seconds_bucket": {"verb", "host", "le"},
    # the scheduler
    "scheduler_schedule_attempts_total": {"result", "profile"},
    "scheduler_scheduling_attempt_duration_seconds_count": {"result", "profile"},
    "scheduler_scheduling_algorithm_duration_seconds_count": set(),
    "scheduler_preemption_attempts_total": set(),
    "scheduler_pending_pods": {"queue"},
    # the process
    "process_resident_memory_bytes": set(),
    "process_cpu_seconds_total": set(),
    "process_start_time_seconds": set(),
    "kubernetes_build_info": {"git_version"},
}
DECLARED = ("apiserver_request_terminations", "apiserver_request_aborts", "aggregator_unavailable_apiservice")
"""Families without samples as long as nothing goes wrong."""


async def scraped(plane: ControlPlane) -> str:
    client = plane.client(ITSELF, "test")
    metadata = {"name": "web", "namespace": "default"}
    pod = {"containers": [{"name": "c", "image": "i"}]}
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    await client.create(REPLICASET, {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": spec})
    async with asyncio.timeout(60):
        while True:
            text = plane.metrics.render().decode()
            tried = "scheduler_schedule_attempts_total{" in text
            if tried and (await client.list(POD, "default")).items:
                break
            await asyncio.sleep(0.02)
    await plane.server.handle(Request("GET", "/api/v1/pods", "/api/v1/pods", {}, peer=Peer(local=True)))
    return plane.metrics.render().decode()


@pytest.fixture(scope="module")
def text() -> str:
    async def play() -> str:
        plane = ControlPlane(MemoryStore(), SystemClock(), SystemIds(), Settings(new_key()))
        await plane.start()
        ready = asyncio.Event()
        running = asyncio.get_running_loop().create_task(plane.run(ready))
        await ready.wait()
        found = await scraped(plane)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await plane.close()
        return found

    return asyncio.run(play())


def test_what_dashboards_ask_for_is_there(text: str) -> None:
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    assert {name: labels - found.get(name, set()) for name, labels in ASKED.items() if name not in found} == {}
    assert {name: labels - found[name] for name, labels in ASKED.items() if not labels <= found[name]} == {}


def test_what_counts_failures_is_declared_before_there_are_any(text: str) -> None:
    for name in DECLARED:
        assert f"# TYPE {name}" in text, name


def test_counts_agree_with_what_was_done(text: str) -> None:
    values = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    pods = (("group", ""), ("operation", "create"), ("resource", "pods"))
    assert values["etcd_requests_total", *pods] == 1.0
    assert values["etcd_request_duration_seconds_count", *pods] == 1.0
    assert values["workqueue_adds_total", ("name", "replicaset")] >= 1.0
    sets = (("group", "apps"), ("resource", "replicasets"), ("subresource", ""), ("verb", "POST"))
    assert values["apiserver_selfrequest_total", *sets] == 1.0
    assert values["scheduler_pending_pods", ("queue", "unschedulable")] == 1.0
