"""The score of nodes where claims get what they want most: the first of the alternatives that a request lists.

Source: https://github.com/kubernetes/enhancements/tree/master/keps/sig-scheduling/4816-dra-prioritized-list
"""

from __future__ import annotations

import numpy as np

from navarch.scheduler.devices.search import Found
from navarch.scheduler.question import Question, Score
from navarch.scheduler.table import Ints, Mask

MOST_WAYS = 8


def _points(found: Found) -> int:
    total = 0
    for picks in found:
        for request, asked in {pick.request.name: (pick.request, pick.asked) for pick in picks}.values():
            if request.first_available:
                total += MOST_WAYS - request.first_available.index(asked)
    return total


def _alternatives(q: Question, able: Mask) -> Ints | None:
    if not q.pod.device_claims:
        return None
    open = [claim for claim in q.table.devices.of(q.pod) if claim.shape.status.allocation is None]
    if not any(request.first_available for claim in open for request in claim.shape.spec.devices.requests):
        return None
    ask = q.table.devices.answers(open)
    points = np.zeros(q.table.width, np.int64)
    for index in np.flatnonzero(able):
        node = q.table.nodes[index]
        answer = "" if node is None else ask(node)
        points[index] = 0 if isinstance(answer, str) else _points(answer)
    most = int(points.max(initial=0))
    return points * 100 // most if most else None


DYNAMIC_RESOURCES = Score("DynamicResources", 2, _alternatives)
