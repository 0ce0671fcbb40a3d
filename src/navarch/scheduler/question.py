"""The question put to filters and scores: may, and how well would, this pod run on these nodes?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from navarch.scheduler.facts import PodFacts, Spread
from navarch.scheduler.table import Mask, Table

ALL_NODES = slice(None)


class News(StrEnum):
    """What may happen in a cluster that lets a refused pod fit after all."""

    NODE_ADDED = "a node was added"
    NODE_ROOM = "a node's allocatable grew or changed"
    NODE_LABELS = "a node's labels changed"
    NODE_TAINTS = "a node's taints or its schedulability changed"
    POD_BOUND = "a pod was bound"
    POD_GONE = "a pod left its node"
    POD_LABELS = "a pod's labels changed"
    NAMESPACE = "a namespace's labels changed"
    CLAIM = "a claim or a volume came or changed"
    DEVICE = "devices, or a claim or class of them, came, changed or went"


@dataclass(frozen=True, slots=True)
class Question:
    """at: the nodes asked about. usual: how pods of this pod's application are spread where it says nothing itself.

    left: of all nodes, those that no filter before has rejected; None for all. What costs much is asked of them alone.
    """

    table: Table
    pod: PodFacts
    at: slice = field(default_factory=lambda: ALL_NODES)
    usual: tuple[Spread, ...] = ()
    left: Mask | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why `nodes` cannot take the pod. final: removing pods from them would not help; a mask where that differs.

    reason: counted and told to users in these words, those that Kubernetes uses. of_pod: it is said of the pod, and no
    nodes are counted.
    """

    reason: str
    nodes: Mask
    final: bool | Mask
    of_pod: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """ask: the rejections, none where the filter has nothing to say. wakes: the news that may change its answer."""

    name: str
    ask: Callable[[Question], Iterable[Rejection]]
    wakes: frozenset[News]


@dataclass(frozen=True, slots=True)
class Score:
    """ask: 0 to 100 for every node (what stands under nodes that are not `feasible` does not matter), or None
    where the score has no opinion."""

    name: str
    weight: int
    ask: Callable[[Question, Mask], npt.NDArray[Any] | None]


def by_domain(domains: npt.NDArray[np.int64], values: npt.NDArray[Any], length: int) -> npt.NDArray[np.int64]:
    """Sums of `values` by domain number, indexed by it."""
    return np.bincount(domains, weights=values, minlength=length).astype(np.int64)
