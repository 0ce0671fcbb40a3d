"""Messages of rtnetlink: how they are laid out, asked, and heard of. What they mean to us is `netlink`'s.

Source: netlink(7), rtnetlink(7), linux/if_link.h
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import struct
from collections.abc import Callable, Collection, Iterator
from types import TracebackType

import msgspec

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
NLA_F_NESTED, NLA_TYPE = 0x8000, 0x3FFF
AF_BRIDGE = 7
IFF_UP = 0x1
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINKINFO = 1, 3, 4, 18
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
IFLA_VXLAN_ID, IFLA_VXLAN_LOCAL, IFLA_VXLAN_LEARNING, IFLA_VXLAN_PORT, IFLA_VXLAN_LOCAL6 = 1, 4, 7, 15, 17
IFA_ADDRESS, IFA_LOCAL = 1, 2
IFA_F_NODAD = 0x2
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY = 1, 4, 5, 6
RT_TABLE_MAIN, RT_SCOPE_LINK, RTN_UNICAST, RTNH_F_ONLINK = 254, 253, 1, 4
NDA_DST, NDA_LLADDR, NDA_MASTER = 1, 2, 9
NUD_NOARP, NUD_PERMANENT = 0x40, 0x80
NTF_SELF = 0x2
SOL_NETLINK, NETLINK_ADD_MEMBERSHIP = 270, 1
GROUPS = (1, 3, 5, 7, 9, 11)
"""Of notices: links, neighbours, IPv4 addresses and routes, IPv6 addresses and routes."""

HEADER = struct.Struct("=IHHII")
LINK = struct.Struct("=BxHiII")
ADDRESS = struct.Struct("=BBBBI")
ROUTE = struct.Struct("=BBBBBBBBI")
NEIGHBOUR = struct.Struct("=BxxxiHBB")
ATTRIBUTE = struct.Struct("=HH")
BUFFER_BYTES = 1 << 18


class LinkFound(msgspec.Struct, frozen=True):
    """An interface. number, port, source, learns: of a VXLAN."""

    index: int
    name: str
    up: bool
    mtu_bytes: int
    hardware: str
    number: int = 0
    port: int = 0
    source: str = ""
    learns: bool = False


def attribute(kind: int, data: bytes) -> bytes:
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(data), kind) + data + b"\0" * (-len(data) % 4)


def nested(kind: int, *parts: bytes) -> bytes:
    return attribute(kind | NLA_F_NESTED, b"".join(parts))


def attributes(data: bytes) -> dict[int, bytes]:
    """By kind; what is cut short ends it."""
    found, at = {}, 0
    while at + ATTRIBUTE.size <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, at)
        if length < ATTRIBUTE.size:
            break
        found[kind & NLA_TYPE] = data[at + ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    return found


def number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def address(data: bytes) -> str:
    return str(ipaddress.ip_address(data))


def hardware(data: bytes) -> str:
    return ":".join(f"{byte:02x}" for byte in data)


def read_link(body: bytes) -> LinkFound:
    _, _, index, flags, _ = LINK.unpack_from(body)
    found = attributes(body[LINK.size :])
    name = found.get(IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="replace")
    basic = (
        index,
        name,
        bool(flags & IFF_UP),
        number(found.get(IFLA_MTU, b"")),
        hardware(found.get(IFLA_ADDRESS, b"")),
    )
    info = attributes(found.get(IFLA_LINKINFO, b""))
    if info.get(IFLA_INFO_KIND, b"").rstrip(b"\0") != b"vxlan":
        return LinkFound(*basic)
    data = attributes(info.get(IFLA_INFO_DATA, b""))
    source = data.get(IFLA_VXLAN_LOCAL) or data.get(IFLA_VXLAN_LOCAL6, b"")
    return LinkFound(
        *basic,
        number(data.get(IFLA_VXLAN_ID, b"")),
        int.from_bytes(data.get(IFLA_VXLAN_PORT, b""), "big"),
        address(source) if source else "",
        bool(number(data.get(IFLA_VXLAN_LEARNING, b""))),
    )


def split(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and body of each message in a datagram."""
    at = 0
    while at + HEADER.size <= len(data):
        length, kind, *_ = HEADER.unpack_from(data, at)
        if length < HEADER.size:
            return
        yield kind, data[at + HEADER.size : at + length]
        at += (length + 3) & ~3


class Conversation:
    """Questions to the kernel about the network namespace of the calling thread. Raises: OSError."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.settimeout(10)
        self._socket.bind((0, 0))

    def __enter__(self) -> Conversation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def ask(self, kind: int, flags: int, body: bytes, fine: Collection[int] = ()) -> None:
        """Have something done. fine: what may be wrong with it."""
        for answer, content in self._talk(kind, flags | NLM_F_ACK, body):
            code = -int.from_bytes(content[:4], "little", signed=True)
            if answer == NLMSG_ERROR and code and code not in fine:
                raise OSError(code, os.strerror(code))

    def dump(self, kind: int, body: bytes) -> Iterator[bytes]:
        """All that there is of a sort."""
        for answer, content in self._talk(kind, NLM_F_DUMP, body):
            if answer == NLMSG_ERROR:
                code = -int.from_bytes(content[:4], "little", signed=True)
                raise OSError(code, os.strerror(code))
            if answer != NLMSG_DONE:
                yield content

    def _talk(self, kind: int, flags: int, body: bytes) -> Iterator[tuple[int, bytes]]:
        """Up to the last answer, which it includes."""
        self._socket.send(HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST | flags, 1, 0) + body)
        while True:
            for answer, content in split(self._socket.recv(BUFFER_BYTES)):
                yield answer, content
                if answer in (NLMSG_ERROR, NLMSG_DONE):
                    return


class Notices:
    """What the kernel tells of links, addresses, routes and neighbours, without being asked."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.setblocking(False)
        self._socket.bind((0, 0))
        for group in GROUPS:
            self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)

    async def wait(self, matters: Callable[[int, bytes], bool]) -> None:
        """Until something is told that matters, or so much happened that the kernel could not tell it."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                data = await loop.sock_recv(self._socket, BUFFER_BYTES)
            except OSError:
                return
            if any(matters(kind, body) for kind, body in split(data)):
                return

    def forget(self) -> None:
        """What was told until now."""
        while True:
            try:
                self._socket.recv(BUFFER_BYTES)
            except BlockingIOError:
                return
            except OSError:  # ENOBUFS: said once, then the queue goes on
                continue

    def close(self) -> None:
        self._socket.close()
