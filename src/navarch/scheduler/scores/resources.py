"""Scores of how full a node is and how evenly.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/resource-bin-packing/
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from navarch.scheduler.question import Question, Score
from navarch.scheduler.requests import CPU, MEMORY
from navarch.scheduler.table import Mask


def _least_allocated(q: Question, able: Mask) -> npt.NDArray[Any]:
    allocatable = q.table.allocatable[:2]
    wanted = np.array([[q.pod.scored.get(CPU, 0)], [q.pod.scored.get(MEMORY, 0)]], np.int64)
    free = np.maximum(allocatable - q.table.scored - wanted, 0)
    known = allocatable > 0
    points = np.where(known, free * 100 // np.where(known, allocatable, 1), 0)
    found: npt.NDArray[Any] = points.sum(axis=0) // np.maximum(known.sum(axis=0), 1)
    return found


def _balanced(q: Question, able: Mask) -> npt.NDArray[Any]:
    allocatable = q.table.allocatable[:2]
    wanted = np.array([[q.pod.requests.get(CPU, 0)], [q.pod.requests.get(MEMORY, 0)]], np.int64)
    used = np.minimum((q.table.requested[:2] + wanted) / np.maximum(allocatable, 1), 1.0)
    both = (allocatable > 0).all(axis=0)
    deviation = np.where(both, np.abs(used[0] - used[1]) / 2, 0.0)
    found: npt.NDArray[Any] = (1.0 - deviation) * 100
    return found


LEAST_ALLOCATED = Score("NodeResourcesFit", 1, _least_allocated)
BALANCED_ALLOCATION = Score("NodeResourcesBalancedAllocation", 1, _balanced)
