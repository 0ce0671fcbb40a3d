"""What makes one possible node better than another: all scores by name, with Kubernetes' weights."""

from __future__ import annotations

from navarch.scheduler.question import Score
from navarch.scheduler.scores.devices import DYNAMIC_RESOURCES
from navarch.scheduler.scores.interpod import INTER_POD_AFFINITY
from navarch.scheduler.scores.node import IMAGE_LOCALITY, NODE_AFFINITY, TAINT_TOLERATION
from navarch.scheduler.scores.resources import BALANCED_ALLOCATION, LEAST_ALLOCATED
from navarch.scheduler.scores.spread import POD_TOPOLOGY_SPREAD

ALL: tuple[Score, ...] = (
    TAINT_TOLERATION,
    NODE_AFFINITY,
    LEAST_ALLOCATED,
    POD_TOPOLOGY_SPREAD,
    INTER_POD_AFFINITY,
    BALANCED_ALLOCATION,
    IMAGE_LOCALITY,
    DYNAMIC_RESOURCES,
)

__all__ = ["ALL"]
