"""Which pods cost the least to lose: the order in which a controller that has too many deletes them.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#scaling-a-replicaset
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from functools import cmp_to_key

from navarch.kinds.object import Object
from navarch.kinds.pod import Pod

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}
_COST_LIMIT = 2**31


def cheapest_first(pods: Sequence[Object], related: Sequence[Object], now: datetime) -> list[Object]:
    """`pods` in the order in which they should go.

    related: active pods of the same application (of all revisions); of two pods, the one with more of them on its node
    goes first.
    """
    together = Counter(found.view.spec.node_name for found in related)
    rows = [_Row(found, together, now) for found in pods]
    return [row.pod for row in sorted(rows, key=cmp_to_key(_compare))]


def deletion_cost(pod: Pod) -> int:
    """What the annotation says; 0 where it is missing or no 32-bit number in its plain form."""
    text = pod.metadata.annotations.get(DELETION_COST, "")
    try:
        cost = int(text)
    except ValueError:
        return 0
    return cost if str(cost) == text and -_COST_LIMIT <= cost < _COST_LIMIT else 0


class _Row:
    """What is compared of a pod, worked out once."""

    __slots__ = ("created", "first", "now", "pod", "ready_at", "restarts", "uid")

    def __init__(self, found: Object, together: Counter[str], now: datetime) -> None:
        view: Pod = found.view
        node = view.spec.node_name
        self.pod = found
        self.uid = found.uid
        self.now = now
        self.ready_at = view.ready_since
        self.created = view.metadata.creation_timestamp
        self.first = (
            bool(node),
            _PHASES.get(view.status.phase, 0),
            view.ready,
            deletion_cost(view),
            -together[node],
        )
        restarts = max((status.restart_count for status in view.status.container_statuses), default=0)
        sidecars = max((status.restart_count for status in view.status.init_container_statuses), default=0)
        self.restarts = (restarts, sidecars)


def _compare(a: _Row, b: _Row) -> int:
    if a.first != b.first:
        return -1 if a.first < b.first else 1
    if a.first[2] and a.ready_at != b.ready_at:
        return _younger(a, b, a.ready_at, b.ready_at)
    if a.restarts != b.restarts:
        return -1 if a.restarts > b.restarts else 1
    if a.created != b.created:
        return _younger(a, b, a.created, b.created)
    return 0


def _younger(a: _Row, b: _Row, at: datetime | None, bt: datetime | None) -> int:
    """The younger goes first; ages of one power of two count as the same, and then the uid decides as a fixed die."""
    if at is None or bt is None:
        return -1 if at is None else 1
    difference = _age_rank(at, a.now) - _age_rank(bt, a.now)
    if difference:
        return difference
    return -1 if a.uid < b.uid else 1


def _age_rank(moment: datetime, now: datetime) -> int:
    age_us = (now - moment).total_seconds() * 1e6
    return int(math.log2(age_us * 1000)) if age_us > 0 else -1
