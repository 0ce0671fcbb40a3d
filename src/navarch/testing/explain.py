"""Why something did not come about: the states and events around an object, as a person would gather them by hand;
and, where nothing is asked for by name, all of a cluster that is not as it should be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from navarch.kinds import (
    DAEMONSET,
    DEPLOYMENT,
    EVENT,
    JOB,
    NODE,
    POD,
    REPLICASET,
    REPLICATIONCONTROLLER,
    STATEFULSET,
)
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.pod.columns import summary
from navarch.objects.value import Document, dig
from navarch.testing.wait import Target

LINES = 12
WORKLOADS = (DEPLOYMENT, STATEFULSET, DAEMONSET, REPLICASET, REPLICATIONCONTROLLER, JOB)
BAD_CONDITIONS = (("Failed", "True"), ("Progressing", "False"), ("ReplicaFailure", "True"))


class Reads(Protocol):
    """What `apiserver.call.Reads` offers of reading."""

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None: ...

    def list(self, kind: Kind, namespace: str = "") -> Sequence[Object]: ...


def explain(reads: Reads, wanted: Target) -> str:
    """Several lines: the object's conditions, its pods if it has some, the events about any of them, sick nodes."""
    found = reads.get(wanted.kind, wanted.namespace, wanted.name)
    if found is None:
        near = sorted(other.name for other in reads.list(wanted.kind, wanted.namespace))
        return f"{wanted.text} does not exist; of its kind there are: {', '.join(near[:LINES]) or 'none'}"
    lines = [f"{wanted.text}:", *_conditions(found)]
    family = _family(reads, found)
    pods = [one for one in family if one.kind is POD and one is not found]
    lines += [f"  pod {line}" for line in map(_pod_line, pods[:LINES])]
    if len(pods) > LINES:
        lines.append(f"  … and {len(pods) - LINES} more pods")
    lines += event_lines(reads, found.namespace, {one.uid for one in family})
    lines += [f"  node {node.name} is not ready" for node in reads.list(NODE) if not node.view.ready][:LINES]
    return "\n".join(lines)


def troubles(reads: Reads) -> list[str]:
    """What is not as it should be: workloads, pods with their reasons, nodes; a line each. Empty when all is well."""
    workloads: list[str] = []
    for kind in WORKLOADS:
        for found in reads.list(kind):
            line = _workload_line(found)
            if line:
                workloads.append(line)
    pods = [pod for pod in reads.list(POD) if _ails(pod)]
    nodes = [f"node/{node.name}: {_node_line(node)}" for node in reads.list(NODE) if _node_line(node)]
    return [
        *_first(workloads, "workloads"),
        *_first([f"pod/{pod.name} in {pod.namespace}: {_pod_trouble(pod)}" for pod in pods], "pods"),
        *_first(nodes, "nodes"),
    ]


def _first(lines: list[str], what: str) -> list[str]:
    more = len(lines) - LINES
    shown = [f"  {line}" for line in lines[:LINES]]
    return [*shown, f"  … and {more} more {what}"] if more > 0 else shown


def _workload_line(found: Object) -> str:
    """ "" when it is well, or is another's."""
    if found.controller is not None and found.kind is not JOB:
        return ""
    document = found.document()
    name = f"{found.kind.one}/{found.name} in {found.namespace}"
    bad = [
        one
        for one in dig(document, "status", "conditions", default=())
        if (one.get("type"), one.get("status")) in BAD_CONDITIONS
    ]
    why = "; ".join(f"{one['type']}={one['status']}: {one.get('message') or one.get('reason')}" for one in bad)
    if dig(document, "metadata", "deletionTimestamp"):
        finalizers = ", ".join(dig(document, "metadata", "finalizers", default=())) or "its pods"
        return f"{name}: is being deleted, waits for {finalizers}"
    if found.kind is JOB:
        return f"{name}: {why}" if why else ""
    if found.kind is DAEMONSET:
        wanted = dig(document, "status", "desiredNumberScheduled", default=0)
        ready = dig(document, "status", "numberReady", default=0)
    else:
        wanted = dig(document, "spec", "replicas", default=1)
        ready = dig(document, "status", "readyReplicas", default=0)
    if ready >= wanted and not why:
        return ""
    return f"{name}: {ready}/{wanted} ready" + (f" ({why})" if why else "")


