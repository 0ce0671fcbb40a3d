"""The plan: where one pod goes, given the table, or why it goes nowhere. No IO, no time, no memory of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from navarch.scheduler import filters, scores
from navarch.scheduler.facts import PodFacts, Spread
from navarch.scheduler.question import ALL_NODES, Filter, Question
from navarch.scheduler.table import Ints, Mask, Table


@dataclass(frozen=True, slots=True)
class Placement:
    """node: the best there is. feasible: among how many it was chosen."""

    node: str
    feasible: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """reasons: the number of nodes for each; a node may have several. rejected_by: names of filters.

    helpable: numbers of the nodes where taking pods away might make room.
    """

    nodes: int
    reasons: Mapping[str, int] = field(default_factory=dict)
    rejected_by: frozenset[str] = frozenset()
    helpable: tuple[int, ...] = ()

    def message(self, preemption: str = "") -> str:
        """In the words of Kubernetes: `0/3 nodes are available: 1 Insufficient cpu, 2 Too many pods.`"""
        if not self.nodes:
            return "no nodes available to schedule pods"
        return told(self.nodes, self.reasons) + (f" {preemption}" if preemption else "")


def told(nodes: int, reasons: Mapping[str, int]) -> str:
    counted = sorted(f"{number} {reason}" if number else reason for reason, number in reasons.items())
    return f"0/{nodes} nodes are available" + (f": {', '.join(counted)}." if counted else ".")


def feasible(table: Table, pod: PodFacts, asked: Sequence[Filter] = filters.ALL) -> Mask | Refusal:
    """The nodes that can take the pod, or the reasons why there are none."""
    left = table.present.copy()
    question = Question(table, pod, left=left)
    helpable = np.zeros(table.width, np.bool_)
    reasons: dict[str, int] = {}
    rejected_by: set[str] = set()
    for one in asked:
        out = np.zeros(table.width, np.bool_)
        stuck = np.zeros(table.width, np.bool_)
        for rejection in one.ask(question):
            hit = rejection.nodes & left
            number = int(np.count_nonzero(hit))
            if number:
                reasons[rejection.reason] = 0 if rejection.of_pod else reasons.get(rejection.reason, 0) + number
                out |= hit
                stuck |= hit & rejection.final
        if out.any():
            rejected_by.add(one.name)
            helpable |= out & ~stuck
            left &= ~out
            if not left.any():
                break
    if left.any():
        return left
    numbers = tuple(int(index) for index in np.flatnonzero(helpable))
    return Refusal(table.size, reasons, frozenset(rejected_by), numbers)


def fits(table: Table, pod: PodFacts, index: int, asked: Sequence[Filter] = filters.ALL) -> bool:
    """Whether one node, as the table has it now, can take the pod."""
    question = Question(table, pod, slice(index, index + 1))
    return not any(bool(rejection.nodes[0]) for one in asked for rejection in one.ask(question))


def place(table: Table, pod: PodFacts, fraction: float, usual: tuple[Spread, ...] = ()) -> Placement | Refusal:
    """Choose a node for `pod`.

    fraction: in [0, 1), decides among equals. usual: see `Question.usual`.
    """
    able = feasible(table, pod)
    if isinstance(able, Refusal):
        return able
    candidates = np.flatnonzero(able)
    if len(candidates) > 1:
        total = rank(Question(table, pod, ALL_NODES, usual), able)
        best = total[candidates]
        candidates = candidates[best == best.max()]
    index = int(candidates[int(fraction * len(candidates))])
    return Placement(table.names[index], int(np.count_nonzero(able)))


def rank(question: Question, able: Mask) -> Ints:
    """The weighted sum of all scores for every node; only those under `able` mean anything."""
    total = np.zeros(question.table.width, np.int64)
    for score in scores.ALL:
        points = score.ask(question, able)
        if points is not None:
            total += score.weight * points.astype(np.int64, copy=False)
    return total
