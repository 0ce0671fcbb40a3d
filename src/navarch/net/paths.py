"""What lets packets reach the pods of other nodes, as one value: routes, and a tunnel where no link is shared.

`plan` makes it, every `Kernel` carries it out. Addresses are text; families are told by them, and live side by side.
What a node has of each family stands in one text, parted by a comma, its own family first.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

Mode = Literal["auto", "direct", "vxlan"]
"""auto: over the link where it is shared, else by the tunnel. direct, vxlan: always the one or the other."""
MODES: tuple[Mode, ...] = ("auto", "direct", "vxlan")


class Route(NamedTuple):
    """network: of another node's pods. gateway: the node itself, or its end of the tunnel. device: an interface."""

    network: str
    gateway: str
    device: str


class Neighbour(NamedTuple):
    """The hardware address of another node's end of the tunnel."""

    address: str
    hardware: str


class Forward(NamedTuple):
    """The node that has an end of the tunnel with this hardware address."""

    hardware: str
    address: str


class Tunnel(msgspec.Struct, frozen=True):
    """source: this node's address, whose family it travels by. addresses: of the tunnel's end here, one of each family
    that pods have, IPv4 first; hardware: its hardware address."""

    name: str
    number: int
    port: int
    source: str
    addresses: tuple[str, ...]
    hardware: str
    mtu_bytes: int


class Paths(msgspec.Struct, frozen=True):
    tunnel: Tunnel | None = None
    routes: frozenset[Route] = frozenset()
    neighbours: frozenset[Neighbour] = frozenset()
    forwards: frozenset[Forward] = frozenset()


class Peer(NamedTuple):
    """Another node. address: by which nodes reach it, or one of each family. networks: of its pods, one of a family."""

    name: str
    address: str
    networks: tuple[str, ...]


class Link(NamedTuple):
    """An address of this machine. address: with its prefix."""

    device: str
    address: str
    mtu_bytes: int


class Home(NamedTuple):
    """This node. address: by which others reach it. network: of its pods; cluster: of all pods. Each of one family
    or of both."""

    name: str
    address: str
    network: str
    cluster: str


class Seen(msgspec.Struct, frozen=True):
    """What a kernel has. links: by device and address, whatever is up. paths: those that are ours."""

    links: tuple[Link, ...] = ()
    paths: Paths = Paths()


Step = tuple[Literal["add", "remove"], Tunnel | Route | Neighbour | Forward]
"""add: make it so, in the place of what else there was of ours."""
