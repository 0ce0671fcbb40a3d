"""The filter that keeps a set of pods even over zones, nodes or whatever labels name.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from navarch.scheduler.facts import PodFacts, Spread
from navarch.scheduler.filters.node import selected, tainted
from navarch.scheduler.question import Filter, News, Question, Rejection, by_domain
from navarch.scheduler.table import Ints, Mask, Table


def counted(table: Table, spread: Spread) -> Ints:
    """How many pods that `spread` counts are on each node; those on their way out are not counted."""

    def ask(pod: PodFacts) -> int:
        return int(not pod.terminating and spread.counts(pod))

    return table.per_pods(("spread", spread.key), ask, owner=spread.owner)


def considered(table: Table, pod: PodFacts, spread: Spread) -> Mask:
    """Nodes whose pods count: those that the pod itself might run on, as far as `spread` honors that."""
    mask = table.present
    if spread.honors_affinity and (wanted := selected(table, pod)) is not None:
        mask = mask & wanted
    if spread.honors_taints:
        mask = mask & ~tainted(table, pod)
    return mask


def with_all_keys(table: Table, spreads: Sequence[Spread]) -> Mask:
    """Nodes that have every topology label that `spreads` name."""
    mask = table.present
    for spread in spreads:
        mask = mask & (table.domains(spread.topology_key) > 0)
    return mask


def _spread(q: Question) -> Iterator[Rejection]:
    table, pod = q.table, q.pod
    if not pod.spread_hard:
        return
    labelled = with_all_keys(table, pod.spread_hard)
    refused = np.zeros(table.width, np.bool_)
    for spread in pod.spread_hard:
        domains = table.domains(spread.topology_key)
        length = table.domain_count(spread.topology_key)
        eligible = labelled & considered(table, pod, spread)
        exists = by_domain(domains, eligible, length) > 0
        counts = by_domain(domains, counted(table, spread) * eligible, length)
        present = counts[exists]
        fewest = int(present.min()) if len(present) >= max(spread.min_domains, 1) else 0
        itself = int(spread.counts(pod))
        refused |= counts[domains] + itself - fewest > spread.max_skew
    missing = table.present & ~labelled
    words = "node(s) didn't match pod topology spread constraints"
    yield Rejection(f"{words} (missing required label)", missing[q.at], final=True)
    yield Rejection(words, (refused & ~missing)[q.at], final=False)


POD_TOPOLOGY_SPREAD = Filter(
    "PodTopologySpread",
    _spread,
    frozenset(
        {News.NODE_ADDED, News.NODE_LABELS, News.NODE_TAINTS, News.POD_BOUND, News.POD_GONE, News.POD_LABELS},
    ),
)
