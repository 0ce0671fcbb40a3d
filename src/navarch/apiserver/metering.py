"""`metrics.k8s.io`: what nodes and pods use, put together from what each node says when it is asked.

Who measures is a seam: simulated nodes in the library, the nodes' agents elsewhere. A node that does not answer is left
out, and so is a pod of which not every container was measured.

Source: https://kubernetes.io/docs/tasks/debug/debug-cluster/resource-metrics-pipeline/
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from navarch.apiserver import options, refusals, render, verb_read
from navarch.apiserver.call import Call
from navarch.apiserver.context import Context
from navarch.apiserver.meter import Amount, NodeUsage
from navarch.apiserver.negotiate import Form
from navarch.apiserver.selection import Selection
from navarch.base.clock import rfc3339
from navarch.base.errors import NotFound, Retryable, Unavailable
from navarch.kinds import NODE, POD
from navarch.kinds.kind import Kind
from navarch.kinds.metrics import NODEMETRICS, PODMETRICS
from navarch.kinds.object import Object
from navarch.objects.value import Document, dig
from navarch.wire.message import Response

AT_ONCE = 64
KIB = 1024


async def answer(context: Context, call: Call, kind: Kind, form: Form) -> Response:
    """Raises: NotFound, MethodNotAllowed."""
    if call.subresource:
        raise refusals.no_such_path()
    if call.verb not in kind.verbs:
        raise refusals.not_allowed(kind, call.verb)
    asked = options.list_options(call.request) if call.verb == "list" else options.ListOptions()
    fields = f"metadata.name={call.name}" if call.name else asked.fields
    chosen = Selection(kind, "", asked.labels, fields)
    measured = kind is NODEMETRICS
    source = context.state.list(NODE) if measured else context.state.list(POD, call.namespace)
    wanted = [one for one in source if chosen.matches(one)]
    found = await (_nodes(context, wanted) if measured else _pods(context, wanted))
    if call.verb == "list":
        return render.many(context, call, kind, verb_read.Page(found, context.state.feed.revision), form)
    if not found:
        name = call.name if measured else f"{call.namespace}/{call.name}"
        resource = f"{kind.one}.{kind.group}"
        raise NotFound(f'{resource} "{name}" not found', kind=kind.one, name=name)
    return render.one(context, call, kind, found[0], form)


async def _nodes(context: Context, nodes: Sequence[Object]) -> list[Object]:
    usage = await _asked(context, (node.name for node in nodes))
    return [
        Object.of(
            NODEMETRICS, {**_head(node, NODEMETRICS, usage[node.name]), "usage": _amounts(usage[node.name].total)}
        )
        for node in nodes
        if node.name in usage
    ]


async def _pods(context: Context, pods: Sequence[Object]) -> list[Object]:
    running = [pod for pod in pods if pod.view.spec.node_name and pod.view.status.phase == "Running"]
    usage = await _asked(context, (pod.view.spec.node_name for pod in running))
    found: list[Object] = []
    for pod in running:
        node = usage.get(pod.view.spec.node_name)
        amounts = node.pods.get(pod.uid) if node is not None else None
        names = [one["name"] for one in dig(pod.document(), "spec", "containers", default=())]
        if node is None or amounts is None or any(name not in amounts for name in names):
            continue
        containers = [{"name": name, "usage": _amounts(amount)} for name, amount in amounts.items()]
        found.append(Object.of(PODMETRICS, {**_head(pod, PODMETRICS, node), "containers": containers}))
    return found


def _head(about: Object, kind: Kind, usage: NodeUsage) -> Document:
    metadata: Document = {"name": about.name, "creationTimestamp": rfc3339(usage.at)}
    if about.namespace:
        metadata["namespace"] = about.namespace
    if about.labels:
        metadata["labels"] = dict(about.labels)
    return {
        "kind": kind.name,
        "apiVersion": kind.api_version,
        "metadata": metadata,
        "timestamp": rfc3339(usage.at),
        "window": f"{usage.window_s:g}s",
    }


def _amounts(amount: Amount) -> Document:
    cpu = f"{amount.cpu_nano}n" if amount.cpu_nano else "0"
    return {"cpu": cpu, "memory": f"{amount.memory_bytes // KIB}Ki" if amount.memory_bytes >= KIB else "0"}


async def _asked(context: Context, names: Iterable[str]) -> Mapping[str, NodeUsage]:
    """What the nodes of these names say; those that do not answer are left out."""
    meter = context.meter
    if meter is None:
        raise Unavailable("nobody measures what nodes and pods use in this cluster")
    usage: dict[str, NodeUsage] = {}

    async def ask(node: str) -> None:
        try:
            usage[node] = await meter.measure(node)
        except (Unavailable, Retryable):
            silent.append(node)

    silent: list[str] = []
    distinct = list(dict.fromkeys(names))
    for begin in range(0, len(distinct), AT_ONCE):
        async with asyncio.TaskGroup() as group:
            for node in distinct[begin : begin + AT_ONCE]:
                group.create_task(ask(node))
    return usage
