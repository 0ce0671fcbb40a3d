"""Selector terms, compiled: a hashable key to remember answers under, and a function that gives them.

Two pods made from one template have terms with equal keys, so that what one of them needed is there for the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from navarch.kinds.view import LabelSelector, LabelSelectorRequirement
from navarch.objects import selector
from navarch.scheduler.views import NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm, Taint, Toleration

Key = tuple[Any, ...]
Labels = Mapping[str, str]


def labels_key(labels: Labels) -> Key:
    return tuple(sorted(labels.items()))


def selector_key(wanted: LabelSelector | None) -> Key | None:
    """Equal for selectors that are written alike, up to the order of `matchLabels`."""
    if wanted is None:
        return None
    return (labels_key(wanted.match_labels), tuple((e.key, e.operator, e.values) for e in wanted.match_expressions))


def with_label_keys(
    wanted: LabelSelector | None, labels: Labels, same: tuple[str, ...], other: tuple[str, ...] = ()
) -> LabelSelector | None:
    """`wanted`, narrowed to pods that have the pod's own values under `same` and not those under `other`."""
    if wanted is None or not (same or other):
        return wanted
    extra = [LabelSelectorRequirement(key=k, operator="In", values=(labels[k],)) for k in same if k in labels]
    extra += [LabelSelectorRequirement(key=k, operator="NotIn", values=(labels[k],)) for k in other if k in labels]
    return LabelSelector(match_labels=wanted.match_labels, match_expressions=(*wanted.match_expressions, *extra))


def matcher(wanted: LabelSelector | None) -> Callable[[Labels], bool]:
    """An absent selector matches nothing, an empty one everything. Raises: BadRequest, for an unknown operator."""
    key = selector_key(wanted)
    if wanted is None or key is None:
        return lambda labels: False
    return _compiled(_ByKey(key, wanted)).matches


@dataclass(frozen=True, slots=True)
class _ByKey:
    """A selector, compared by its key: selectors hold dictionaries, which nothing can be remembered under."""

    key: Key
    wanted: LabelSelector = field(compare=False)


@lru_cache(maxsize=4096)
def _compiled(selected: _ByKey) -> selector.Selector:
    return selector.from_view(selected.wanted)


@dataclass(frozen=True, slots=True)
class PodTerm:
    """Which pods a term of (anti-)affinity speaks of. Equal and hashed by `key` alone.

    namespaces: by name; None for any. in_namespace: on the namespace's labels, None where no selector was given.
    """

    key: Key
    topology_key: str = field(compare=False)
    namespaces: frozenset[str] = field(compare=False)
    in_namespace: Callable[[Labels], bool] | None = field(compare=False)
    labels_match: Callable[[Labels], bool] = field(compare=False)

    def matches(self, namespace: str, labels: Labels, namespace_labels: Labels) -> bool:
        if namespace not in self.namespaces and (self.in_namespace is None or not self.in_namespace(namespace_labels)):
            return False
        return self.labels_match(labels)


def pod_term(term: PodAffinityTerm, namespace: str, labels: Labels) -> PodTerm:
    """namespace and labels: of the pod that carries the term."""
    wanted = with_label_keys(term.label_selector, labels, term.match_label_keys, term.mismatch_label_keys)
    names = frozenset(term.namespaces)
    if not names and term.namespace_selector is None:
        names = frozenset((namespace,))
    where = term.namespace_selector
    return PodTerm(
        key=(term.topology_key, tuple(sorted(names)), selector_key(where), selector_key(wanted)),
        topology_key=term.topology_key,
        namespaces=names,
        in_namespace=None if where is None else matcher(where),
        labels_match=matcher(wanted),
    )


def _expression_holds(expression: NodeSelectorRequirement, values: Labels) -> bool:
    present = expression.key in values
    value = values.get(expression.key, "")
    match expression.operator:
        case "In":
            return present and value in expression.values
        case "NotIn":
            return not present or value not in expression.values
        case "Exists":
            return present
        case "DoesNotExist":
            return not present
        case "Gt" | "Lt":
            return present and _compares(expression.operator, value, expression.values)
        case _:
            return False


def _compares(operator: str, value: str, bounds: tuple[str, ...]) -> bool:
    try:
        number, bound = int(value), int(bounds[0])
    except (ValueError, IndexError):
        return False
    return number > bound if operator == "Gt" else number < bound


def node_term_holds(term: NodeSelectorTerm, name: str, labels: Labels) -> bool:
    """All expressions of the term hold; a term without any holds nowhere."""
    if not term.match_expressions and not term.match_fields:
        return False
    return all(_expression_holds(e, labels) for e in term.match_expressions) and all(
        _expression_holds(e, {"metadata.name": name}) for e in term.match_fields
    )


def node_term_key(term: NodeSelectorTerm) -> Key:
    return (
        tuple((e.key, e.operator, e.values) for e in term.match_expressions),
        tuple((e.key, e.operator, e.values) for e in term.match_fields),
    )


def named_nodes(terms: tuple[NodeSelectorTerm, ...]) -> frozenset[str] | None:
    """The only nodes that `terms` can hold on, where each of them names its node; else None."""
    names: set[str] = set()
    for term in terms:
        here: set[str] | None = None
        for e in term.match_fields:
            if e.key == "metadata.name" and e.operator == "In":
                here = set(e.values) if here is None else here & set(e.values)
        if here is None:
            return None
        names |= here
    return frozenset(names) if terms else None


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Source: https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/"""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    match toleration.operator or "Equal":
        case "Exists":
            return True
        case "Equal":
            return toleration.value == taint.value
        case "Gt" | "Lt":
            return _compares(toleration.operator, taint.value, (toleration.value,))
        case _:
            return False


def tolerated(tolerations: tuple[Toleration, ...], taint: Taint) -> bool:
    return any(tolerates(toleration, taint) for toleration in tolerations)


def tolerations_key(tolerations: tuple[Toleration, ...]) -> Key:
    return tuple((t.key, t.operator, t.value, t.effect) for t in tolerations)
