"""Filters that look at the node alone: cordons, names, taints, labels.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from navarch.scheduler.facts import NodeFacts, PodFacts
from navarch.scheduler.question import Filter, News, Question, Rejection
from navarch.scheduler.table import Mask, Table
from navarch.scheduler.terms import node_term_holds, tolerated
from navarch.scheduler.views import Taint

FORBIDDING = ("NoSchedule", "NoExecute")
CORDONED = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")


def tainted(table: Table, pod: PodFacts) -> Mask:
    """Nodes with a taint that keeps the pod away."""
    tolerations = pod.spec.tolerations

    def ask(node: NodeFacts) -> bool:
        return any(t.effect in FORBIDDING and not tolerated(tolerations, t) for t in node.spec.taints)

    return table.per_node(("tainted", pod.tolerations_key), ask, np.bool_)


def selected(table: Table, pod: PodFacts) -> Mask | None:
    """Nodes that the pod's node selector and required node affinity allow; None where it has neither."""
    if pod.node_key == ((), None):
        return None
    wanted = pod.spec.node_selector
    affinity = pod.spec.affinity.node_affinity
    required = affinity.required if affinity else None
    terms = required.node_selector_terms if required else None

    def ask(node: NodeFacts) -> bool:
        if any(node.labels.get(key) != value for key, value in wanted.items()):
            return False
        return terms is None or any(node_term_holds(term, node.name, node.labels) for term in terms)

    return table.per_node(("selected", pod.node_key), ask, np.bool_)


def _named_nodes(q: Question) -> Iterator[Rejection]:
    names = q.pod.node_names
    if names is not None:
        mask = q.table.per_node(("named", names), lambda node: node.name not in names, np.bool_)
        yield Rejection("node(s) didn't satisfy plugin(s) [NodeAffinity]", mask[q.at], final=True)


def _unschedulable(q: Question) -> Iterator[Rejection]:
    if not tolerated(q.pod.spec.tolerations, CORDONED):
        mask = q.table.per_node("unschedulable", lambda node: node.spec.unschedulable, np.bool_)
        yield Rejection("node(s) were unschedulable", mask[q.at], final=True)


def _node_name(q: Question) -> Iterator[Rejection]:
    name = q.pod.node
    if name:
        mask = q.table.per_node(("name", name), lambda node: node.name != name, np.bool_)
        yield Rejection("node(s) didn't match the requested node name", mask[q.at], final=True)


def _taints(q: Question) -> Iterator[Rejection]:
    yield Rejection("node(s) had untolerated taint(s)", tainted(q.table, q.pod)[q.at], final=True)


def _affinity(q: Question) -> Iterator[Rejection]:
    mask = selected(q.table, q.pod)
    if mask is not None:
        yield Rejection("node(s) didn't match Pod's node affinity/selector", ~mask[q.at], final=True)


NAMED_NODES = Filter("NodeAffinity", _named_nodes, frozenset({News.NODE_ADDED}))
NODE_UNSCHEDULABLE = Filter("NodeUnschedulable", _unschedulable, frozenset({News.NODE_ADDED, News.NODE_TAINTS}))
NODE_NAME = Filter("NodeName", _node_name, frozenset({News.NODE_ADDED}))
TAINT_TOLERATION = Filter("TaintToleration", _taints, frozenset({News.NODE_ADDED, News.NODE_TAINTS}))
NODE_AFFINITY = Filter("NodeAffinity", _affinity, frozenset({News.NODE_ADDED, News.NODE_LABELS}))
