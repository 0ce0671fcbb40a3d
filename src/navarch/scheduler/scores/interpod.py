"""The score of pods that would rather be near certain others, or far from them; both sides are heard."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from navarch.scheduler.filters.interpod import counted, in_domain, speaks_of
from navarch.scheduler.question import Question, Score
from navarch.scheduler.table import Mask


def _interpod(q: Question, able: Mask) -> npt.NDArray[Any] | None:
    table, pod = q.table, q.pod
    if not pod.preferred and not table.held:
        return None
    total = np.zeros(table.width, np.int64)
    for wish in pod.preferred:
        total += wish.weight * in_domain(table, wish.term.topology_key, counted(table, (wish.term,)))
    for wish, counts in table.preferences():
        if speaks_of(table, wish.term, pod):
            total += wish.weight * in_domain(table, wish.term.topology_key, counts)
    least, most = int(total[able].min()), int(total[able].max())
    if least == most:
        return None
    found: npt.NDArray[Any] = 100 * (total - least) // (most - least)
    return found


INTER_POD_AFFINITY = Score("InterPodAffinity", 2, _interpod)
