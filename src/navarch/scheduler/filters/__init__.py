"""What makes a node impossible for a pod: one file for what belongs together, all of them named here, in order.

The first filter that rejects a node is the one whose reason is told, so the order is Kubernetes' own.
"""

from __future__ import annotations

from navarch.scheduler.filters.devices import DYNAMIC_RESOURCES
from navarch.scheduler.filters.interpod import INTER_POD_AFFINITY
from navarch.scheduler.filters.limits import NODE_VOLUME_LIMITS
from navarch.scheduler.filters.node import NAMED_NODES, NODE_AFFINITY, NODE_NAME, NODE_UNSCHEDULABLE, TAINT_TOLERATION
from navarch.scheduler.filters.resources import NODE_PORTS, NODE_RESOURCES_FIT
from navarch.scheduler.filters.spread import POD_TOPOLOGY_SPREAD
from navarch.scheduler.filters.volumes import VOLUME_BINDING
from navarch.scheduler.question import Filter

ALL: tuple[Filter, ...] = (
    NAMED_NODES,
    NODE_UNSCHEDULABLE,
    NODE_NAME,
    TAINT_TOLERATION,
    NODE_AFFINITY,
    NODE_PORTS,
    NODE_RESOURCES_FIT,
    NODE_VOLUME_LIMITS,
    VOLUME_BINDING,
    POD_TOPOLOGY_SPREAD,
    INTER_POD_AFFINITY,
    DYNAMIC_RESOURCES,
)

__all__ = ["ALL"]
