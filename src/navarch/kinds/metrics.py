"""NodeMetrics and PodMetrics: what nodes and pods use at the moment. None is stored: the nodes are asked.

They are served where somebody measures, beside the kinds of `kinds.ALL`; an APIService for their group and version puts
another server in their place.

Source: https://kubernetes.io/docs/tasks/debug/debug-cluster/resource-metrics-pipeline/
"""

from __future__ import annotations

from datetime import datetime

from navarch.kinds.kind import Column, Kind
from navarch.kinds.metrics_published import GROUP, VERSION, definition_of
from navarch.objects import quantity
from navarch.objects.value import Document, dig


def _node(resource: str) -> Column:
    def cell(found: Document, now: datetime) -> str:
        return str(dig(found, "usage", resource, default=""))

    return Column(resource, cell, description=f"How much {resource} it uses.")


def _pod(resource: str) -> Column:
    def cell(found: Document, now: datetime) -> str:
        return quantity.total(dig(one, "usage", resource, default=0) for one in found.get("containers") or ())

    return Column(resource, cell, description=f"How much {resource} its containers use.")


_WINDOW = Column("Window", ".window", description="The time over which it was measured.")


NODEMETRICS = Kind(
    group=GROUP,
    version=VERSION,
    name="NodeMetrics",
    definition=definition_of("NodeMetrics"),
    plural="nodes",
    singular="nodemetrics",
    namespaced=False,
    verbs=("get", "list"),
    counts_generation=False,
    columns=(_node("cpu"), _node("memory"), _WINDOW),
    age=False,
)

PODMETRICS = Kind(
    group=GROUP,
    version=VERSION,
    name="PodMetrics",
    definition=definition_of("PodMetrics"),
    plural="pods",
    singular="podmetrics",
    verbs=("get", "list"),
    counts_generation=False,
    columns=(_pod("cpu"), _pod("memory"), _WINDOW),
    age=False,
)

METERED = (NODEMETRICS, PODMETRICS)
