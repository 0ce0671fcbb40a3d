"""What the table and the plan know of one pod and of one node: views compiled once, read many times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from sys import intern
from typing import NamedTuple

import msgspec

from navarch.kinds.object import Object
from navarch.scheduler import requests
from navarch.scheduler.requests import CPU, MEMORY, UNASKED, Amounts
from navarch.scheduler.terms import (
    Key,
    Labels,
    PodTerm,
    labels_key,
    matcher,
    named_nodes,
    node_term_key,
    pod_term,
    selector_key,
    tolerations_key,
    with_label_keys,
)
from navarch.scheduler.views import (
    NodeShape,
    NodeSpec,
    PodDevices,
    PodGist,
    PodShape,
    PodVolumes,
    Spec,
    TopologySpreadConstraint,
)

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
FINISHED = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Weighted:
    term: PodTerm
    weight: int


@dataclass(frozen=True, slots=True)
class Spread:
    """A topology spread constraint. key: stands for `counts`, which says whether a pod is one of the set. owner: the
    uid that all pods of the set have among their owners, if there is one."""

    max_skew: int
    topology_key: str
    min_domains: int
    honors_affinity: bool
    honors_taints: bool
    key: Key
    counts: Callable[[PodFacts], bool]
    owner: str = ""


Port = tuple[str, str, int]
"""Protocol, host address ("0.0.0.0" for all), port."""


class DeviceClaim(NamedTuple):
    """claim: its name, "" while it is still to be made. own: it is made for this pod."""

    claim: str
    own: bool


class PodFacts(msgspec.Struct, frozen=True, eq=False):
    """requests: what filters go by; scored: the same with assumptions for containers that ask for nothing.

    affinity: required terms, all of which one existing pod must match; anti: required ones, any of which forbids.
    preferred: weights below 0 repel. spread_hard, spread_soft: DoNotSchedule and ScheduleAnyway.
    """

    namespace: str
    name: str
    uid: str
    labels: Labels
    spec: Spec
    requests: Amounts
    scored: Amounts
    ports: tuple[Port, ...]
    images: tuple[str, ...]
    node_key: Key
    node_names: frozenset[str] | None
    tolerations_key: Key
    affinity: tuple[PodTerm, ...]
    anti: tuple[PodTerm, ...]
    preferred: tuple[Weighted, ...]
    spread_hard: tuple[Spread, ...]
    spread_soft: tuple[Spread, ...]
    created: datetime
    started: datetime | None
    terminating: bool
    phase: str
    nominated: str
    owners: tuple[str, ...]
    claims: tuple[tuple[str, bool], ...] = ()
    """Name, and whether it is made for this pod."""
    device_claims: tuple[DeviceClaim, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        return (self.namespace, self.name)

    @property
    def priority(self) -> int:
        return self.spec.priority

    @property
    def node(self) -> str:
        """Where it is bound, "" while it is not."""
        return self.spec.node_name

    @property
    def gated(self) -> bool:
        return bool(self.spec.scheduling_gates)

    @property
    def finished(self) -> bool:
        return self.phase in FINISHED


@dataclass(frozen=True, slots=True, eq=False)
class NodeFacts:
    """images: name -> size in bytes."""

    name: str
    labels: Labels
    spec: NodeSpec
    allocatable: Amounts
    images: dict[str, int]


def _ports(spec: Spec) -> tuple[Port, ...]:
    containers = (*spec.containers, *(c for c in spec.init_containers if c.restart_policy == "Always"))
    return tuple(
        (port.protocol, port.host_ip or "0.0.0.0", port.host_port)
        for container in containers
        for port in container.ports
        if port.host_port
    )


def _spread(constraint: TopologySpreadConstraint, namespace: str, labels: Labels) -> Spread:
    wanted = with_label_keys(constraint.label_selector, labels, constraint.match_label_keys)
    matches = matcher(wanted)
    return Spread(
        max_skew=constraint.max_skew,
        topology_key=constraint.topology_key,
        min_domains=constraint.min_domains,
        honors_affinity=constraint.node_affinity_policy == "Honor",
        honors_taints=constraint.node_taints_policy == "Honor",
        key=(namespace, selector_key(wanted)),
        counts=lambda pod: pod.namespace == namespace and matches(pod.labels),
    )


def _preferred(spec: Spec, namespace: str, labels: Labels) -> tuple[Weighted, ...]:
    found: list[Weighted] = []
    for affinity, sign in ((spec.affinity.pod_affinity, 1), (spec.affinity.pod_anti_affinity, -1)):
        if affinity is not None:
            found += [
                Weighted(pod_term(w.pod_affinity_term, namespace, labels), sign * w.weight) for w in affinity.preferred
            ]
    return tuple(found)


class _Asked(NamedTuple):
    """What follows from a spec alone."""

    spec: Spec
    requests: Amounts
    scored: Amounts
    ports: tuple[Port, ...]
    images: tuple[str, ...]
    node_key: Key
    node_names: frozenset[str] | None
    tolerations_key: Key


@lru_cache(maxsize=8192)
def _asked(encoded: bytes) -> _Asked:
    """encoded: a `Spec`, as its own encoder writes it. Pods of one template on one node share one."""
    spec = _decode_spec(encoded)
    asked = requests.effective(spec)
    scored = asked
    if any(CPU not in c.resources.requests or MEMORY not in c.resources.requests for c in spec.containers):
        scored = requests.effective(spec, UNASKED)
    required = spec.affinity.node_affinity.required if spec.affinity.node_affinity else None
    terms = required.node_selector_terms if required else None
    return _Asked(
        spec=spec,
        requests=asked,
        scored=scored,
        ports=_ports(spec),
        images=tuple(c.image for c in (*spec.init_containers, *spec.containers) if c.image),
        node_key=(labels_key(spec.node_selector), None if terms is None else tuple(map(node_term_key, terms))),
        node_names=None if terms is None else named_nodes(terms),
        tolerations_key=tolerations_key(spec.tolerations),
    )


_decode_spec = msgspec.json.Decoder(Spec).decode
SPREADING = ("ReplicationController", "ReplicaSet", "StatefulSet")
"""Whose pods are spread without being asked: those of the others run to an end, or on every node."""
_encode_spec = msgspec.json.Encoder().encode


def pod_facts(pod: Object) -> PodFacts:
    """Raises: msgspec.ValidationError, for a pod that no API server would have admitted."""
    shape: PodShape = pod.as_view(PodShape)
    return _made(pod, shape, _asked(_encode_spec(shape.spec)), _claims(pod), _device_claims(pod))


def facts_again(before: PodFacts, old: Object, new: Object) -> PodFacts | None:
    """The facts of a pod that changed, found out for less than making them costs: None where they are the same still.

    before: those of `old`. Raises: as `pod_facts`.
    """
    was: PodGist = old.as_view(PodGist)
    now: PodGist = new.as_view(PodGist)
    if was == now:
        return None
    return _made(new, now, before, before.claims, _device_claims(new)) if was.spec == now.spec else pod_facts(new)


def _made(
    pod: Object,
    shape: PodShape | PodGist,
    asked: _Asked | PodFacts,
    claims: tuple[tuple[str, bool], ...],
    device_claims: tuple[DeviceClaim, ...],
) -> PodFacts:
    """asked, claims: what follows from its spec."""
    meta, status, spec = shape.metadata, shape.status, asked.spec
    namespace, labels = pod.namespace, pod.labels
    affinity, anti = spec.affinity.pod_affinity, spec.affinity.pod_anti_affinity
    spreads = [(c.when_unsatisfiable, _spread(c, namespace, labels)) for c in spec.topology_spread_constraints]
    return PodFacts(
        namespace=namespace,
        name=pod.name,
        uid=pod.uid,
        labels=labels,
        spec=spec,
        requests=asked.requests,
        scored=asked.scored,
        ports=asked.ports,
        images=asked.images,
        node_key=asked.node_key,
        node_names=asked.node_names,
        tolerations_key=asked.tolerations_key,
        affinity=tuple(pod_term(t, namespace, labels) for t in affinity.required) if affinity else (),
        anti=tuple(pod_term(t, namespace, labels) for t in anti.required) if anti else (),
        preferred=_preferred(spec, namespace, labels),
        spread_hard=tuple(s for how, s in spreads if how == "DoNotSchedule"),
        spread_soft=tuple(s for how, s in spreads if how == "ScheduleAnyway"),
        created=meta.creation_timestamp or BEGINNING,
        started=status.start_time,
        terminating=meta.deletion_timestamp is not None,
        phase=intern(status.phase),
        nominated=status.nominated_node_name,
        owners=_spread_by(pod),
        claims=claims,
        device_claims=device_claims,
    )


def _spread_by(pod: Object) -> tuple[str, ...]:
    controller = pod.controller
    return (controller.uid,) if controller is not None and controller.kind in SPREADING else ()


def _claims(pod: Object) -> tuple[tuple[str, bool], ...]:
    if not pod.glance.claims:
        return ()  # most pods have none, and looking closer costs a decoding
    found: list[tuple[str, bool]] = []
    shape: PodVolumes = pod.as_view(PodVolumes)
    for volume in shape.spec.volumes:
        if volume.persistent_volume_claim is not None:
            found.append((volume.persistent_volume_claim.claim_name, False))
        elif volume.ephemeral is not None:
            found.append((f"{pod.name}-{volume.name}", True))
    return tuple(found)


def _device_claims(pod: Object) -> tuple[DeviceClaim, ...]:
    """Those of which it is known that none is needed are left out."""
    if not pod.glance.resource_claims:
        return ()
    shape: PodDevices = pod.as_view(PodDevices)
    made = {one.name: one.resource_claim_name for one in shape.status.resource_claim_statuses}
    found: list[DeviceClaim] = []
    for one in shape.spec.resource_claims:
        if one.resource_claim_name:
            found.append(DeviceClaim(one.resource_claim_name, False))
        elif made.get(one.name, "?"):
            found.append(DeviceClaim(made.get(one.name, ""), True))
    return tuple(found)


def node_facts(node: Object) -> NodeFacts:
    """Raises: msgspec.ValidationError, for a node that no API server would have admitted."""
    shape: NodeShape = node.as_view(NodeShape)
    status = shape.status
    return NodeFacts(
        name=shape.metadata.name,
        labels=node.labels,
        spec=shape.spec,
        allocatable=requests.amounts(status.allocatable or status.capacity),
        images={name: image.size_bytes for image in status.images for name in image.names},
    )
