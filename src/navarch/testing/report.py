"""What a simulation comes to, as values: who is placed where, who waits and why, what was used when.

Spelled in camelCase where it is printed as JSON or YAML. All times are seconds since the beginning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from navarch.kinds import DAEMONSET, DEPLOYMENT
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.pod.columns import summary
from navarch.kinds.quota_usage import pod_total
from navarch.objects import quantity
from navarch.objects.value import Document, dig

ZONE = "topology.kubernetes.io/zone"
UNPLACED = "no scheduler has looked at it"


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class Sample(_Part, frozen=True, kw_only=True, rename="camel"):
    """One moment. cpu in milli-cores, memory in bytes; requested by pods on nodes that are ready, which have what is
    allocatable. pending: on no node yet."""

    at_seconds: float
    pods: int
    ready: int
    pending: int
    nodes_ready: int
    cpu_requested: int
    cpu_allocatable: int
    memory_requested: int
    memory_allocatable: int

    @property
    def cpu_share(self) -> float:
        return self.cpu_requested / self.cpu_allocatable if self.cpu_allocatable else 0.0

    @property
    def memory_share(self) -> float:
        return self.memory_requested / self.memory_allocatable if self.memory_allocatable else 0.0


class NodeUse(_Part, frozen=True, kw_only=True, rename="camel"):
    """A node in the end. status: as `kubectl get nodes` has it."""

    name: str
    zone: str
    status: str
    pods: int
    pods_allocatable: int
    cpu_requested: int
    cpu_allocatable: int
    memory_requested: int
    memory_allocatable: int


class Workload(_Part, frozen=True, kw_only=True, rename="camel"):
    """name: `deployment/web`. well: it is as it should be. took_seconds: from when it was last changed until it was
    (None while it has not been). note: of what else there is to say."""

    namespace: str
    name: str
    ready: int
    wanted: int
    well: bool
    took_seconds: float | None
    note: str = ""


class Trouble(_Part, frozen=True, kw_only=True, rename="camel"):
    """Pods that are not well for one reason. since_seconds: when the oldest of them was made."""

    namespace: str
    workload: str
    pods: int
    reason: str
    message: str
    since_seconds: float
    names: tuple[str, ...]


class Happening(_Part, frozen=True, kw_only=True, rename="camel"):
    """Events of one reason about one kind of object; message: of the last of them, about `last`."""

    type: str
    reason: str
    kind: str
    times: int
    first_seconds: float
    last_seconds: float
    last: str
    message: str


class Outage(_Part, frozen=True, kw_only=True, rename="camel"):
    """A node was not ready. until_seconds: None when it still is not."""

    node: str
    from_seconds: float
    until_seconds: float | None


class Report(_Part, frozen=True, kw_only=True, rename="camel"):
    """writes: how many there were. notes: what the run took upon itself. refused: requests of the trace that the API
    refused, with where they stand."""

    seed: int
    start: str
    seconds: float
    writes: int
    nodes: tuple[NodeUse, ...]
    workloads: tuple[Workload, ...]
    pending: tuple[Trouble, ...]
    unwell: tuple[Trouble, ...]
    events: tuple[Happening, ...]
    outages: tuple[Outage, ...]
    refused: tuple[str, ...]
    notes: tuple[str, ...]
    samples: tuple[Sample, ...]

    @property
    def well(self) -> bool:
        """Every pod is placed and every workload as it should be."""
        return not (self.pending or self.unwell or self.refused) and all(one.well for one in self.workloads)

    def document(self) -> Document:
        found: Document = msgspec.to_builtins(self)
        return found


def requests_of(pod: Document) -> tuple[int, int]:
    """Milli-cores and bytes."""
    total = pod_total(pod, "requests")
    return total.get("cpu", 0) // 10**6, total.get("memory", 0) // quantity.NANO


def allocatable_of(node: Document) -> tuple[int, int, int]:
    """Milli-cores, bytes, pods."""
    has = dig(node, "status", "allocatable", default={})
    amounts = (
        quantity.milli(has.get("cpu", 0)),
        quantity.whole(has.get("memory", 0)),
        quantity.whole(has.get("pods", 0)),
    )
    return amounts


def node_status(node: Object) -> str:
    return ("Ready" if node.view.ready else "NotReady") + (
        ",SchedulingDisabled" if node.view.spec.unschedulable else ""
    )


def nodes_of(nodes: Sequence[Object], pods: Sequence[Object]) -> tuple[NodeUse, ...]:
    """In the order of `nodes`."""
    on: dict[str, list[int]] = {node.name: [0, 0, 0] for node in nodes}
    for pod in pods:
        sums = on.get(pod.view.spec.node_name)
        if sums is not None and not pod.view.terminal:
            cpu, memory = requests_of(pod.document())
            sums[0], sums[1], sums[2] = sums[0] + 1, sums[1] + cpu, sums[2] + memory
    found = []
    for node in nodes:
        count, cpu, memory = on[node.name]
        cpu_has, memory_has, pods_has = allocatable_of(node.document())
        found.append(
            NodeUse(
                name=node.name,
                zone=node.labels.get(ZONE, ""),
                status=node_status(node),
                pods=count,
                pods_allocatable=pods_has,
                cpu_requested=cpu,
                cpu_allocatable=cpu_has,
                memory_requested=memory,
                memory_allocatable=memory_has,
            )
        )
    return tuple(found)


def family_of(pod: Object, replicasets: Mapping[str, Object], jobs: Mapping[str, Object]) -> str:
    """Whose pod it is, as `deployment/web`; `pod/name` when it is nobody's. The maps: by uid."""
    owner = pod.controller
    if owner is None:
        return f"pod/{pod.name}"
    above = replicasets.get(owner.uid) or jobs.get(owner.uid)
    if above is not None and above.controller is not None:
        owner = above.controller
    return f"{owner.kind.lower()}/{owner.name}"


