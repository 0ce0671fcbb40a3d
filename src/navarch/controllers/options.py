"""What may differ between installations, with the values of an ordinary one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """node_grace_s: silence of a node after which it is Unknown (Kubernetes: 40 s). With the default tolerations of
    `default_toleration_s` its pods are replaced some 22 s after it died; longer values forgive longer outages.

    cluster_cidr: what nodes' pod ranges are cut from, "" to leave them alone; node_cidr_bits: the size of each.
    root_ca: PEM text published in every namespace, "" for none. terminated_pods: how many finished pods are kept, 0
    for all. eviction_rate: nodes a second whose pods are evicted, evicting_rate in a zone that is mostly down.
    """

    node_grace_s: float = 12.0
    cluster_cidr: str = "10.244.0.0/16"
    node_cidr_bits: int = 24
    root_ca: str = ""
    terminated_pods: int = 12500
    controllers: tuple[str, ...] = ()
    """Names of those to run; () for all."""
