"""What controllers are made with: what may differ between installations, and the seams that they are joined to."""

from __future__ import annotations

from dataclasses import dataclass, field

from navarch.base.clock import Clock
from navarch.client.lease import Heartbeats
from navarch.kinds.registry import DEFAULT, Kinds


@dataclass(frozen=True, slots=True)
class Options:
    """The values of an ordinary installation.

    controllers: names of those to run, () for all.
    node_grace_s: silence of a node after which it is Unknown (Kubernetes: 40 s). With the default tolerations that
        admission gives pods, theirs are replaced some 22 s after it died; longer values forgive longer outages.
    cluster_cidr: what nodes' pod ranges are cut from, several (one a family) separated by commas, "" to leave the nodes
        alone; node_cidr_bits: the prefix length of a node's IPv4 range.
    root_ca: PEM text that every namespace gets to know the API server by, "" for none.
    terminated_pods: how many finished pods are kept, 0 for all.
    """

    controllers: tuple[str, ...] = ()
    node_grace_s: float = 12.0
    cluster_cidr: str = "10.244.0.0/16"
    node_cidr_bits: int = 24
    root_ca: str = ""
    terminated_pods: int = 12500


@dataclass(frozen=True, slots=True)
class Setup:
    clock: Clock
    heartbeats: Heartbeats
    options: Options = field(default_factory=Options)
    kinds: Kinds = DEFAULT
