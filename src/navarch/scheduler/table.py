"""What is where: nodes against resources, kept up to date change by change, with everything filters ask for at hand.

A node has a column number for as long as it exists; arrays are `[resource, node]`, so that a question to all nodes is
one pass over memory. What filters and scores need beyond resources they ask for by a key: `per_node` (a function of
the node alone), `per_pods` (a sum over the node's pods) and `per_load` (a function of what the node has and of what is
asked of it). The table computes such a column once and then keeps it current, so that the thousandth pod of a template
costs additions only. It knows nothing of why a question is asked.

Not safe to use from two tasks across an await: one task owns it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from navarch.scheduler.devices.stock import Stock
from navarch.scheduler.disks import Disks
from navarch.scheduler.facts import NodeFacts, PodFacts, Weighted
from navarch.scheduler.requests import CPU, MEMORY, PODS, STORAGE
from navarch.scheduler.terms import Labels, PodTerm

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
PerNode = Callable[[NodeFacts], float]
PerPod = Callable[[PodFacts], int]

REMEMBERED = 512
"""How many asked-for columns of each sort are kept; the longest unused goes first."""

REMEMBERED_LOADS = 48
"""As many of those that every pod changes."""

HeldAs = tuple[str, PodTerm, int]
"""How pods on nodes look upon others: ("anti" | "affinity" | "preferred", the term, its weight)."""

NO_LABELS: Labels = {}


class Load(NamedTuple):
    """What some nodes have and what is asked of them, as `Table.allocatable`, `requested` and `scored`."""

    allocatable: Ints
    requested: Ints
    scored: Ints


PerLoad = Callable[[Load], npt.NDArray[Any]]


@dataclass(slots=True)
class _NodeColumn:
    ask: PerNode
    values: npt.NDArray[Any]


@dataclass(slots=True)
class _PodColumn:
    """owner: the uid of the one whose pods alone count; "" for all."""

    ask: PerPod
    values: Ints
    by_namespace: bool
    owner: str


@dataclass(slots=True)
class _LoadColumn:
    """stale: the nodes of which it has to be asked again."""

    ask: PerLoad
    values: npt.NDArray[Any]
    stale: set[int]


def _held(pod: PodFacts) -> list[HeldAs]:
    found: list[HeldAs] = [("anti", term, 1) for term in pod.anti]
    found += [("affinity", term, 1) for term in pod.affinity]
    found += [("preferred", weighted.term, weighted.weight) for weighted in pod.preferred]
    return found


def same_load(old: PodFacts, new: PodFacts) -> bool:
    """Whether both count alike in all that columns count. Terms of affinity do not change in a pod's life."""
    return old is new or (
        old.labels == new.labels
        and old.terminating == new.terminating
        and old.requests == new.requests
        and old.scored == new.scored
        and old.owners == new.owners
    )


