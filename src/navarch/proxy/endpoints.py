"""Which endpoints of a service port may be sent to from this node.

Readiness, draining, locality and topology hints are decided here; what packets make of the answer is `compile`'s.

Source: https://kubernetes.io/docs/reference/networking/virtual-ips/#traffic-policies, KEP-1669 (terminating endpoints),
KEP-2433 (topology hints), KEP-3015 (prefer same node).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from navarch.kinds.endpointslice import Endpoint, EndpointSlice
from navarch.kinds.service import ServicePort
from navarch.proxy.rules import Node, Target


@dataclass(frozen=True, slots=True)
class Candidate:
    target: Target
    ready: bool
    draining: bool
    local: bool
    zones: frozenset[str]
    nodes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Choice:
    """cluster, local: sorted. reachable: whether anybody at all could serve, wherever it is."""

    cluster: tuple[Target, ...]
    local: tuple[Target, ...]
    reachable: bool


def choose(port: ServicePort, slices: Iterable[EndpointSlice], node: Node) -> Choice:
    """slices: those of the service; other address families in them are passed over."""
    found = list(_candidates(port, slices, node))
    everywhere = usable(found)
    near = usable([each for each in found if each.local])
    return Choice(
        tuple(sorted(each.target for each in hinted(everywhere, node))),
        tuple(sorted(each.target for each in near)),
        bool(everywhere),
    )


def usable(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The ready ones; when there are none, those that still serve while they go away."""
    ready = [each for each in candidates if each.ready]
    return ready or [each for each in candidates if each.draining]


def hinted(candidates: list[Candidate], node: Node) -> list[Candidate]:
    """Those meant for this node or else its zone, if every ready candidate carries such a hint and some match."""
    ready = [each for each in candidates if each.ready]
    if not ready:
        return candidates
    if all(each.nodes for each in ready) and (mine := [each for each in ready if node.name in each.nodes]):
        return mine
    if (
        node.zone
        and all(each.zones for each in ready)
        and (mine := [each for each in ready if node.zone in each.zones])
    ):
        return mine
    return candidates


def _candidates(port: ServicePort, slices: Iterable[EndpointSlice], node: Node) -> Iterable[Candidate]:
    # While an endpoint moves between slices it stands in both: the one that is ready counts.
    found: dict[Target, Candidate] = {}
    family = node.family
    for part in slices:
        if part.address_type != family.name:
            continue
        numbers = [each.port for each in part.ports if each.name == port.name and each.protocol == port.protocol]
        for number in numbers:
            for endpoint in part.endpoints:
                address = family.proper(endpoint.addresses[0]) if number and endpoint.addresses else ""
                if not number or not address:
                    continue
                candidate = _candidate(endpoint, Target(address, number), node)
                known = found.get(candidate.target)
                if known is None or (candidate.ready and not known.ready):
                    found[candidate.target] = candidate
    return found.values()


def _candidate(endpoint: Endpoint, target: Target, node: Node) -> Candidate:
    return Candidate(
        target,
        ready=endpoint.ready,
        draining=endpoint.serving and endpoint.terminating,
        local=endpoint.node_name == node.name,
        zones=frozenset(hint.name for hint in endpoint.hints.for_zones),
        nodes=frozenset(hint.name for hint in endpoint.hints.for_nodes),
    )
