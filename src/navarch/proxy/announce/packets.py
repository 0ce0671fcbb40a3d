"""ARP and neighbour discovery as bytes: who has this address, I have it; are you there.

Source: RFC 826, RFC 5227 (announcements), RFC 4861 (sections 4.3, 4.4 and 7.2.8), packet(7), bpf(4)
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

ETHERTYPE_ARP = 0x0806
BROADCAST = b"\xff" * 6
NOBODY = b"\0" * 6
ALL_NODES = "ff02::1"
SOLICITATION, ADVERTISEMENT = 135, 136
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_ETHERNET, _IPV4 = 1, 0x0800
_REQUEST, _REPLY = 1, 2
_SOLICITED, _OVERRIDE = 0x40000000, 0x20000000
_SOURCE_HARDWARE, _TARGET_HARDWARE = 1, 2

_LOAD_HALF, _LOAD_WORD, _JUMP_EQUAL, _RETURN = 0x28, 0x20, 0x15, 0x06
_OPERATION_AT, _SENDER_AT, _TARGET_AT = 6, 14, 24
_WHOLE = 0xFFFF
FILTERED_LIMIT = 200
"""Addresses that a filter compares; its jumps reach no farther than 255 steps."""


class Asked(NamedTuple):
    """Somebody wants to know who has `target`. sender: "" when it has no address itself."""

    target: str
    sender: str
    hardware: bytes


def read_arp(data: bytes) -> Asked | None:
    """None for what is no question."""
    if len(data) < _ARP.size:
        return None
    kind, protocol, hardware_bytes, protocol_bytes, operation, hardware, sender, _, target = _ARP.unpack_from(data)
    if (kind, protocol, hardware_bytes, protocol_bytes, operation) != (_ETHERNET, _IPV4, 6, 4, _REQUEST):
        return None
    asking = "" if sender == bytes(4) else str(IPv4Address(sender))
    return Asked(str(IPv4Address(target)), asking, hardware)


def arp_reply(asked: Asked, hardware: bytes) -> bytes:
    sender = IPv4Address(asked.sender or "0.0.0.0").packed
    target = IPv4Address(asked.target).packed
    return _ARP.pack(_ETHERNET, _IPV4, 6, 4, _REPLY, hardware, target, asked.hardware, sender)


def arp_announcement(address: str, hardware: bytes) -> bytes:
    """Told to everybody: whoever knows the address knows it by the new hardware from now on."""
    packed = IPv4Address(address).packed
    return _ARP.pack(_ETHERNET, _IPV4, 6, 4, _REQUEST, hardware, packed, NOBODY, packed)


def arp_probe(address: str, hardware: bytes) -> bytes:
    """A question in nobody's name: it teaches no neighbour anything."""
    return _ARP.pack(_ETHERNET, _IPV4, 6, 4, _REQUEST, hardware, bytes(4), NOBODY, IPv4Address(address).packed)


def read_arp_reply(data: bytes) -> tuple[str, bytes] | None:
    """Who answered, and their hardware address; None for what is no answer."""
    if len(data) < _ARP.size:
        return None
    kind, protocol, hardware_bytes, protocol_bytes, operation, hardware, sender, _, _ = _ARP.unpack_from(data)
    if (kind, protocol, hardware_bytes, protocol_bytes, operation) != (_ETHERNET, _IPV4, 6, 4, _REPLY):
        return None
    return str(IPv4Address(sender)), hardware


def solicitation(address: str, hardware: bytes) -> bytes:
    """Without its checksum, which the kernel fills in."""
    head = struct.pack("!BBHI", SOLICITATION, 0, 0, 0) + IPv6Address(address).packed
    return head + struct.pack("!BB6s", _SOURCE_HARDWARE, 1, hardware)


def read_advertisement(data: bytes) -> tuple[str, bytes] | None:
    """Who answered, and their hardware address (b"" where it is not said); None for what is no answer."""
    if len(data) < 24 or data[0] != ADVERTISEMENT or data[1]:
        return None
    said = data[26:32] if len(data) >= 32 and data[24:26] == bytes((_TARGET_HARDWARE, 1)) else b""
    return str(IPv6Address(data[8:24])), said


def read_solicitation(data: bytes) -> str:
    """The address that a neighbour solicitation asks for, "" for what is none."""
    if len(data) < 24 or data[0] != SOLICITATION or data[1]:
        return ""
    return str(IPv6Address(data[8:24]))


def advertisement(address: str, hardware: bytes, *, solicited: bool) -> bytes:
    """Without its checksum, which the kernel fills in."""
    flags = _OVERRIDE | (_SOLICITED if solicited else 0)
    head = struct.pack("!BBHI", ADVERTISEMENT, 0, 0, flags) + IPv6Address(address).packed
    return head + struct.pack("!BB6s", _TARGET_HARDWARE, 1, hardware)


def solicited_group(address: str) -> str:
    """The multicast group in which questions for it are asked. Source: RFC 4291, section 2.7.1"""
    return str(IPv6Address(b"\xff\x02" + bytes(9) + b"\x01\xff" + IPv6Address(address).packed[-3:]))


def arp_filter(addresses: Collection[str]) -> bytes:
    """A program by which the kernel lets only questions for these pass: a busy link wakes nobody for others.

    For a socket that gives packets without their Ethernet header. With more than `FILTERED_LIMIT`, questions for any.
    """
    return _filter(addresses, _REQUEST, _TARGET_AT)


def arp_reply_filter(addresses: Collection[str]) -> bytes:
    """The same for answers from these."""
    return _filter(addresses, _REPLY, _SENDER_AT)


def _filter(addresses: Collection[str], operation: int, at: int) -> bytes:
    wanted = sorted(int(IPv4Address(each)) for each in addresses)
    count = len(wanted)
    steps = [(_LOAD_HALF, 0, 0, _OPERATION_AT)]
    if count > FILTERED_LIMIT:
        steps += [(_JUMP_EQUAL, 1, 0, operation), (_RETURN, 0, 0, 0), (_RETURN, 0, 0, _WHOLE)]
    else:
        steps += [(_JUMP_EQUAL, 0, count + 1, operation), (_LOAD_WORD, 0, 0, at)]
        steps += [(_JUMP_EQUAL, count - place, 0, each) for place, each in enumerate(wanted)]
        steps += [(_RETURN, 0, 0, 0), (_RETURN, 0, 0, _WHOLE)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
