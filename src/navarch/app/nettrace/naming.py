"""What a pod's resolver makes of a name: the search path and `ndots`, then the zone that nodes answer from. Pure.

Source: resolv.conf(5), https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from navarch.app.nettrace.world import DNS, World
from navarch.kinds.pod.view import Pod
from navarch.proxy.addresses import IPV4

NDOTS = 5
"""What pods are told by `ClusterFirst`; resolvers have 1 of themselves."""
LONGEST_CHAIN = 8


@dataclass(frozen=True, slots=True)
class Resolver:
    """asks_cluster: whether the first server it asks is the cluster's."""

    asks_cluster: bool
    searches: Sequence[str] = ()
    ndots: int = 1


@dataclass(frozen=True, slots=True)
class Resolution:
    """addresses: none where `elsewhere` knows better, and where no such name is. tried: names without an answer, in
    order. name: the one that was answered. elsewhere: the name that others are asked for."""

    addresses: Sequence[str] = ()
    tried: Sequence[str] = ()
    name: str = ""
    elsewhere: str = ""


def resolver_of(pod: Pod, domain: str, cluster_dns: str) -> Resolver:
    """cluster_dns: the address of the cluster's DNS, "" when unknown."""
    spec, extra = pod.spec, pod.spec.dns_config
    first = spec.dns_policy == "ClusterFirstWithHostNet" or (
        spec.dns_policy == "ClusterFirst" and not spec.host_network
    )
    asks = first or (spec.dns_policy == "None" and cluster_dns in extra.nameservers[:1])
    own = (f"{pod.metadata.namespace}.svc.{domain}", f"svc.{domain}", domain) if first else ()
    said = next((option.value for option in extra.options if option.name == "ndots" and option.value), "")
    ndots = int(said) if said.isdecimal() else NDOTS if first else 1
    return Resolver(asks, tuple(dict.fromkeys((*own, *extra.searches))), ndots)


def resolve(world: World, resolver: Resolver, name: str) -> Resolution:
    tried: list[str] = []
    for candidate in candidates(resolver, name):
        found = _lookup(world, candidate)
        if found is None:
            tried.append(candidate)
        elif isinstance(found, str):
            return Resolution((), tried, candidate, found)
        else:
            return Resolution(found, tried, candidate)
    return Resolution((), tried)


def candidates(resolver: Resolver, name: str) -> Sequence[str]:
    """In the order in which they are asked for, without the final dot."""
    if name.endswith("."):
        return (name.rstrip("."),)
    longer = tuple(f"{name}.{search.strip('.')}" for search in resolver.searches if search.strip("."))
    return tuple(dict.fromkeys((name, *longer) if name.count(".") >= resolver.ndots else (*longer, name)))


def cluster_dns(world: World) -> str:
    """The address of the Service that pods ask; "" where there is none."""
    found = world.services.get(DNS)
    return str(found.view.spec.cluster_ip) if found else world.config.get("clusterDNS", "")


def _lookup(world: World, name: str) -> Sequence[str] | str | None:
    """Addresses; a name that only others know; or None for nothing."""
    for _ in range(LONGEST_CHAIN):
        kind = "A" if world.family is IPV4 else "AAAA"
        answer = world.zone.lookup(name, kind)
        if answer is None:
            return name
        addresses = [str(record.data) for record in answer.records if record.type == kind]
        if addresses:
            return addresses
        if not answer.chase:
            return None
        name = answer.chase.rstrip(".").lower()
    return None
