"""Addresses as text, told apart before they reach a rule, and the two families that they belong to.

What users and load balancers write into objects is not trusted to be an address: one bad word would have a whole
transaction refused. All rules are of one family; what differs between the two, in words and in kind, stands here.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import NamedTuple

Network = IPv4Network | IPv6Network


class Family(NamedTuple):
    """name: as objects say it. word: as rules say it, of tables and of what packets hold. type: of addresses in sets.
    number: the kernel's. bits: of an address. unspecified: what an object says for every address of the node.
    local: networks that never leave a link."""

    name: str
    word: str
    type: str
    number: int
    bits: int
    loopback: str
    everywhere: str
    unspecified: str
    local: tuple[str, ...]

    def proper(self, text: str) -> str:
        """An address of this family in its one proper form; "" for anything else."""
        try:
            packed = inet_pton(self.number, text)
        except (OSError, ValueError):
            return ""
        if self.number == AF_INET:
            return text
        found = inet_ntop(AF_INET6, packed)
        # One that embeds an address of IPv4 is nobody's, and not a word of the rules' language.
        return "" if "." in found else found

    def those(self, texts: Iterable[str]) -> tuple[str, ...]:
        """Addresses of this family among `texts`, each once, in order."""
        return tuple(dict.fromkeys(filter(None, map(self.proper, texts))))

    def network(self, text: str) -> Network | None:
        """None for what is no network of this family."""
        try:
            return (
                IPv4Network(text.strip(), strict=False) if self.bits == 32 else IPv6Network(text.strip(), strict=False)
            )
        except ValueError:
            return None


IPV4 = Family("IPv4", "ip", "ipv4_addr", AF_INET, 32, "127.0.0.0/8", "0.0.0.0/0", "0.0.0.0", ("224.0.0.0/4",))
IPV6 = Family("IPv6", "ip6", "ipv6_addr", AF_INET6, 128, "::1/128", "::/0", "::", ("ff00::/8", "fe80::/10"))
FAMILIES = (IPV4, IPV6)


def family_of(text: str) -> Family:
    """Of an address or a network that is one."""
    return IPV6 if ":" in text else IPV4


def ipv4(text: str) -> bool:
    """Whether `text` is an IPv4 address in its one proper form."""
    return bool(IPV4.proper(text))


def proper(texts: Iterable[str]) -> tuple[str, ...]:
    """Addresses of either family in their proper form, each once, in order."""
    return tuple(dict.fromkeys(found for text in texts if (found := IPV4.proper(text) or IPV6.proper(text))))


def network(text: str) -> IPv4Network | None:
    """None for what is no IPv4 network."""
    try:
        return IPv4Network(text.strip(), strict=False)
    except ValueError:
        return None


def within(address: str, network: str) -> bool:
    """Both are proper. An address is in no network of the other family."""
    return ip_address(address) in _parsed(network)


def first_of(network: str) -> str:
    """The first address that a network hands out: its gateway."""
    return str(_parsed(network)[1])


def joined(address: str, port: int) -> str:
    """As one word: `10.0.0.1:80`, `[fd00::1]:80`."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@lru_cache(256)
def _parsed(network: str) -> Network:
    return ip_network(network, strict=False)
