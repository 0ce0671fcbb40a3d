"""What simulated containers use at a moment: their behaviours, asked. Pure but for the functions that tests bring."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from navarch.apiserver.meter import Amount, NodeUsage
from navarch.kinds.object import Object
from navarch.objects import quantity
from navarch.objects.value import Document
from navarch.testing.behaviour import Behaviour, Load, Usage

WINDOW_S = 15.0

Chosen = Callable[[Object, Document], Behaviour]
"""The behaviour of a container of a pod."""


def running(pod: Object) -> list[Document]:
    """The containers (their specs) that the pod's status says run."""
    status = pod.view.status
    if status.phase != "Running":
        return []
    names = {one.name for one in status.container_statuses if one.state.running is not None}
    return [one for one in pod.document()["spec"]["containers"] if one["name"] in names]


def node_usage(pods: Iterable[Object], every: Iterable[Object], chosen: Chosen, now: datetime) -> NodeUsage:
    """pods: of the node. every: all pods, gone through only where a behaviour's usage is a function."""
    counted: Counter[tuple[str, int]] | None = None
    found: dict[str, Mapping[str, Amount]] = {}
    for pod in pods:
        amounts: dict[str, Amount] = {}
        for container in running(pod):
            how = chosen(pod, container)
            if counted is None and (callable(how.cpu) or callable(how.memory)):
                counted = Counter((one.namespace, id(chosen(one, own))) for one in every for own in running(one))
            replicas = max(1, counted[pod.namespace, id(how)]) if counted is not None else 1
            began = pod.view.status.start_time or now
            load = Load(now, (now - began).total_seconds(), replicas, pod.name, container["name"])
            amounts[container["name"]] = Amount(_nano(how.cpu, load), _nano(how.memory, load) // quantity.NANO)
        if amounts:
            found[pod.uid] = amounts
    each = [amount for amounts in found.values() for amount in amounts.values()]
    total = Amount(sum(one.cpu_nano for one in each), sum(one.memory_bytes for one in each))
    return NodeUsage(now, WINDOW_S, total, found)


def _nano(usage: Usage, load: Load) -> int:
    """Raises: BadQuantity, for a function that gives none."""
    value = usage(load) if callable(usage) else usage
    return 0 if value is None else max(0, quantity.nano(value))
