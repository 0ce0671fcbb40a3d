"""Scores of how full a node is and how evenly.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/resource-bin-packing/
"""

from __future__ import annotations

import numpy as np

from navarch.scheduler.question import Question, Score
from navarch.scheduler.requests import CPU, MEMORY
from navarch.scheduler.table import Ints, Load, Mask


def _least_allocated(q: Question, able: Mask) -> Ints:
    cpu, memory = q.pod.scored.get(CPU, 0), q.pod.scored.get(MEMORY, 0)

    def ask(load: Load) -> Ints:
        allocatable = load.allocatable[:2]
        free = np.maximum(allocatable - load.scored - np.array([[cpu], [memory]], np.int64), 0)
        known = allocatable > 0
        points = np.where(known, free * 100 // np.where(known, allocatable, 1), 0)
        found: Ints = points.sum(axis=0) // np.maximum(known.sum(axis=0), 1)
        return found

    return q.table.per_load(("least allocated", cpu, memory), ask)


def _balanced(q: Question, able: Mask) -> Ints:
    cpu, memory = q.pod.requests.get(CPU, 0), q.pod.requests.get(MEMORY, 0)

    def ask(load: Load) -> Ints:
        allocatable = load.allocatable[:2]
        wanted = np.array([[cpu], [memory]], np.int64)
        used = np.minimum((load.requested[:2] + wanted) / np.maximum(allocatable, 1), 1.0)
        both = (allocatable > 0).all(axis=0)
        deviation = np.where(both, np.abs(used[0] - used[1]) / 2, 0.0)
        found: Ints = ((1.0 - deviation) * 100).astype(np.int64)
        return found

    return q.table.per_load(("balanced", cpu, memory), ask)


LEAST_ALLOCATED = Score("NodeResourcesFit", 1, _least_allocated)
BALANCED_ALLOCATION = Score("NodeResourcesBalancedAllocation", 1, _balanced)