class Table:
    """width: the number of columns in use or free; arrays asked for have that length, free columns hold zeros."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.nodes: list[NodeFacts | None] = []
        self.disks = Disks()
        self.devices = Stock()
        self.number: dict[str, int] = {}
        self.rows: dict[str, int] = {CPU: 0, MEMORY: 1, STORAGE: 2, PODS: 3}
        self.pods: dict[str, tuple[PodFacts, str]] = {}
        self.held: dict[HeldAs, Ints] = {}
        self._capacity = 16
        self._free: list[int] = []
        self._allocatable = np.zeros((4, self._capacity), np.int64)
        self._requested = np.zeros((4, self._capacity), np.int64)
        self._scored = np.zeros((2, self._capacity), np.int64)
        self._present = np.zeros(self._capacity, np.bool_)
        self._on: list[dict[str, PodFacts]] = []
        self._waiting: dict[str, dict[str, PodFacts]] = {}
        self._per_node: OrderedDict[Hashable, _NodeColumn] = OrderedDict()
        self._per_pods: OrderedDict[Hashable, _PodColumn] = OrderedDict()
        self._per_load: OrderedDict[Hashable, _LoadColumn] = OrderedDict()
        self._of_all: dict[Hashable, _PodColumn] = {}
        self._of_owner: dict[str, dict[Hashable, _PodColumn]] = {}
        self._owned: dict[str, dict[str, int]] = {}
        self._domains: dict[str, dict[str, int]] = {}
        self._namespaces: dict[str, Labels] = {}

    # -- what it holds

    @property
    def width(self) -> int:
        return len(self.names)

    @property
    def size(self) -> int:
        """How many nodes there are."""
        return len(self.number)

    @property
    def present(self) -> Mask:
        return self._present[: self.width]

    @property
    def allocatable(self) -> Ints:
        return self._allocatable[:, : self.width]

    @property
    def requested(self) -> Ints:
        return self._requested[:, : self.width]

    @property
    def scored(self) -> Ints:
        """cpu and memory as scores count them: see `PodFacts.scored`."""
        return self._scored[:, : self.width]

    def on(self, index: int) -> dict[str, PodFacts]:
        """The pods on a node by uid, assumed ones included. Do not change."""
        return self._on[index]

    def namespace_labels(self, name: str) -> Labels:
        return self._namespaces.get(name, NO_LABELS)

    # -- what changes it

    def set_namespace(self, name: str, labels: Labels | None) -> None:
        """labels: None when the namespace is gone."""
        if self._namespaces.get(name) == labels:
            return
        if labels is None:
            self._namespaces.pop(name, None)
        else:
            self._namespaces[name] = labels
        for key in [key for key, column in self._of_all.items() if column.by_namespace]:
            self._forget(key)

    def set_node(self, node: NodeFacts) -> None:
        """Adds the node or takes note of how it is now."""
        index = self.number.get(node.name)
        if index is None:
            index = self._new_column(node.name)
        self.nodes[index] = node
        self._present[index] = True
        self._allocatable[:, index] = 0
        for resource, number in node.allocatable.items():
            row = self._row(resource)
            self._allocatable[row, index] = number
        for column in self._per_node.values():
            column.values[index] = column.ask(node)
        self._reload(index)
        for pod in self._waiting.pop(node.name, {}).values():
            self._put(pod, index, 1)

    def remove_node(self, name: str) -> None:
        """Its pods stay known: should the node come back, they are on it."""
        index = self.number.get(name)
        if index is None:
            return
        left = dict(self._on[index])
        for pod in left.values():
            self._put(pod, index, -1)
        if left:
            self._waiting[name] = left
        del self.number[name]
        self.names[index] = ""
        self.nodes[index] = None
        self._present[index] = False
        self._allocatable[:, index] = 0
        for column in self._per_node.values():
            column.values[index] = 0
        self._reload(index)
        self._free.append(index)

    def add(self, pod: PodFacts, node: str) -> None:
        """Puts the pod on the node, or moves or renews it. The node may still be unknown."""
        known = self.pods.get(pod.uid)
        if known is not None:
            if known[1] == node and same_load(known[0], pod):
                self._renew(pod, node)
                return
            self.remove(pod.uid)
        self.pods[pod.uid] = (pod, node)
        index = self.number.get(node)
        if index is None:
            self._waiting.setdefault(node, {})[pod.uid] = pod
        else:
            self._put(pod, index, 1)

    def _renew(self, pod: PodFacts, node: str) -> None:
        """Nothing changed that is counted."""
        self.pods[pod.uid] = (pod, node)
        index = self.number.get(node)
        there = self._waiting[node] if index is None else self._on[index]
        there[pod.uid] = pod

    def remove(self, uid: str) -> None:
        known = self.pods.pop(uid, None)
        if known is None:
            return
        pod, node = known
        index = self.number.get(node)
        if index is not None:
            self._put(pod, index, -1)
            return
        waiting = self._waiting.get(node, {})
        waiting.pop(uid, None)
        if not waiting:
            self._waiting.pop(node, None)

    def _put(self, pod: PodFacts, index: int, sign: int) -> None:
        for resource, number in pod.requests.items():
            row = self._row(resource)
            self._requested[row, index] += sign * number
        self._requested[3, index] += sign
        self._scored[0, index] += sign * pod.scored.get(CPU, 0)
        self._scored[1, index] += sign * pod.scored.get(MEMORY, 0)
        self._reload(index)
        if sign > 0:
            self._on[index][pod.uid] = pod
        else:
            del self._on[index][pod.uid]
        self._count(pod, index, sign, self._of_all)
        for owner in dict.fromkeys(pod.owners):
            self._own(owner, pod, index, sign)
        for way in _held(pod):
            self._hold(way, index, sign)

    def _own(self, owner: str, pod: PodFacts, index: int, sign: int) -> None:
        owned = self._owned.setdefault(owner, {})
        if sign > 0:
            owned[pod.uid] = index
        else:
            del owned[pod.uid]
            if not owned:
                del self._owned[owner]
        if columns := self._of_owner.get(owner):
            self._count(pod, index, sign, columns)

    @staticmethod
    def _count(pod: PodFacts, index: int, sign: int, columns: dict[Hashable, _PodColumn]) -> None:
        for column in columns.values():
            number = column.ask(pod)
            if number:
                column.values[index] += sign * number

    def _reload(self, index: int) -> None:
        """The node has more or less than before, or more or less is asked of it."""
        for column in self._per_load.values():
            column.stale.add(index)

    def _hold(self, way: HeldAs, index: int, sign: int) -> None:
        counts = self.held.get(way)
        if counts is None:
            counts = self.held[way] = np.zeros(self._capacity, np.int64)
        counts[index] += sign
        if sign < 0 and not counts.any():
            del self.held[way]

    # -- what is asked of it

    def per_node(self, key: Hashable, ask: PerNode, dtype: Any = np.int64) -> npt.NDArray[Any]:
        """`ask(node)` for every node; 0 in free columns. `ask` must depend on `key` and the node alone."""
        column = self._per_node.get(key)
        if column is None:
            column = _NodeColumn(ask, np.zeros(self._capacity, dtype))
            for index, node in enumerate(self.nodes):
                if node is not None:
                    column.values[index] = ask(node)
            self._per_node[key] = column
            if len(self._per_node) > REMEMBERED:
                self._per_node.popitem(last=False)
        else:
            self._per_node.move_to_end(key)
        return column.values[: self.width]

    def per_pods(self, key: Hashable, ask: PerPod, *, by_namespace: bool = False, owner: str = "") -> Ints:
        """The sum of `ask(pod)` over each node's pods. `ask` must depend on `key` and the pod alone.

        by_namespace: `ask` also reads `namespace_labels`. owner: a uid, where `ask` is 0 for the pods of others: then
        they cost nothing.
        """
        column = self._per_pods.get(key)
        if column is not None:
            self._per_pods.move_to_end(key)
            return column.values[: self.width]
        column = _PodColumn(ask, np.zeros(self._capacity, np.int64), by_namespace, owner)
        if owner:
            for uid, index in self._owned.get(owner, {}).items():
                column.values[index] += ask(self._on[index][uid])
            self._of_owner.setdefault(owner, {})[key] = column
        else:
            for index, pods in enumerate(self._on):
                column.values[index] = sum(ask(pod) for pod in pods.values())
            self._of_all[key] = column
        self._per_pods[key] = column
        if len(self._per_pods) > REMEMBERED:
            self._forget(next(iter(self._per_pods)))
        return column.values[: self.width]

    def _forget(self, key: Hashable) -> None:
        """A column of `per_pods`."""
        column = self._per_pods.pop(key)
        if not column.owner:
            del self._of_all[key]
            return
        columns = self._of_owner[column.owner]
        del columns[key]
        if not columns:
            del self._of_owner[column.owner]

    def per_load(self, key: Hashable, ask: PerLoad) -> npt.NDArray[Any]:
        """`ask` of every node's load, asked again only of those whose load changed. What `ask` says of a node must
        depend on `key` and that node's load alone; what it says of free columns means nothing."""
        column = self._per_load.get(key)
        if column is None:
            everything = Load(self._allocatable, self._requested, self._scored)
            column = self._per_load[key] = _LoadColumn(ask, ask(everything), set())
            if len(self._per_load) > REMEMBERED_LOADS:
                self._per_load.popitem(last=False)
            return column.values[: self.width]
        self._per_load.move_to_end(key)
        if column.stale:
            at = np.fromiter(column.stale, np.int64, len(column.stale))
            column.values[at] = ask(Load(self._allocatable[:, at], self._requested[:, at], self._scored[:, at]))
            column.stale.clear()
        return column.values[: self.width]

    def domains(self, topology_key: str) -> Ints:
        """For each node the number of its domain, counted from 1; 0 where the node lacks the label."""
        numbers = self._domains.setdefault(topology_key, {})

        def domain(node: NodeFacts) -> int:
            value = node.labels.get(topology_key)
            return 0 if value is None else numbers.setdefault(value, len(numbers) + 1)

        found: Ints = self.per_node(("domain", topology_key), domain)
        return found

    def domain_count(self, topology_key: str) -> int:
        """One more than the highest number that `domains` gives: the length for sums over domains."""
        return len(self._domains.get(topology_key, ())) + 1

    def demand(self, pod: PodFacts) -> tuple[Ints, Ints]:
        """Rows and amounts of what the pod asks for, a place among the node's pods included."""
        rows = [3]
        wanted = [1]
        for resource, number in pod.requests.items():
            if number:
                rows.append(self._row(resource))
                wanted.append(number)
        return np.array(rows), np.array(wanted, np.int64)

    def resource(self, row: int) -> str:
        return next(name for name, number in self.rows.items() if number == row)

    def preferences(self) -> list[tuple[Weighted, Ints]]:
        """What pods on nodes prefer about others, with how many of them stand on each node."""
        return [
            (Weighted(term, weight), counts[: self.width])
            for (way, term, weight), counts in self.held.items()
            if way != "anti"
        ]

    def forbidden(self) -> list[tuple[PodTerm, Ints]]:
        """What pods on nodes do not suffer in their domain, with how many of them stand on each node."""
        return [(term, counts[: self.width]) for (way, term, _), counts in self.held.items() if way == "anti"]

    # -- growth

    def _new_column(self, name: str) -> int:
        if self._free:
            index = self._free.pop()
            self.names[index] = name
        else:
            index = self.width
            if index == self._capacity:
                self._widen()
            self.names.append(name)
            self.nodes.append(None)
            self._on.append({})
        self.number[name] = index
        return index

    def _widen(self) -> None:
        more = self._capacity
        self._capacity *= 2
        for attribute in ("_allocatable", "_requested", "_scored"):
            old = getattr(self, attribute)
            setattr(self, attribute, np.hstack([old, np.zeros((old.shape[0], more), np.int64)]))
        self._present = np.append(self._present, np.zeros(more, np.bool_))
        for column in self._per_node.values():
            column.values = np.append(column.values, np.zeros(more, column.values.dtype))
        for summed in self._per_pods.values():
            summed.values = np.append(summed.values, np.zeros(more, np.int64))
        for way, counts in self.held.items():
            self.held[way] = np.append(counts, np.zeros(more, np.int64))
        self._per_load.clear()

    def _row(self, resource: str) -> int:
        row = self.rows.get(resource)
        if row is None:
            row = self.rows[resource] = len(self.rows)
            blank = np.zeros((1, self._capacity), np.int64)
            self._allocatable = np.vstack([self._allocatable, blank])
            self._requested = np.vstack([self._requested, blank])
        return row
