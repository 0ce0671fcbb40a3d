"""The score of even spreading: what constraints that may be broken ask for, and the usual spreading of an application.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/#internal-default-constraints
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from navarch.scheduler.filters.spread import considered, counted, with_all_keys
from navarch.scheduler.question import Question, Score, by_domain
from navarch.scheduler.table import Mask

HOSTNAME = "kubernetes.io/hostname"


def _spread(q: Question, able: Mask) -> npt.NDArray[Any] | None:
    table, pod = q.table, q.pod
    spreads = pod.spread_soft
    labelled = table.present
    if spreads:
        labelled = with_all_keys(table, spreads)
    elif not pod.spread_hard:
        spreads = q.usual
    if not spreads:
        return None
    asked = able & labelled
    cost = np.zeros(table.width)
    for spread in spreads:
        domains = table.domains(spread.topology_key)
        length = table.domain_count(spread.topology_key)
        if length == 1:
            continue  # no node has the label
        counts = counted(table, spread)
        if spread.topology_key == HOSTNAME:
            number, here = int(np.count_nonzero(asked)), counts
        else:
            number = int(np.count_nonzero(by_domain(domains, asked, length)[1:]))
            eligible = labelled & considered(table, pod, spread)
            here = by_domain(domains, counts * eligible, length)[domains]
        weight = math.log(number + 2)
        cost += np.where(domains > 0, here * weight + spread.max_skew - 1, 0)
    if not asked.any():
        return None
    cost = np.round(cost)
    least, most = cost[asked].min(), cost[asked].max()
    if not most:
        return None
    found: npt.NDArray[Any] = np.where(asked, 100 * (most + least - cost) / most, 0)
    return found


POD_TOPOLOGY_SPREAD = Score("PodTopologySpread", 2, _spread)