def pending_reason(pod: Object) -> tuple[str, str]:
    """Why it has no node: reason and message of its condition, without what preemption has to add."""
    told = pod.view.status.condition("PodScheduled")
    if told is None or told.status == "True":
        return "Pending", UNPLACED
    return told.reason or "Pending", told.message.partition(" preemption: ")[0] or told.reason


def unwell_reason(pod: Object) -> tuple[str, str]:
    """Why it is on a node and not ready: what `kubectl get pods` shows, and what its containers say."""
    document = pod.document()
    shown = summary(document).status
    status = document.get("status", {})
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        message = dig(container, "state", "waiting", "message", default="")
        if message:
            return shown, f"{message} (container {container['name']})"
        last = dig(container, "state", "terminated", default=None) or dig(container, "lastState", "terminated")
        if last and last.get("exitCode"):
            return shown, f"container {container['name']} exited with {last['exitCode']}"
    return shown, str(dig(pod.document(), "status", "message", default="") or "not ready")


class _Row(msgspec.Struct):
    since_s: float
    names: list[str]


def troubles(found: Sequence[tuple[Object, str, tuple[str, str], float]]) -> tuple[Trouble, ...]:
    """found: pod, whose it is, (reason, message), when it was made. The largest group first."""
    rows: dict[tuple[str, str, str, str], _Row] = {}
    for pod, whose, why, made_s in found:
        # pods of nobody that wait for one reason are one group, too
        whose = "pods" if whose.startswith("pod/") else whose
        row = rows.setdefault((pod.namespace, whose, *why), _Row(made_s, []))
        row.since_s = min(row.since_s, made_s)
        row.names.append(pod.name)
    ordered = sorted(rows.items(), key=lambda item: (-len(item[1].names), item[0]))
    return tuple(
        Trouble(
            namespace=namespace,
            workload=f"pod/{row.names[0]}" if whose == "pods" and len(row.names) == 1 else whose,
            pods=len(row.names),
            reason=reason,
            message=message,
            since_seconds=row.since_s,
            names=tuple(sorted(row.names)),
        )
        for (namespace, whose, reason, message), row in ordered
    )


# -- workloads


def is_on_its_own(found: Object) -> bool:
    """Nobody made it but the user."""
    return found.controller is None


def counts(kind: Kind, document: Document) -> tuple[int, int, bool]:
    """Ready, wanted, and whether that is all it wants. Jobs: completions instead."""
    spec, status = document.get("spec") or {}, document.get("status") or {}
    seen = status.get("observedGeneration", 0) >= dig(document, "metadata", "generation", default=0)
    if kind is DAEMONSET:
        wanted, ready = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
        return ready, wanted, seen and ready >= wanted and status.get("updatedNumberScheduled", 0) >= wanted
    if kind.name == "Job":
        wanted = spec.get("completions") or 1
        done = any(c["type"] == "Complete" and c["status"] == "True" for c in status.get("conditions", ()))
        return status.get("succeeded", 0), wanted, done
    wanted, ready = spec.get("replicas", 1), status.get("readyReplicas", 0)
    whole = seen and ready >= wanted and status.get("replicas", 0) <= wanted
    if kind is DEPLOYMENT or kind.name == "StatefulSet":
        whole = whole and status.get("updatedReplicas", 0) >= wanted
    return ready, wanted, whole


def note_of(kind: Kind, document: Document) -> str:
    """What a count does not say: that it failed, stopped, or is held."""
    conditions: Counter[str] = Counter()
    reasons: dict[str, str] = {}
    for one in dig(document, "status", "conditions", default=()):
        conditions[f"{one.get('type')}={one.get('status')}"] += 1
        reasons[str(one.get("type"))] = str(one.get("reason", ""))
    if conditions["Failed=True"]:
        return f"failed: {reasons['Failed']}"
    if conditions["Progressing=False"]:
        return f"stopped: {reasons['Progressing']}"
    if dig(document, "spec", "suspend"):
        return "suspended"
    if dig(document, "spec", "paused"):
        return "paused"
    return ""
