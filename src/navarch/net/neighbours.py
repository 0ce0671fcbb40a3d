"""The kernel's memory of who has which address on a link: read, and made to forget.

Below some number of entries the kernel itself keeps them for ever, so that those of pods which are gone would stay.

Source: arp(7), rtnetlink(7)
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from ipaddress import IPv4Address, IPv6Address, ip_address

from navarch.base.errors import Retryable
from navarch.net import messages as nl

FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def on(interface: str) -> dict[IPv4Address | IPv6Address, bytes]:
    """Addresses that the kernel learned, or tried to learn, on the interface, with the hardware's, b"" for an unknown
    one. Raises: Retryable."""
    number = _number(interface)
    found: dict[IPv4Address | IPv6Address, bytes] = {}
    for family in FAMILIES.values():
        for index, state, told in _dump(interface, nl.NEIGHBOUR.pack(family, number, 0, 0, 0)):
            if index == number and nl.NDA_DST in told and not state & (nl.NUD_PERMANENT | nl.NUD_NOARP):
                found[ip_address(told[nl.NDA_DST])] = told.get(nl.NDA_LLADDR, b"")
    return found


def behind(bridge: str) -> set[bytes]:
    """Hardware addresses that the bridge has heard at the ports that it has; it forgets a silent one after minutes.
    Raises: Retryable."""
    master = _number(bridge).to_bytes(4, sys.byteorder)
    return {
        told[nl.NDA_LLADDR]
        for _, state, told in _dump(bridge, nl.NEIGHBOUR.pack(nl.AF_BRIDGE, 0, 0, 0, 0))
        if told.get(nl.NDA_MASTER) == master and nl.NDA_LLADDR in told and not state & nl.NUD_PERMANENT
    }


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


def _dump(interface: str, body: bytes) -> list[tuple[int, int, dict[int, bytes]]]:
    """(interface, state, attributes) of each; none where there is no such interface."""
    if not _number(interface):
        return []
    try:
        with nl.Conversation() as talk:
            found = list(talk.dump(nl.RTM_GETNEIGH, body))
    except OSError as error:
        raise Retryable(f"the kernel does not say who is on {interface}: {os.strerror(error.errno or 0)}") from error
    heads = (nl.NEIGHBOUR.unpack_from(one) for one in found)
    return [
        (index, state, nl.attributes(one[nl.NEIGHBOUR.size :]))
        for one, (_, index, state, _, _) in zip(found, heads, strict=True)
    ]


def _number(interface: str) -> int:
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        return 0