def _ails(pod: Object) -> bool:
    view = pod.view
    return view.terminating or view.status.phase == "Failed" or not (view.terminal or view.ready)


def _pod_trouble(pod: Object) -> str:
    """How it is, and the reason that says most: of the scheduler, or of the container that is not well."""
    document = pod.document()
    line = summary(document)
    told = next(
        (
            one.get("message", "")
            for one in dig(document, "status", "conditions", default=())
            if one.get("type") == "PodScheduled" and one.get("status") == "False"
        ),
        "",
    )
    if not told:
        told = next(filter(None, map(_container_trouble, _containers(document))), "")
    finalizers = dig(document, "metadata", "finalizers", default=())
    if pod.view.terminating and finalizers:
        told = f"waits for {', '.join(finalizers)}"
    node = pod.view.spec.node_name or "no node"
    text = f"{line.status}, {line.ready}/{line.total} ready, {line.restarts} restarts, on {node}"
    return f"{text}: {told}" if told else text


def _containers(document: Document) -> list[Document]:
    status = document.get("status") or {}
    return [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]


def _container_trouble(container: Document) -> str:
    waiting = dig(container, "state", "waiting", "message", default="")
    ended = dig(container, "state", "terminated", default=None) or dig(container, "lastState", "terminated", default={})
    code = ended.get("exitCode", 0)
    if not (waiting or code):
        return ""
    last = f"exited with {code}" + (f" ({ended['message']})" if ended.get("message") else "") if code else ""
    return f"container {container['name']}: " + "; ".join(text for text in (waiting, last) if text)


def _node_line(node: Object) -> str:
    if not node.view.ready:
        return "is not ready"
    return "takes no new pods (cordoned)" if node.view.spec.unschedulable else ""


def event_lines(reads: Reads, namespace: str, uids: set[str] | None = None) -> list[str]:
    """The newest events last; uids: of the objects they are about, None for all."""
    found = [event.document() for event in reads.list(EVENT, namespace)]
    if uids is not None:
        found = [event for event in found if dig(event, "involvedObject", "uid") in uids]
    found.sort(key=lambda event: (str(event.get("lastTimestamp") or ""), event["metadata"].get("resourceVersion", "")))
    lines = []
    for event in found[-LINES:]:
        about = event.get("involvedObject", {})
        times = f" (×{event['count']})" if event.get("count", 1) > 1 else ""
        who = f"{about.get('kind', '').lower()}/{about.get('name')}"
        lines.append(f"  {event.get('type')} {event.get('reason')} {who}: {event.get('message')}{times}")
    return lines


def _conditions(found: Object) -> list[str]:
    document = found.document()
    lines = []
    for one in dig(document, "status", "conditions", default=()):
        why = ": ".join(text for text in (one.get("reason"), one.get("message")) if text)
        lines.append(f"  {one.get('type')}={one.get('status')}{f' ({why})' if why else ''}")
    counts = {
        name: value
        for name, value in (document.get("status") or {}).items()
        if isinstance(value, int) and not isinstance(value, bool)
    }
    if counts:
        lines.append("  status: " + ", ".join(f"{name} {value}" for name, value in counts.items()))
    if found.kind is POD:
        lines.append(f"  {_pod_line(found)}")
    return lines


def _pod_line(pod: Object) -> str:
    line = summary(pod.document())
    node = pod.view.spec.node_name or "no node"
    return f"{pod.name}: {line.status}, {line.ready}/{line.total} ready, {line.restarts} restarts, on {node}"


def _family(reads: Reads, found: Object) -> list[Object]:
    """The object and all that it owns, directly or not."""
    family = [found]
    owners = {found.uid}
    for kind in (REPLICASET, POD):
        below = [one for one in reads.list(kind, found.namespace) if owners & set(one.owners)]
        owners |= {one.uid for one in below}
        family += [one for one in below if one is not found]
    return family
