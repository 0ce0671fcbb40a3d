"""What controllers are made with: what may differ between installations, and the seams that they are joined to."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta

from navarch.base.clock import Clock
from navarch.base.mint import Mint
from navarch.client.lease import Heartbeats
from navarch.controllers.node.lines import Lines
from navarch.kinds.registry import DEFAULT, Kinds

Sign = Callable[[bytes, Collection[str], timedelta], bytes]
"""(a PKCS #10 request in PEM, usages, for how long) -> a certificate in PEM. Raises: ValueError."""


@dataclass(frozen=True, slots=True)
class Options:
    """The values of an ordinary installation.

    controllers: names of those to run, () for all.
    node_grace_s: silence of a node after which it is Unknown (Kubernetes: 40 s). With the default tolerations that
        admission gives pods, theirs are replaced some 22 s after it died; longer values forgive longer outages.
    patience_s: how long new pods that say nothing about it stay on a node that was lost (Kubernetes: 300 s).
    node_evictions_s: how many lost nodes of a zone are emptied in a second (Kubernetes: 0.1);
        disrupted_zone_evictions_s: where more than two nodes and at least `disrupted_zone_share` of a zone are lost,
        and it has more than `large_zone_nodes`; in smaller ones none.
    cluster_cidr: what nodes' pod ranges are cut from, several (one a family) separated by commas, "" to leave the nodes
        alone; node_cidr_bits: the prefix length of a node's IPv4 range.
    root_ca: PEM text that every namespace gets to know the API server by, "" for none.
    certificate_life_s: how long a certificate that is signed for others holds at most, and if they do not say.
    terminated_pods: how many finished pods are kept, 0 for all.
    force_detach_s: for how long a node that is not ready keeps a volume which it said it uses, and nobody asks for any
        more.
    unused_tokens_s: after how long a token in a Secret that nobody uses is refused, and then removed.
    local_path: the folder of each node below which claims of the class `local-path` get their own; "" for neither class
        nor provisioner.
    cluster_domain: the last part of the names of Services.
    joining: whether bootstrap tokens are cleared away when they end, and sign where the cluster is (off in Kubernetes,
        too, unless it is asked for).
    """

    controllers: tuple[str, ...] = ()
    node_grace_s: float = 12.0
    patience_s: int = 10
    node_evictions_s: float = 1.0
    disrupted_zone_evictions_s: float = 0.01
    disrupted_zone_share: float = 0.55
    large_zone_nodes: int = 50
    cluster_cidr: str = "10.244.0.0/16"
    node_cidr_bits: int = 24
    root_ca: str = ""
    certificate_life_s: int = 365 * 24 * 3600
    terminated_pods: int = 12500
    force_detach_s: float = 360.0
    unused_tokens_s: int = 365 * 24 * 3600
    local_path: str = "/var/lib/navarch/volumes"
    joining: bool = False
    cluster_domain: str = "cluster.local"


@dataclass(frozen=True, slots=True)
class Setup:
    """sign: with the key of the cluster's authority; None where nobody here holds it. mint: makes keys and
    certificates in the cluster's time; None where none can be made. lines: to the nodes' hosts; None where there are
    none, and leases alone tell who lives."""

    clock: Clock
    heartbeats: Heartbeats
    options: Options = field(default_factory=Options)
    kinds: Kinds = DEFAULT
    sign: Sign | None = None
    mint: Mint | None = None
    lines: Lines | None = None
