"""Why something did not come about: the states and events around an object, as a person would gather them by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from navarch.kinds import EVENT, NODE, POD, REPLICASET
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.pod.columns import summary
from navarch.objects.value import dig
from navarch.testing.wait import Target

LINES = 12


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
