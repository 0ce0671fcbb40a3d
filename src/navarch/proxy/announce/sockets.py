"""Sockets on one link, for ARP and for neighbour discovery, that hear only what they are made for.

Source: packet(7), raw(7), ipv6(7), netdevice(7)
"""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct

from navarch.proxy.announce import packets
from navarch.proxy.announce.plan import Link

SO_ATTACH_FILTER = 26
ICMP6_FILTER = 1
GET_FLAGS, RUNNING = 0x8913, 0x40
PACKET_LIMIT_BYTES = 2048


def arp_socket(link: Link, program: bytes) -> socket.socket:
    """program: a filter that nothing passes before the socket is bound. Raises: OSError."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)
    try:
        attach(made, program)
        made.bind((link.name, packets.ETHERTYPE_ARP))
    except OSError:
        made.close()
        raise
    return made


def neighbour_socket(link: Link, message: int) -> socket.socket:
    """message: the type of ICMPv6 that it hears. Raises: OSError."""
    made = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMPV6)
    try:
        blocked = bytearray(b"\xff" * 32)
        at = message // 32 * 4
        blocked[at : at + 4] = struct.pack("=I", 0xFFFFFFFF & ~(1 << message % 32))
        made.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, bytes(blocked))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.name.encode() + b"\0")
        for option in (socket.IPV6_UNICAST_HOPS, socket.IPV6_MULTICAST_HOPS):
            made.setsockopt(socket.IPPROTO_IPV6, option, 255)  # others are not believed
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    except OSError:
        made.close()
        raise
    return made


def attach(made: socket.socket, program: bytes) -> None:
    """The kernel copies the program, so it need live no longer than the call."""
    held = ctypes.create_string_buffer(program, len(program))
    made.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(program) // 8, ctypes.addressof(held)))


def carries(made: socket.socket, link: Link) -> bool:
    """Whether the link is up and its cable in. Raises: OSError: it is gone."""
    asked = struct.pack("16sh14x", link.name.encode(), 0)
    (_, flags) = struct.unpack("16sh14x", fcntl.ioctl(made, GET_FLAGS, asked))
    return bool(flags & RUNNING)
