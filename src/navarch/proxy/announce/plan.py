"""Which node answers for which address: the same on every node, from the same objects, without a word between them.

Of the nodes that may take traffic for an address, the one with the highest hash of both has it: when a node comes or
goes, only its own addresses move.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface

from navarch.kinds.endpointslice import EndpointSlice
from navarch.kinds.node import Node
from navarch.kinds.service import Service


@dataclass(frozen=True, slots=True)
class Link:
    """An interface. hardware: its six bytes. networks: its own addresses with their prefixes, `192.0.2.7/24`."""

    name: str
    index: int
    hardware: bytes
    networks: tuple[str, ...] = ()
    default: bool = False


def candidates(nodes: Iterable[Node]) -> frozenset[str]:
    """Nodes that take traffic from outside."""
    return frozenset(node.metadata.name for node in nodes if node.takes_traffic)


def own_addresses(nodes: Iterable[Node]) -> frozenset[str]:
    """Those that answer for themselves."""
    return frozenset(each.address for node in nodes for each in node.status.addresses)


def addresses(service: Service) -> tuple[str, ...]:
    """Those that a load balancer on the link would answer for."""
    if service.spec.type != "LoadBalancer":
        return ()
    return tuple(each.ip for each in service.status.load_balancer.ingress if each.ip and each.ip_mode != "Proxy")


def speaker(address: str, names: Iterable[str]) -> str:
    """Who of them answers for it; "" when there is none."""
    return max(names, key=lambda name: (_weight(address, name), name), default="")


def _weight(address: str, name: str) -> bytes:
    return hashlib.blake2b(f"{name}\0{address}".encode(), digest_size=8).digest()


def balanced(services: Iterable[Service], own: frozenset[str]) -> frozenset[str]:
    """All addresses that are answered for, by whichever node: there is nothing at them but Services."""
    return frozenset(address for service in services for address in addresses(service)) - own


def shares(
    services: Iterable[tuple[Service, Sequence[EndpointSlice]]], taking: frozenset[str], own: frozenset[str]
) -> Mapping[str, frozenset[str]]:
    """Each address with the nodes that may answer for it. services: with their slices; taking: `candidates` of all
    nodes; own: the nodes' addresses."""
    found: dict[str, frozenset[str]] = {}
    for service, slices in services:
        able = taking
        if service.spec.external_traffic_policy == "Local":
            able &= frozenset(end.node_name for each in slices for end in each.endpoints if end.ready)
        for address in addresses(service):
            if address not in own:
                found[address] = found.get(address, frozenset()) | able
    return found


def announced(me: str, shared: Mapping[str, frozenset[str]], silent: frozenset[str] = frozenset()) -> frozenset[str]:
    """The addresses that this node answers for. shared: `shares`; silent: nodes that the link hears no more."""
    return frozenset(address for address, able in shared.items() if speaker(address, able - silent) == me)


def watched(me: str, shared: Mapping[str, frozenset[str]]) -> Mapping[str, frozenset[str]]:
    """The nodes to whom this one is next, with the addresses that would come to it: each address has one watcher."""
    found: dict[str, set[str]] = {}
    for address, able in shared.items():
        if me in able and (first := speaker(address, able)) != me and speaker(address, able - {first}) == me:
            found.setdefault(first, set()).add(address)
    return {name: frozenset(each) for name, each in found.items()}


def asked_at(node: Node, link: Link) -> str:
    """The address by which a node is asked for on a link whether it is there; "" when it has none."""
    inner = [each.address for each in node.status.addresses if each.type == "InternalIP"]
    near = [each for each in inner if any(ip_address(each) in ip_interface(net).network for net in link.networks)]
    return min(near or inner, key=lambda each: ":" in each, default="")


def link_of(address: str, links: Sequence[Link]) -> Link | None:
    """Where it is announced: on the link whose network it is in, else where the node's own way out is."""
    wanted = ip_address(address)
    for link in links:
        if any(wanted in ip_interface(each).network for each in link.networks):
            return link
    return next((link for link in links if link.default), None)


def by_link(wanted: Iterable[str], links: Sequence[Link]) -> Mapping[Link, frozenset[str]]:
    """What each link has to answer for; addresses that fit on none are left out."""
    found: dict[Link, set[str]] = {}
    for address in wanted:
        link = link_of(address, links)
        if link is not None:
            found.setdefault(link, set()).add(address)
    return {link: frozenset(each) for link, each in found.items()}
