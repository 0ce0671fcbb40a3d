"""What `kubectl get pods` shows: the STATUS and RESTARTS that users know, computed from container states.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/ and the output of kubectl itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from navarch.kinds.kind import Column
from navarch.kinds.printing import NONE, human_duration, moment
from navarch.objects.value import Document, dig


@dataclass(slots=True)
class _Tally:
    """What one walk over container statuses counts. last: when a container last ended before a restart."""

    restarts: int = 0
    ready: int = 0
    last: datetime | None = None

    def restarted(self, status: Document) -> None:
        self.restarts += status.get("restartCount", 0)
        ended = moment(dig(status, "lastState", "terminated", "finishedAt"))
        if ended is not None and (self.last is None or ended > self.last):
            self.last = ended


@dataclass(frozen=True, slots=True)
class Summary:
    """last_restart: when the newest run before the present one ended."""

    ready: int
    total: int
    status: str
    restarts: int
    last_restart: datetime | None


def summary(pod: Document) -> Summary:
    """The pod in one line."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    conditions = {c.get("type"): c for c in status.get("conditions") or ()}
    init = spec.get("initContainers") or ()
    sidecars = {c["name"] for c in init if c.get("restartPolicy") == "Always"}
    reason = status.get("reason") or status.get("phase") or ""
    if conditions.get("PodScheduled", {}).get("reason") == "SchedulingGated":
        reason = "SchedulingGated"
    tally, beside = _Tally(), _Tally()
    starting = _initializing(status.get("initContainerStatuses") or (), sidecars, len(init), tally, beside)
    ready = beside.ready
    if starting is not None:
        reason = starting
    if starting is None or conditions.get("Initialized", {}).get("status") == "True":
        tally = beside
        reason, ready = _running(status.get("containerStatuses") or (), conditions, reason, tally)
    if dig(pod, "metadata", "deletionTimestamp") is not None:
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif status.get("phase") not in ("Succeeded", "Failed"):
            reason = "Terminating"
    total = len(spec.get("containers") or ()) + len(sidecars)
    return Summary(ready, total, reason, tally.restarts, tally.last)


def _initializing(statuses: Any, sidecars: set[str], count: int, tally: _Tally, beside: _Tally) -> str | None:
    """The STATUS of a pod whose init containers are not all through, None when they are.

    tally: counts all init containers; beside: the sidecars among them only.
    """
    for index, status in enumerate(statuses):
        state = status.get("state") or {}
        is_sidecar = status.get("name") in sidecars
        tally.restarted(status)
        if is_sidecar:
            beside.restarted(status)
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if terminated is not None and terminated.get("exitCode", 0) == 0:
            continue
        if is_sidecar and status.get("started"):
            if status.get("ready"):
                beside.ready += 1
            continue
        if terminated is not None:
            return "Init:" + _ended(terminated)
        if waiting is not None and waiting.get("reason") and waiting["reason"] != "PodInitializing":
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{count}"
    return None


def _running(statuses: Any, conditions: Any, reason: str, tally: _Tally) -> tuple[str, int]:
    """The STATUS and the ready count of a pod whose main containers have their turn."""
    has_running = False
    ready = tally.ready
    for status in reversed(statuses):
        tally.restarted(status)
        state = status.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if waiting is not None and waiting.get("reason"):
            reason = waiting["reason"]
        elif terminated is not None:
            reason = _ended(terminated)
        elif status.get("ready") and state.get("running") is not None:
            has_running = True
            ready += 1
    if reason == "Completed" and has_running:
        reason = "Running" if conditions.get("Ready", {}).get("status") == "True" else "NotReady"
    return reason, ready


def _ended(terminated: Document) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _ready(pod: Document, now: datetime) -> str:
    found = summary(pod)
    return f"{found.ready}/{found.total}"


def _status(pod: Document, now: datetime) -> str:
    return summary(pod).status


def _restarts(pod: Document, now: datetime) -> str:
    found = summary(pod)
    if found.restarts and found.last_restart is not None:
        return f"{found.restarts} ({human_duration((now - found.last_restart).total_seconds())} ago)"
    return str(found.restarts)


def _ip(pod: Document, now: datetime) -> str:
    return dig(pod, "status", "podIPs", 0, "ip") or dig(pod, "status", "podIP") or NONE


def _node(pod: Document, now: datetime) -> str:
    return dig(pod, "spec", "nodeName") or NONE


def _nominated(pod: Document, now: datetime) -> str:
    return dig(pod, "status", "nominatedNodeName") or NONE


def _gates(pod: Document, now: datetime) -> str:
    gates = [gate.get("conditionType") for gate in dig(pod, "spec", "readinessGates", default=())]
    if not gates:
        return NONE
    true = {c.get("type") for c in dig(pod, "status", "conditions", default=()) if c.get("status") == "True"}
    return f"{sum(gate in true for gate in gates)}/{len(gates)}"


COLUMNS = (
    Column("Ready", _ready, description="How many of the pod's containers are ready, of how many."),
    Column("Status", _status, description="The state of the pod in one word, from its phase and its containers."),
    Column("Restarts", _restarts, description="How often its containers were restarted, and when last."),
    Column("IP", _ip, priority=1, description="The pod's address."),
    Column("Node", _node, priority=1, description="The node that the pod is bound to."),
    Column("Nominated Node", _nominated, priority=1, description="The node where room is being made for the pod."),
    Column("Readiness Gates", _gates, priority=1, description="How many of the pod's own conditions are met."),
)
