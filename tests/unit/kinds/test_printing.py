"""What `kubectl get` says: durations, the STATUS of pods, the columns of each kind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.kinds import ALL, DEPLOYMENT, EVENT, NODE, POD, SERVICE, STORAGECLASS
from navarch.kinds.kind import Kind
from navarch.kinds.pod.columns import summary
from navarch.kinds.printing import human_duration, selector_text, since

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DAY_S = 86400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (135, "2m15s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 60, "3h1m"),
        (8 * 3600, "8h"),
        (48 * 3600 - 1, "47h"),
        (2 * DAY_S, "2d"),
        (2 * DAY_S + 3600, "2d1h"),
        (8 * DAY_S, "8d"),
        (2 * 365 * DAY_S, "2y"),
        (2 * 365 * DAY_S + DAY_S, "2y1d"),
        (9 * 365 * DAY_S, "9y"),
        (-0.5, "0s"),
        (-5, "<invalid>"),
    ],
)
def test_durations_are_worded_as_kubectl_does(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


@given(st.integers(0, 20 * 365 * DAY_S))
def test_durations_are_short_and_never_too_long(seconds: int) -> None:
    text = human_duration(seconds)
    units = {"s": 1, "m": 60, "h": 3600, "d": DAY_S, "y": 365 * DAY_S}
    told, number = 0, ""
    for character in text:
        if character.isdigit():
            number += character
        else:
            told += int(number) * units[character]
            number = ""
    assert len(text) <= 6
    assert told <= seconds
    assert seconds - told < max(units[text[-1]], 1)


def test_ages_without_a_time_are_unknown() -> None:
    assert since(None, NOW) == "<unknown>"
    assert since("yesterday", NOW) == "<unknown>"
    assert since("2026-01-02T03:04:00Z", NOW) == "5s"


def cells(kind: Kind, document: dict[str, Any]) -> dict[str, Any]:
    """Those that are functions."""
    return {c.name: c.source(document, NOW) for c in kind.columns if not isinstance(c.source, str)}


def status(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "ready": False, "restartCount": 0, **fields}


def pod(*statuses: Any, init: Any = (), phase: str = "Running", **more: Any) -> dict[str, Any]:
    """Of one container for each status; init: (container, status) pairs."""
    return {
        "metadata": more.pop("metadata", {}),
        "spec": {
            "containers": [{"name": found["name"]} for found in statuses],
            "initContainers": [container for container, _ in init],
            **more.pop("spec", {}),
        },
        "status": {
            "phase": phase,
            "containerStatuses": list(statuses),
            "initContainerStatuses": [found for _, found in init],
            **more,
        },
    }


RUNNING = {"running": {"startedAt": "2026-01-02T03:00:00Z"}}
DONE = {"terminated": {"exitCode": 0, "reason": "Completed"}}
CREATING = {"waiting": {"reason": "ContainerCreating"}}
INITIALIZING = {"waiting": {"reason": "PodInitializing"}}
READY = {"type": "Ready", "status": "True"}
SIDECAR = {"name": "s", "restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("document", "ready", "text"),
    [
        (pod(phase="Pending"), "0/0", "Pending"),
        (pod(status("a", state=CREATING), phase="Pending"), "0/1", "ContainerCreating"),
        (pod(status("a", state=RUNNING, ready=True)), "1/1", "Running"),
        (pod(status("a", state=DONE), phase="Succeeded"), "0/1", "Completed"),
        (pod(status("a", state={"waiting": {"reason": "CrashLoopBackOff"}})), "0/1", "CrashLoopBackOff"),
        (pod(status("a", state={"terminated": {"exitCode": 3}})), "0/1", "ExitCode:3"),
        (pod(status("a", state={"terminated": {"exitCode": 137, "signal": 9}})), "0/1", "Signal:9"),
        (pod(status("a", state=DONE), status("b", state=RUNNING, ready=True)), "1/2", "NotReady"),
        (pod(status("a", state=DONE), status("b", state=RUNNING, ready=True), conditions=[READY]), "1/2", "Running"),
        (pod(reason="Evicted", phase="Failed"), "0/0", "Evicted"),
        (pod(status("a", state=RUNNING, ready=True), metadata={"deletionTimestamp": "x"}), "1/1", "Terminating"),
        (pod(phase="Succeeded", metadata={"deletionTimestamp": "x"}), "0/0", "Succeeded"),
        (pod(reason="NodeLost", metadata={"deletionTimestamp": "x"}), "0/0", "Unknown"),
        (
            pod(status("a", state=INITIALIZING), init=[({"name": "i"}, status("i", state=RUNNING))], phase="Pending"),
            "0/1",
            "Init:0/1",
        ),
        (
            pod(init=[({"name": "i"}, status("i", state={"terminated": {"exitCode": 1, "reason": "Error"}}))]),
            "0/0",
            "Init:Error",
        ),
        (
            pod(init=[({"name": "i"}, status("i", state={"waiting": {"reason": "ImagePullBackOff"}}))]),
            "0/0",
            "Init:ImagePullBackOff",
        ),
        (pod(init=[({"name": "i"}, status("i", state={"terminated": {"exitCode": 2}}))]), "0/0", "Init:ExitCode:2"),
        (
            pod(
                status("a", state=RUNNING, ready=True),
                init=[(SIDECAR, status("s", state=RUNNING, started=True, ready=True))],
            ),
            "2/2",
            "Running",
        ),
        (
            pod(phase="Pending", conditions=[{"type": "PodScheduled", "reason": "SchedulingGated"}]),
            "0/0",
            "SchedulingGated",
        ),
    ],
)
def test_the_status_of_a_pod_in_one_word(document: dict[str, Any], ready: str, text: str) -> None:
    found = cells(POD, document)
    assert (found["Ready"], found["Status"]) == (ready, text)


def test_restarts_say_when_the_last_one_was() -> None:
    ended = (NOW - timedelta(minutes=5)).isoformat()
    once = status("a", state=RUNNING, restartCount=2, lastState={"terminated": {"exitCode": 1, "finishedAt": ended}})
    assert cells(POD, pod(once))["Restarts"] == "2 (5m ago)"
    assert cells(POD, pod(status("a", state=RUNNING)))["Restarts"] == "0"


def test_restarts_of_init_containers_count_only_while_they_run() -> None:
    init = [({"name": "i"}, status("i", state=DONE, restartCount=4))]
    assert summary(pod(status("a", state=RUNNING, restartCount=1), init=init)).restarts == 1
    init = [({"name": "i"}, status("i", state=RUNNING, restartCount=4))]
    assert summary(pod(status("a", state=INITIALIZING), init=init)).restarts == 4


def test_a_pod_in_wide_form() -> None:
    found = cells(POD, pod(podIP="10.0.0.1", spec={"readinessGates": [{"conditionType": "x"}]}))
    assert (found["IP"], found["Node"], found["Nominated Node"]) == ("10.0.0.1", "<none>", "<none>")
    assert found["Readiness Gates"] == "0/1"


def test_columns_come_in_the_order_that_users_know() -> None:
    def header(kind: Kind) -> str:
        return " ".join(column.name for column in kind.table)

    assert header(POD) == "Name Ready Status Restarts Age IP Node Nominated Node Readiness Gates"
    assert header(DEPLOYMENT) == "Name Ready Up-to-date Available Age Containers Images Selector"
    assert header(EVENT) == "Last Seen Type Reason Object Subobject Source Message First Seen Count Name"
    assert header(STORAGECLASS) == "Name Provisioner ReclaimPolicy VolumeBindingMode AllowVolumeExpansion Age"
    assert header(NODE).startswith("Name Status Roles Age Version Internal-IP")


@pytest.mark.parametrize("kind", ALL, ids=repr)
def test_no_column_fails_on_an_empty_object(kind: Kind) -> None:
    for empty in ({}, {"metadata": {}, "spec": {}, "status": {}}):
        assert len(cells(kind, empty)) == sum(not isinstance(c.source, str) for c in kind.columns)


def test_service_columns() -> None:
    found = cells(SERVICE, {"spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}], "clusterIP": "1"}})
    assert found["Port(s)"] == "80:30080/TCP"
    assert cells(SERVICE, {"spec": {"type": "LoadBalancer"}})["External-IP"] == "<pending>"


def test_node_status_and_roles() -> None:
    node = {
        "metadata": {"labels": {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "edge"}},
        "spec": {"unschedulable": True},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    found = cells(NODE, node)
    assert (found["Status"], found["Roles"]) == ("Ready,SchedulingDisabled", "control-plane,edge")


def test_selectors_are_worded_as_the_flag_takes_them() -> None:
    selector = {
        "matchLabels": {"b": "2", "a": "1"},
        "matchExpressions": [
            {"key": "c", "operator": "In", "values": ["y", "x"]},
            {"key": "d", "operator": "DoesNotExist"},
            {"key": "e", "operator": "Exists"},
        ],
    }
    assert selector_text(selector) == "a=1,b=2,c in (x,y),!d,e"
    assert selector_text({}) == "<none>"
