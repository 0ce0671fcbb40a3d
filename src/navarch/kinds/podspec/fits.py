"""Whether a pod fits a node by what the two say of each other: labels, names and taints. Not whether there is room.

For what looks at one node at a time; the scheduler has its own form of it, over whole tables of nodes.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from navarch.kinds.node import Taint
from navarch.kinds.podspec.placement import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Toleration

NODE_NAME = "metadata.name"


def selected(wanted: NodeSelector | None, name: str, labels: Mapping[str, str]) -> bool:
    """Whether one of the terms holds; no selector allows every node, one without terms none."""
    return wanted is None or any(_term_holds(term, name, labels) for term in wanted.node_selector_terms)


def _term_holds(term: NodeSelectorTerm, name: str, labels: Mapping[str, str]) -> bool:
    if not term.match_expressions and not term.match_fields:
        return False
    return all(_holds(found, labels) for found in term.match_expressions) and all(
        _holds(found, {NODE_NAME: name}) for found in term.match_fields
    )


def _holds(wanted: NodeSelectorRequirement, values: Mapping[str, str]) -> bool:
    value = values.get(wanted.key)
    match wanted.operator:
        case "In":
            return value is not None and value in wanted.values
        case "NotIn":
            return value is None or value not in wanted.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            return value is not None and len(wanted.values) == 1 and _compares(wanted.operator, value, wanted.values[0])
        case _:
            return False


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Source: https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/"""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    match toleration.operator:
        case "Exists":
            return True
        case "Lt" | "Gt":
            return _compares(toleration.operator, taint.value, toleration.value)
        case _:
            return bool(toleration.key) and toleration.value == taint.value


def untolerated(taints: Sequence[Taint], tolerations: Sequence[Toleration], *effects: str) -> bool:
    """Whether a taint of one of these effects keeps the pod away."""
    return any(
        taint.effect in effects and not any(tolerates(toleration, taint) for toleration in tolerations)
        for taint in taints
    )


def _compares(operator: str, value: str, limit: str) -> bool:
    if not (value.removeprefix("-").isdecimal() and limit.removeprefix("-").isdecimal()):
        return False
    return int(value) < int(limit) if operator == "Lt" else int(value) > int(limit)
