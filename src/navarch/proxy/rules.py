"""What a node's data plane should do, as one value that can be compared piece by piece.

`compile` makes it, every `Dataplane` carries it out, the fake one reads it packet by packet. It knows addresses and
ports only: which endpoint is ready, local or close was decided before. It is of one address family; where a cluster has
both, there are two values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec

from navarch.proxy.addresses import Family, family_of
from navarch.proxy.isolation import FREE, Isolation

Refusal = Literal["reject", "drop"]


class Target(NamedTuple):
    """Where a packet is sent: the address and port of an endpoint."""

    address: str
    port: int


class Front(NamedTuple):
    """What a packet is sent to before it is translated. protocol: `tcp`, `udp` or `sctp`."""

    address: str
    protocol: str
    port: int


class Gate(NamedTuple):
    """A port on every address of the node (a node port or a host port)."""

    protocol: str
    port: int


Claim = str | tuple[str | int, ...]
"""A cluster address, a `Front`, a `Gate` (as a node port), or for host ports `("host", *gate)`, `("host", *front)`."""


class Pool(msgspec.Struct, frozen=True, gc=False):
    """Targets of which one is picked at random. targets: never empty, sorted, each once.

    affinity_s: a client's address keeps its target until it was silent for so long; 0 for no affinity.
    """

    name: str
    protocol: str
    targets: tuple[Target, ...]
    affinity_s: int = 0


class Door(msgspec.Struct, frozen=True, gc=False):
    """The way in for traffic from outside the cluster.

    pool: where it goes, "" for nowhere (the front is then among the refused ones). near: where traffic of pods and of
    the node itself goes instead, "" when the same. hidden: the sender's address is replaced by the node's; a local
    sender's always is when it takes the near way.
    """

    name: str
    pool: str
    near: str = ""
    hidden: bool = True


class Part(msgspec.Struct, frozen=True, gc=False):
    """What one Service, or the host ports of one pod, contribute. Names are those of the pools and doors here.

    fronts, node_ports, host_ports, host_fronts: to a pool or a door; the last are host ports on one address, which hold
    only where it is the node's. refused: what answers when there is nobody to serve.
    guards: only packets from these networks may pass. cluster_ips: the addresses of the service inside the cluster.
    locals: addresses of targets on this node, which may be their own clients.
    created_s: since the epoch. claims: everything of which there can be only one owner.
    """

    pools: tuple[Pool, ...] = ()
    doors: tuple[Door, ...] = ()
    fronts: Mapping[Front, str] = {}
    node_ports: Mapping[Gate, str] = {}
    host_ports: Mapping[Gate, str] = {}
    host_fronts: Mapping[Front, str] = {}
    refused: Mapping[Front, Refusal] = {}
    refused_node_ports: Mapping[Gate, Refusal] = {}
    guards: Mapping[Front, tuple[str, ...]] = {}
    cluster_ips: tuple[str, ...] = ()
    locals: tuple[str, ...] = ()
    created_s: float = 0.0
    claims: tuple[Claim, ...] = ()


class Node(msgspec.Struct, frozen=True):
    """What the data plane must know of the node it runs on, in one address family: that of `pod_cidr`.

    addresses: those that node ports answer on (never a loopback address). pod_cidr: this node's pods; cluster_cidr: all
    pods; service_cidr: all cluster addresses of services, "" when unknown: packets to unassigned ones are dropped.
    own: services (`namespace/name`) without a selector that every node answers itself, such as DNS.
    bridge_filtered: the kernel shows bridged packets to netfilter; without it, replies between pods on one bridge
    would pass unseen, so that such connections are masqueraded. bridge: its interface, "" when unknown.
    masquerade_all: whoever speaks to a cluster address hides behind the node, pods as well. node_port_networks: node
    ports answer on the node's addresses in these, but for loopback ones, instead of on `addresses`; none overlap.
    hides_pods: what they send out of the cluster has the node's address; else that is somebody else's business.
    """

    name: str
    addresses: tuple[str, ...]
    pod_cidr: str
    cluster_cidr: str
    service_cidr: str = ""
    zone: str = ""
    own: Mapping[str, Target] = {}
    bridge_filtered: bool = True
    bridge: str = ""
    masquerade_all: bool = False
    node_port_networks: tuple[str, ...] = ()
    hides_pods: bool = True

    @property
    def family(self) -> Family:
        return family_of(self.pod_cidr)


class Rules(msgspec.Struct, frozen=True):
    """All of it. parts: by `namespace/name` of a Service, or `/namespace/name` of a pod with host ports.

    hairpins: addresses of local targets: a connection from one of them to itself must be masqueraded. isolation: what
    network policies make of this node's pods. balanced: addresses of load balancers that are no node's own: what no
    Service serves at them is refused.
    """

    node: Node
    parts: Mapping[str, Part] = {}
    hairpins: frozenset[str] = frozenset()
    isolation: Isolation = FREE
    balanced: frozenset[str] = frozenset()
