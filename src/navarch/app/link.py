"""Network interfaces of this network namespace: a bridge made, addressed and removed, by the kernel's own calls.

No tool and no library, because this runs at every start and its cost would be theirs. Needs CAP_NET_ADMIN.

Source: netdevice(7), rtnetlink(7), linux/sockios.h
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv6Interface, ip_address
from pathlib import Path

from navarch.net import messages as nl

SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
SIOCSIFADDR, SIOCSIFNETMASK, SIOCSIFHWADDR = 0x8916, 0x891C, 0x8924
SIOCBRADDBR = 0x89A0
IFF_UP = 0x1
ARPHRD_ETHER = 1
NAME_LIMIT_BYTES = 15
SIOCGIFMTU = 0x8921
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
IFLA_IFNAME, IFLA_MASTER = 3, 10
HEADER = struct.Struct("=IHHII")
IFINFO = struct.Struct("=BxHiII")

ROUTES = Path("/proc/thread-self/net/route")


def ensure_bridge(name: str, *addresses: IPv4Interface | IPv6Interface) -> None:
    """A bridge of this name with these addresses, at most one of a family, exists and is up.

    Its hardware address is fixed: a bridge without one takes that of some port, and everybody's neighbour tables go
    stale when that port leaves.

    Raises: OSError.
    """
    if not name or len(name.encode()) > NAME_LIMIT_BYTES:
        raise OSError(errno.EINVAL, f"{name!r} cannot name an interface: 1 to {NAME_LIMIT_BYTES} bytes")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        with contextlib.suppress(FileExistsError):
            fcntl.ioctl(control, SIOCBRADDBR, name.encode() + b"\0")
        hardware = struct.pack("=H", ARPHRD_ETHER) + b"\x0a\x58" + addresses[0].ip.packed[-4:]
        fcntl.ioctl(control, SIOCSIFHWADDR, _request(name, hardware))
        for address in addresses:
            if address.version == 4:
                fcntl.ioctl(control, SIOCSIFADDR, _request(name, _address(address.ip.packed)))
                fcntl.ioctl(control, SIOCSIFNETMASK, _request(name, _address(address.netmask.packed)))
            else:
                _add_ipv6(name, address)
        found = fcntl.ioctl(control, SIOCGIFFLAGS, _request(name, b""))
        (flags,) = struct.unpack_from("=H", found, 16)
        fcntl.ioctl(control, SIOCSIFFLAGS, _request(name, struct.pack("=H", flags | IFF_UP)))


def _add_ipv6(name: str, address: IPv4Interface | IPv6Interface) -> None:
    """Without asking the link whether somebody has it: until that is answered nobody could use it."""
    index = socket.if_nametoindex(name)
    head = nl.ADDRESS.pack(socket.AF_INET6, address.network.prefixlen, nl.IFA_F_NODAD, 0, index)
    packed = nl.attribute(nl.IFA_LOCAL, address.ip.packed) + nl.attribute(nl.IFA_ADDRESS, address.ip.packed)
    with nl.Conversation() as talk:
        talk.ask(nl.RTM_NEWADDR, nl.NLM_F_CREATE | nl.NLM_F_REPLACE, head + packed)


def exists(name: str) -> bool:
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


def ensure_address(name: str, address: str) -> None:
    """The interface has this address, beside what it has. Raises: OSError."""
    _set_address(nl.RTM_NEWADDR, name, address)


def remove_address(name: str, address: str) -> None:
    """Harmless where it is not there. Raises: OSError."""
    _set_address(nl.RTM_DELADDR, name, address, fine=(errno.EADDRNOTAVAIL,))


def _set_address(act: int, name: str, address: str, fine: tuple[int, ...] = ()) -> None:
    own = ip_address(address)
    family = socket.AF_INET if own.version == 4 else socket.AF_INET6
    head = nl.ADDRESS.pack(family, own.max_prefixlen, 0, 0, socket.if_nametoindex(name))
    body = nl.attribute(nl.IFA_LOCAL, own.packed) + nl.attribute(nl.IFA_ADDRESS, own.packed)
    with nl.Conversation() as talk:
        talk.ask(act, nl.NLM_F_CREATE | nl.NLM_F_REPLACE if act == nl.RTM_NEWADDR else 0, head + body, fine)


def names() -> list[str]:
    """Of all interfaces. Raises: OSError."""
    return sorted(found[IFLA_IFNAME].rstrip(b"\0").decode() for found in _links())


def ports(bridge: str) -> list[str]:
    """The interfaces in a bridge; none when there is no such bridge. Raises: OSError.

    Not from /sys, which shows whatever network namespace it was mounted in.
    """
    try:
        master = socket.if_nametoindex(bridge)
    except OSError:
        return []
    found = []
    for attributes in _links():
        if attributes.get(IFLA_MASTER) == struct.pack("=I", master):
            found.append(attributes[IFLA_IFNAME].rstrip(b"\0").decode())
    return sorted(found)


def remove(name: str) -> None:
    """Harmless when there is none. Raises: OSError."""
    try:
        index = socket.if_nametoindex(name)
    except OSError:
        return
    for kind, body in _ask(RTM_DELLINK, NLM_F_ACK, index):
        code = -int.from_bytes(body[:4], "little", signed=True)
        if kind == NLMSG_ERROR and code not in (0, errno.ENODEV):
            raise OSError(code, f"interface {name} could not be removed")


def default_interface() -> str:
    """The interface of the default route, "" without one."""
    for line in ROUTES.read_text().splitlines()[1:]:
        name, destination, _, _, _, _, _, mask = line.split()[:8]
        if destination == mask == "00000000":
            return name
    return ""


def mtu_bytes(name: str) -> int:
    """0 when it is not known."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        try:
            found = fcntl.ioctl(control, SIOCGIFMTU, _request(name, b""))
        except OSError:
            return 0
    return int.from_bytes(found[16:20], "little")


def _links() -> Iterator[dict[int, bytes]]:
    """The attributes of every interface."""
    for kind, body in _ask(RTM_GETLINK, NLM_F_DUMP, 0):
        at, found = IFINFO.size, {}
        while kind == RTM_NEWLINK and at + 4 <= len(body):
            length, attribute = struct.unpack_from("=HH", body, at)
            found[attribute] = body[at + 4 : at + length]
            at += (length + 3) & ~3
        if found:
            yield found


def _ask(what: int, flags: int, index: int) -> Iterator[tuple[int, bytes]]:
    """One question about links, and the kernel's messages up to the last, which it includes."""
    body = IFINFO.pack(socket.AF_UNSPEC, 0, index, 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.settimeout(10)
        netlink.bind((0, 0))
        netlink.send(HEADER.pack(HEADER.size + len(body), what, NLM_F_REQUEST | flags, 1, 0) + body)
        while True:
            data, at = netlink.recv(1 << 17), 0
            while at < len(data):
                length, kind, *_ = HEADER.unpack_from(data, at)
                yield kind, data[at + HEADER.size : at + length]
                if kind in (NLMSG_ERROR, NLMSG_DONE):
                    return
                at += (length + 3) & ~3


def _request(name: str, data: bytes) -> bytes:
    """struct ifreq"""
    return struct.pack("16s24s", name.encode(), data)


def _address(packed: bytes) -> bytes:
    """struct sockaddr_in"""
    return struct.pack("=HH4s8x", socket.AF_INET, 0, packed)
