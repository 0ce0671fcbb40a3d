"""Ranges of addresses as a person gives them, for pods and for Services: of which families, and what fits together.

The first family is the cluster's own: Services are of it that ask for none, and so is the DNS server's address.

Source: https://kubernetes.io/docs/concepts/services-networking/dual-stack/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from itertools import combinations
from pathlib import Path
from typing import Any

from navarch.app.layout import Settings
from navarch.app.provision import NotProvisioned

Network = IPv4Network | IPv6Network

API_HOST, DNS_HOST = 1, 10
"""Which of the Services' addresses are the API server's and the DNS server's."""
NODE_PREFIX = {4: 24, 6: 64}
"""Of a node's own range; a cluster's has to hold one of them at least."""
SERVICES_PREFIX = {4: (8, 28), 6: (64, 124)}
"""The shortest and the longest of the Services' range: more than 2⁶⁴ addresses nobody counts, and fewer than 16 would
have none for DNS."""
OWN = {4: IPv4Network("127.0.0.0/8"), 6: IPv6Network("fe80::/10")}
OPTIONS = {"cluster_cidr": "--pod-cidr", "service_cidr": "--service-cidr"}
LIKE = {"cluster_cidr": "fd00:10:244::/56", "service_cidr": "fd00:10:96::/112"}
INTERFACES = Path("/proc/net/if_inet6")


def networks(text: str) -> tuple[Network, ...]:
    """Those of a text that was checked."""
    return tuple(ip_network(part) for part in text.split(",") if part)


def read(text: str) -> tuple[Network, ...]:
    """One or two, each of another family. Raises: ValueError."""
    found = tuple(_one(part.strip()) for part in text.split(","))
    if len(found) > len(NODE_PREFIX):
        raise ValueError(f"{text!r} has {len(found)} ranges: give one, or one of IPv4 and one of IPv6")
    if len({one.version for one in found}) < len(found):
        raise ValueError(f"{text!r} has two ranges of IPv{found[0].version}: a second one must be of the other family")
    return found


def _one(text: str) -> Network:
    """Raises: ValueError."""
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        whole = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f"{text!r} is no range of addresses; one looks like 10.244.0.0/16 or fd00:10:244::/56"
        ) from None
    raise ValueError(f"{text!r} is an address inside of a range: did you mean {whole}?")


def settled(wanted: Mapping[str, Any], before: Settings) -> dict[str, str]:
    """The settings that follow from what was asked for; {} where nothing was. Raises: NotProvisioned."""
    if not any(wanted.get(name) for name in OPTIONS):
        return {}
    texts = {name: str(wanted.get(name) or getattr(before, name)) for name in OPTIONS}
    try:
        found = {name: read(text) for name, text in texts.items()}
    except ValueError as error:
        raise NotProvisioned(str(error)) from None
    wrong = [*_wrong(found)]
    if wrong:
        raise NotProvisioned("\n".join(wrong))
    made = {name: ",".join(map(str, ranges)) for name, ranges in found.items()}
    return {**made, "dns_ip": str(found["service_cidr"][0][DNS_HOST])}


def _wrong(found: Mapping[str, tuple[Network, ...]]) -> Iterator[str]:
    pods, services = found["cluster_cidr"], found["service_cidr"]
    if [one.version for one in pods] != [one.version for one in services]:
        yield (
            f"--pod-cidr is of {_families(pods)}, --service-cidr of {_families(services)}: give both for the same "
            f"families in the same order, such as --pod-cidr 10.244.0.0/16,{LIKE['cluster_cidr']} "
            f"--service-cidr 10.96.0.0/16,{LIKE['service_cidr']}"
        )
    for one in pods:
        most = NODE_PREFIX[one.version]
        if one.prefixlen > most:
            yield f"--pod-cidr {one} has no room for a node's own range, which is a /{most}: give a larger one"
    for one in services:
        least, most = SERVICES_PREFIX[one.version]
        if not least <= one.prefixlen <= most:
            yield f"--service-cidr {one}: of IPv{one.version} its prefix must be between /{least} and /{most}"
    for one in (*pods, *services):
        if one.is_multicast or one.overlaps(OWN[one.version]):  # type: ignore[arg-type]
            yield f"{one} cannot be routed: choose a range such as 10.244.0.0/16 or {LIKE['cluster_cidr']}"
    for one, other in combinations((*pods, *services), 2):
        if one.version == other.version and one.overlaps(other):
            yield f"--pod-cidr {one} and --service-cidr {other} share addresses: choose others"


def _families(found: tuple[Network, ...]) -> str:
    return " and ".join(f"IPv{one.version}" for one in found)


def check_kernel(settings: Mapping[str, Any]) -> None:
    """Raises: NotProvisioned: a family is asked for that this machine does not have."""
    for name, option in OPTIONS.items():
        wanted = settings.get(name) or ""
        if ":" in wanted and not INTERFACES.exists():
            raise NotProvisioned(f"{option} {wanted}: the kernel of this machine has no IPv6; leave its range out")


def nodes_of(network: Network) -> Iterator[Network]:
    """The ranges of nodes that it is cut into."""
    yield from network.subnets(new_prefix=NODE_PREFIX[network.version])


def same(asked: str, has: str) -> bool:
    """Whether the ranges asked for are those that there are."""
    try:
        return read(asked) == networks(has)
    except ValueError:
        return False


def first(settings: Settings, host: int) -> str:
    """An address of the Services' first range."""
    return str(networks(settings.service_cidr)[0][host])


def own_addresses(text: str) -> tuple[str, ...]:
    """`--node-ip`: an address, or one of each family parted by a comma. Raises: ValueError."""
    parts = tuple(ip_address(part.strip()) for part in text.split(","))
    if len({part.version for part in parts}) < len(parts):
        raise ValueError(f"{text!r}: give one address, or one of IPv4 and one of IPv6")
    return tuple(map(str, parts))


def node_addresses(service_cidr: str, given: str, find: Callable[[int], str]) -> dict[str, str]:
    """The settings that say where this machine is. given: as `own_addresses` reads it, "" for none; what it lacks is
    found. find: an address of a family, "" for none.

    Raises: NotProvisioned: there is none of the cluster's first family, or one of a family that the cluster has not.
    """
    own = {ip_address(text).version: text for text in own_addresses(given)} if given else {}
    versions = [network.version for network in networks(service_cidr)]
    if foreign := own.keys() - set(versions):
        raise NotProvisioned(
            f"--node-ip {own[min(foreign)]} is of IPv{min(foreign)}, which the cluster does not have: its Services "
            f"have {service_cidr}"
        )
    first, *others = (own.get(version) or find(version) for version in versions)
    if not first:
        raise NotProvisioned(
            f"no network interface has an IPv{versions[0]} address other than loopback; give one with --node-ip"
        )
    return {"node_ip": first, **({"other_ip": others[0]} if any(others) else {})}
