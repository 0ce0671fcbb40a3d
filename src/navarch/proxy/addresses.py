"""Addresses as text, told apart before they reach a rule.

What users and load balancers write into objects is not trusted to be an address: one bad word would have a whole
transaction refused.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from socket import AF_INET, inet_pton


def ipv4(text: str) -> bool:
    """Whether `text` is an IPv4 address in its one proper form."""
    try:
        inet_pton(AF_INET, text)
    except (OSError, ValueError):
        return False
    return True


def network(text: str) -> IPv4Network | None:
    """None for what is no IPv4 network."""
    try:
        return IPv4Network(text.strip(), strict=False)
    except ValueError:
        return None
