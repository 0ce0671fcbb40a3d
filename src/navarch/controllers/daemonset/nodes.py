"""Which nodes a DaemonSet's pods belong on, and which node a pod is meant for.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#how-daemon-pods-are-scheduled
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from navarch.kinds.node import Node
from navarch.kinds.object import Object
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.fits import NODE_NAME, selected, untolerated
from navarch.kinds.podspec.placement import Affinity, NodeSelector, Toleration
from navarch.kinds.view import View
from navarch.objects.value import Document

_PREFIX = "node.kubernetes.io/"
TOLERATED = (
    (f"{_PREFIX}not-ready", "NoExecute"),
    (f"{_PREFIX}unreachable", "NoExecute"),
    (f"{_PREFIX}disk-pressure", "NoSchedule"),
    (f"{_PREFIX}memory-pressure", "NoSchedule"),
    (f"{_PREFIX}pid-pressure", "NoSchedule"),
    (f"{_PREFIX}unschedulable", "NoSchedule"),
)
ON_HOST_NETWORK = (f"{_PREFIX}network-unavailable", "NoSchedule")


class _Spec(View, frozen=True):
    node_name: str = ""
    node_selector: dict[str, str] = {}
    affinity: Affinity = Affinity()
    tolerations: tuple[Toleration, ...] = ()
    host_network: bool = False


class _Template(View, frozen=True):
    spec: _Spec = _Spec()


@dataclass(frozen=True, slots=True)
class Requirements:
    """Of a template, on its node. tolerations: with those that every daemon's pod has."""

    node_name: str
    labels: dict[str, str]
    required: NodeSelector | None
    tolerations: tuple[Toleration, ...]

    def judge(self, node: Object) -> tuple[bool, bool]:
        """Whether a pod should be made there, and whether one that is there may stay."""
        view: Node = node.view
        if self.node_name and self.node_name != node.name:
            return False, False
        if any(node.labels.get(key) != value for key, value in self.labels.items()):
            return False, False
        if not selected(self.required, node.name, node.labels):
            return False, False
        if untolerated(view.spec.taints, self.tolerations, "NoSchedule", "NoExecute"):
            return False, not untolerated(view.spec.taints, self.tolerations, "NoExecute")
        return True, True


@lru_cache(maxsize=256)
def requirements(template: bytes) -> Requirements:
    spec = msgspec.json.decode(template, type=_Template).spec
    affinity = spec.affinity.node_affinity
    added = tuple(Toleration(key=key, operator="Exists", effect=effect) for key, effect in _added(spec.host_network))
    return Requirements(
        spec.node_name,
        spec.node_selector,
        affinity.required if affinity is not None else None,
        (*spec.tolerations, *added),
    )


def _added(host_network: bool) -> Sequence[tuple[str, str]]:
    return (*TOLERATED, ON_HOST_NETWORK) if host_network else TOLERATED


def aimed(spec: Document, node: str) -> Document:
    """The pod spec of a template, for one node: the scheduler then binds it there and nowhere else."""
    tolerations: list[Document] = list(spec.get("tolerations") or ())
    for key, effect in _added(bool(spec.get("hostNetwork"))):
        wanted = {"key": key, "operator": "Exists", "effect": effect}
        places = [place for place, found in enumerate(tolerations) if _same(found, wanted)]
        for place in places:
            tolerations[place] = wanted  # for ever, even where the template sets a time
        if not places:
            tolerations.append(wanted)
    affinity = dict(spec.get("affinity") or {})
    on_nodes = dict(affinity.get("nodeAffinity") or {})
    term = {"matchFields": [{"key": NODE_NAME, "operator": "In", "values": [node]}]}
    on_nodes["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": [term]}
    affinity["nodeAffinity"] = on_nodes
    return {**spec, "affinity": affinity, "tolerations": tolerations}


def _same(a: Document, b: Document) -> bool:
    return all(a.get(field, "") == b.get(field, "") for field in ("key", "operator", "effect", "value"))


def node_of(pod: Object) -> str:
    """The node that a pod is on or, before it is bound, meant for; "" where it names none."""
    view: Pod = pod.view
    if view.spec.node_name:
        return view.spec.node_name
    affinity: Any = view.spec.affinity.node_affinity
    if affinity is None or affinity.required is None:
        return ""
    for term in affinity.required.node_selector_terms:
        for field in term.match_fields:
            if field.key == NODE_NAME and field.operator == "In" and len(field.values) == 1:
                return str(field.values[0])
    return ""
