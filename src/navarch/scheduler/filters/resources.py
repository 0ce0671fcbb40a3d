"""Filters of what a node has only so much of: host ports, cpu, memory, pods, extended resources.

Source: https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.scheduler.facts import PodFacts, Port
from navarch.scheduler.question import Filter, News, Question, Rejection
from navarch.scheduler.requests import PODS

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


NODE_PORTS = Filter("NodePorts", _ports, frozenset({News.NODE_ADDED, News.POD_GONE}))
NODE_RESOURCES_FIT = Filter("NodeResourcesFit", _fit, frozenset({News.NODE_ADDED, News.NODE_ROOM, News.POD_GONE}))
