"""Where Services of type LoadBalancer get their addresses from: what people wrote, turned into a value. Pure.

It stands in the ConfigMap `load-balancer` of kube-system. Its `addresses` are networks (`192.0.2.240/28`), ranges
(`192.0.2.240-192.0.2.250`) and single addresses, separated by commas, blanks or lines; or the one word `nodes`, for the
nodes' own addresses. Without it nobody here gives any: that is a cloud's matter then, as in Kubernetes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

NAMESPACE, NAME = "kube-system", "load-balancer"
ADDRESSES, NODES = "addresses", "nodes"
FAMILIES = {4: "IPv4", 6: "IPv6"}

_Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Range:
    """From the first to the last, both in it, of one family."""

    first: _Address
    last: _Address

    @property
    def family(self) -> str:
        return FAMILIES[self.first.version]

    def __contains__(self, address: _Address) -> bool:
        return address.version == self.first.version and int(self.first) <= int(address) <= int(self.last)

    def __iter__(self) -> Iterator[str]:
        kind = type(self.first)
        return (str(kind(number)) for number in range(int(self.first), int(self.last) + 1))


@dataclass(frozen=True, slots=True)
class Pool:
    """of_nodes: the nodes' own addresses, and no ranges."""

    ranges: tuple[Range, ...] = ()
    of_nodes: bool = False

    def has(self, address: str, family: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        return FAMILIES[found.version] == family and any(found in each for each in self.ranges)

    def free(self, family: str, taken: Collection[str]) -> str:
        """The first address of the family that is not taken, "" when all are."""
        for each in self.ranges:
            if each.family == family:
                found = next((address for address in each if address not in taken), "")
                if found:
                    return found
        return ""


def pool_of(data: Mapping[str, str]) -> tuple[Pool | None, list[str]]:
    """None where nothing is said. Returns too what is wrong, each with what stands there; the rest counts."""
    words = data.get(ADDRESSES, "").replace(",", " ").split()
    if not words:
        return None, []
    if words == [NODES]:
        return Pool(of_nodes=True), []
    ranges, faults = [], []
    for word in words:
        try:
            ranges.append(_range(word))
        except ValueError as error:
            faults.append(f"{ADDRESSES}: {word!r} is no address, network or range: {error}")
    return Pool(tuple(ranges)), faults


def _range(word: str) -> Range:
    if word == NODES:
        raise ValueError(f"{NODES!r} stands alone")
    if "/" in word:
        network = ip_network(word)
        return Range(network[0], network[-1])
    first, dash, last = word.partition("-")
    made = Range(ip_address(first), ip_address(last if dash else first))
    if made.first.version != made.last.version:
        raise ValueError("its ends are of two families")
    if int(made.last) < int(made.first):
        raise ValueError("its end comes before its beginning")
    return made
