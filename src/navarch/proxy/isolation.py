"""Who may talk to the pods of this node, and to whom they may: network policies, settled into one value.

`policy` makes it from objects; data planes carry it out, `trace` reads it packet by packet. It knows addresses and
ports only, of one address family; who has no address of it may still be isolated.

Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Literal, NamedTuple

import msgspec

Direction = Literal["ingress", "egress"]


class Port(NamedTuple):
    """A port of a pod, found by its name."""

    address: str
    protocol: str
    port: int


class Allow(msgspec.Struct, frozen=True, gc=False):
    """One way to be let through; what it says must all hold, and what it leaves empty holds for everybody.

    policies: those that say so, for people. peers: the name of a set of addresses. block, without: a network, and the
    parts of it that are not meant. first, last: of a range of ports. named: the name of a set of ports.
    """

    policies: tuple[str, ...] = ()
    peers: str = ""
    block: str = ""
    without: tuple[str, ...] = ()
    protocol: str = ""
    first: int = 0
    last: int = 0
    named: str = ""


class Profile(msgspec.Struct, frozen=True, gc=False):
    """What the same policies let through, for every pod that just these select.

    policies: all of them, as `namespace/name`. allows: one is enough; without any nothing passes.
    """

    name: str
    direction: Direction
    policies: tuple[str, ...]
    allows: tuple[Allow, ...] = ()


class Isolation(msgspec.Struct, frozen=True):
    """ingress, egress: the profile of each isolated pod of this node, by its address; who is not there is free.
    profiles: by name. peers: addresses of pods, by the name of the set. ports: those of one name and protocol.
    """

    ingress: Mapping[str, str] = {}
    egress: Mapping[str, str] = {}
    profiles: Mapping[str, Profile] = {}
    peers: Mapping[str, frozenset[str]] = {}
    ports: Mapping[str, frozenset[Port]] = {}


FREE = Isolation()


class Verdict(NamedTuple):
    """policies: who let it through, or all that might have. pod: whom they isolate."""

    passes: bool
    direction: Direction
    pod: str
    policies: tuple[str, ...]


def judge(isolation: Isolation, source: str, address: str, protocol: str, port: int) -> tuple[Verdict, ...]:
    """The first packet of a connection, as it is when it is forwarded: after its destination was replaced, before its
    sender is. Nobody is kept from itself. Both ends are judged, egress first, until one says no."""
    found: list[Verdict] = []
    if source == address:
        return ()
    ends: tuple[tuple[Direction, Mapping[str, str], str, str], ...] = (
        ("egress", isolation.egress, source, address),
        ("ingress", isolation.ingress, address, source),
    )
    for direction, isolated, pod, other in ends:
        if pod not in isolated:
            continue
        profile = isolation.profiles[isolated[pod]]
        way = next((each for each in profile.allows if _holds(each, isolation, other, address, protocol, port)), None)
        found.append(Verdict(way is not None, direction, pod, way.policies if way else profile.policies))
        if way is None:
            break
    return tuple(found)


def _holds(allow: Allow, isolation: Isolation, other: str, address: str, protocol: str, port: int) -> bool:
    if allow.protocol and allow.protocol != protocol:
        return False
    if allow.first and not allow.first <= port <= allow.last:
        return False
    if allow.named and Port(address, protocol, port) not in isolation.ports[allow.named]:
        return False
    if allow.peers:
        return other in isolation.peers[allow.peers]
    if allow.block:
        parsed = ip_address(other)
        return parsed in ip_network(allow.block) and not any(parsed in ip_network(each) for each in allow.without)
    return True
