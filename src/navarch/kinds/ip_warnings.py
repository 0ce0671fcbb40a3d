"""What is told of addresses and networks that are accepted but not written as they usually are.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/ (how `kubectl` shows them: `Warning:`)
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from navarch.kinds.rules import shown

LATER = "will be considered invalid in a future Kubernetes release"


def _sloppy(text: str) -> IPv4Address | IPv6Address | None:
    """The address, zeros before numbers taken as decimal; None for what is none."""
    try:
        return ip_address(text)
    except ValueError:
        pass
    try:
        return ip_address(".".join(str(int(part)) for part in text.split(".")))
    except ValueError:
        return None


def for_address(text: str, at: str) -> Iterator[str]:
    found = _sloppy(text)
    if found is None:
        return
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    if mapped is not None or (found.version == 4 and str(found) != text):
        yield f"{at}: non-standard IP address {shown(text)} {LATER}: use {shown(str(mapped or found))}"
    elif found.version == 6 and str(found) != text:
        yield f"{at}: IPv6 address {shown(text)} should be in RFC 5952 canonical format ({shown(str(found))})"


def for_network(text: str, at: str) -> Iterator[str]:
    try:
        found = ip_network(text, strict=False)
    except ValueError:
        return
    address, _, length = text.partition("/")
    own = ip_address(address)
    if own != found.network_address:
        either = f"{shown(str(found))} or {shown(f'{own}/{own.max_prefixlen}')}"
        yield f"{at}: CIDR value {shown(text)} is ambiguous in this context (should be {either}?)"
    elif found.version == 6 and str(found) != text:
        yield f"{at}: IPv6 CIDR value {shown(text)} should be in RFC 5952 canonical format ({shown(str(found))})"
    elif str(int(length)) != length:
        yield f"{at}: non-standard CIDR value {shown(text)} {LATER}: use {shown(str(found))}"
