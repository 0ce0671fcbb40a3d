"""Filters of what a node has only so much of: host ports, cpu, memory, pods, extended resources.

Source: https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from navarch.scheduler.facts import PodFacts, Port
from navarch.scheduler.question import ALL_NODES, Filter, News, Question, Rejection
from navarch.scheduler.requests import PODS
from navarch.scheduler.table import Ints, Load, Mask

ANY = "0.0.0.0"


def _clash(wanted: Port, taken: Port) -> bool:
    same = wanted[0] == taken[0] and wanted[2] == taken[2]
    return same and (wanted[1] == taken[1] or ANY in (wanted[1], taken[1]))


def _ports(q: Question) -> Iterator[Rejection]:
    if not q.pod.ports:
        return
    wanted = q.pod.ports

    def ask(pod: PodFacts) -> int:
        return int(any(_clash(w, t) for t in pod.ports for w in wanted))

    taken = q.table.per_pods(("ports", wanted), ask)
    yield Rejection("node(s) didn't have free ports for the requested pod ports", taken[q.at] > 0, final=False)


def _fit(q: Question) -> Iterator[Rejection]:
    rows, wanted = q.table.demand(q.pod)
    if q.at == ALL_NODES and (_room(q, rows, wanted) | ~q.table.present).all():
        return
    allocatable = q.table.allocatable[rows, q.at]
    short = allocatable - q.table.requested[rows, q.at] < wanted[:, None]
    if not short.any():
        return
    never = allocatable < wanted[:, None]
    for row, number in enumerate(rows):
        if short[row].any():
            resource = q.table.resource(int(number))
            reason = "Too many pods" if resource == PODS else f"Insufficient {resource}"
            yield Rejection(reason, short[row], final=never[row])


def _room(q: Question, rows: Ints, wanted: Ints) -> Mask:
    """The nodes with room for the pod."""

    def ask(load: Load) -> Mask:
        enough: Mask = load.allocatable[rows] - load.requested[rows] >= wanted[:, None]
        found: Mask = np.logical_and.reduce(enough, axis=0)
        return found

    return q.table.per_load(("room", rows.tobytes(), wanted.tobytes()), ask)


NODE_PORTS = Filter("NodePorts", _ports, frozenset({News.NODE_ADDED, News.POD_GONE}))
NODE_RESOURCES_FIT = Filter("NodeResourcesFit", _fit, frozenset({News.NODE_ADDED, News.NODE_ROOM, News.POD_GONE}))
