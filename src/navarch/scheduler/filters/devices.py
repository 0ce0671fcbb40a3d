"""The filter of pods that claim devices: those that are allocated tie them to a place, others must be found there.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from navarch.kinds.object import Object
from navarch.scheduler.devices.search import CANNOT
from navarch.scheduler.devices.stock import Known
from navarch.scheduler.facts import NodeFacts, PodFacts
from navarch.scheduler.question import Filter, News, Question, Rejection
from navarch.scheduler.table import Mask, Table
from navarch.scheduler.terms import node_term_holds, node_term_key
from navarch.scheduler.views import NodeSelectorTerm


def near(q: Question, claim: Known) -> Mask | None:
    """The nodes that have the claim's devices; None for all, and where it has none yet."""
    has = claim.shape.status.allocation
    if has is None or has.node_selector is None:
        return None
    terms = has.node_selector.node_selector_terms
    key = ("devices", tuple(map(node_term_key, terms)))
    found: Mask = q.table.per_node(key, partial(_within, terms=terms), np.bool_)
    return found


def _within(node: NodeFacts, terms: tuple[NodeSelectorTerm, ...]) -> bool:
    return any(node_term_holds(term, node.name, node.labels) for term in terms)


def _devices(q: Question) -> Iterator[Rejection]:
    if not q.pod.device_claims:
        return
    stock, table = q.table.devices, q.table
    if said := stock.trouble(q.pod):
        yield Rejection(said, np.ones(table.width, np.bool_)[q.at], final=True, of_pod=True)
        return
    away = np.zeros(table.width, np.bool_)
    for claim in stock.of(q.pod):
        if (mask := near(q, claim)) is not None:
            away |= ~mask
    yield Rejection("resourceclaim not available on the node", away[q.at], final=True)
    open = [claim for claim in stock.of(q.pod) if claim.shape.status.allocation is None]
    if not open:
        return
    left = table.present if q.left is None else q.left
    ask = stock.answers(open)
    refused: dict[str, Mask] = {}
    for index in np.flatnonzero((left & ~away)[q.at]):
        node = table.nodes[q.at][index]
        answer = "" if node is None else ask(node)
        if isinstance(answer, str):
            refused.setdefault(answer, np.zeros(len(away[q.at]), np.bool_))[index] = True
    none = refused.pop(CANNOT, np.zeros(len(away[q.at]), np.bool_))
    yield Rejection("cannot allocate all claims", none, final=True)
    for reason, mask in refused.items():
        yield Rejection(reason, mask, final=True)


def unblock(table: Table, pod: PodFacts) -> tuple[Object | None, str]:
    """Of a pod that was refused, a claim to be freed of devices that are not where the pod could be; and what is told
    of it."""
    if table.devices.trouble(pod):
        return None, "no new claims to deallocate"
    for claim in table.devices.idle(pod):
        mask = near(Question(table, pod), claim)
        if mask is not None and (table.present & ~mask).any():
            return claim.found, "deallocation of ResourceClaim completed"
    return None, "still not schedulable"


DYNAMIC_RESOURCES = Filter("DynamicResources", _devices, frozenset({News.DEVICE, News.NODE_ADDED, News.NODE_LABELS}))
