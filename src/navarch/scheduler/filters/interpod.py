"""The filter of pods that must be near certain others, or far from them; either side may have said so.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from navarch.scheduler.facts import PodFacts
from navarch.scheduler.question import Filter, News, Question, Rejection, by_domain
from navarch.scheduler.table import Ints, Mask, Table
from navarch.scheduler.terms import PodTerm


def counted(table: Table, terms: Sequence[PodTerm]) -> Ints:
    """How many pods that match all of `terms` are on each node."""

    def ask(pod: PodFacts) -> int:
        near = table.namespace_labels(pod.namespace)
        return int(all(term.matches(pod.namespace, pod.labels, near) for term in terms))

    by_namespace = any(term.in_namespace is not None for term in terms)
    return table.per_pods(("terms", tuple(term.key for term in terms)), ask, by_namespace=by_namespace)


def in_domain(table: Table, topology_key: str, counts: Ints) -> Ints:
    """For each node the sum of `counts` over its domain; 0 for nodes without the label."""
    domains = table.domains(topology_key)
    sums = by_domain(domains, counts, table.domain_count(topology_key))
    sums[0] = 0
    found: Ints = sums[domains]
    return found


def speaks_of(table: Table, term: PodTerm, pod: PodFacts) -> bool:
    return term.matches(pod.namespace, pod.labels, table.namespace_labels(pod.namespace))


def _lonely(table: Table, pod: PodFacts) -> Mask:
    """Nodes where not all that the pod must be near is near."""
    counts = counted(table, pod.affinity)
    labelled = table.present
    near = table.present
    for term in pod.affinity:
        labelled = labelled & (table.domains(term.topology_key) > 0)
        near = near & (in_domain(table, term.topology_key, counts) > 0)
    first_of_its_sort = all(speaks_of(table, term, pod) for term in pod.affinity) and not counts[labelled].any()
    return ~(labelled if first_of_its_sort else near)


def _interpod(q: Question) -> Iterator[Rejection]:
    table, pod = q.table, q.pod
    nobody = np.zeros(table.width, np.bool_)
    lonely = _lonely(table, pod) if pod.affinity else nobody
    if pod.affinity:
        yield Rejection("node(s) didn't match pod affinity rules", lonely[q.at], final=True)
    repelled = nobody
    for term in pod.anti:
        repelled = repelled | (in_domain(table, term.topology_key, counted(table, (term,))) > 0)
    repelled = repelled & ~lonely
    if pod.anti:
        yield Rejection("node(s) didn't match pod anti-affinity rules", repelled[q.at], final=False)
    unwelcome = nobody
    for term, counts in table.forbidden():
        if speaks_of(table, term, pod):
            unwelcome = unwelcome | (in_domain(table, term.topology_key, counts) > 0)
    reason = "node(s) didn't satisfy existing pods anti-affinity rules"
    yield Rejection(reason, (unwelcome & ~lonely & ~repelled)[q.at], final=False)


INTER_POD_AFFINITY = Filter(
    "InterPodAffinity",
    _interpod,
    frozenset(
        {News.NODE_ADDED, News.NODE_LABELS, News.POD_BOUND, News.POD_GONE, News.POD_LABELS, News.NAMESPACE},
    ),
)
