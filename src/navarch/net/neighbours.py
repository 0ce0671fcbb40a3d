"""The kernel's memory of who has which address on a link: read, and made to forget.

Below some number of entries the kernel itself keeps them for ever, so that those of pods which are gone would stay.

Source: arp(7), rtnetlink(7)
"""

from __future__ import annotations

import errno
import os
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

from navarch.base.errors import Retryable
from navarch.net import messages as nl

FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def on(interface: str) -> list[IPv4Address | IPv6Address]:
    """Addresses that the kernel learned, or tried to learn, on the interface. Raises: Retryable."""
    number = _number(interface)
    if not number:
        return []
    try:
        with nl.Conversation() as talk:
            found = [
                body
                for family in FAMILIES.values()
                for body in talk.dump(nl.RTM_GETNEIGH, nl.NEIGHBOUR.pack(family, number, 0, 0, 0))
            ]
    except OSError as error:
        raise Retryable(f"the kernel does not say who is on {interface}: {os.strerror(error.errno or 0)}") from error
    addresses: list[IPv4Address | IPv6Address] = []
    for body in found:
        _, index, state = nl.NEIGHBOUR.unpack_from(body)[:3]
        told = nl.attributes(body[nl.NEIGHBOUR.size :]).get(nl.NDA_DST, b"")
        if index == number and told and not state & (nl.NUD_PERMANENT | nl.NUD_NOARP):
            addresses.append(ip_address(told))
    return addresses


def forget(interface: str, address: str) -> bool:
    """False where there was nothing to forget. Raises: Retryable."""
    number = _number(interface)
    if not number:
        return False
    gone = ip_address(address)
    body = nl.NEIGHBOUR.pack(FAMILIES[gone.version], number, 0, 0, 0)
    try:
        with nl.Conversation() as talk:
            talk.ask(nl.RTM_DELNEIGH, 0, body + nl.attribute(nl.NDA_DST, gone.packed))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESRCH, errno.ENXIO, errno.ENODEV):
            return False
        raise Retryable(f"the kernel does not forget {address}: {os.strerror(error.errno or 0)}") from error
    return True


def _number(interface: str) -> int:
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        return 0
