"""One link's voice: answers questions for the addresses that it was given, and tells everybody when it gets one.

From user space and not by the kernel's proxy entries: those go on answering when the agent has died and another node
has taken over. Needs CAP_NET_RAW.

Source: RFC 826, RFC 4861, RFC 5227
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Iterable, Iterator

from navarch.base.log import Log
from navarch.proxy.announce import packets
from navarch.proxy.announce.plan import Link
from navarch.proxy.announce.sockets import PACKET_LIMIT_BYTES, arp_socket, attach, neighbour_socket

BATCH = 64
"""Questions read before other work has its turn."""
DEFENDED_S = 10.0
"""So seldom an address is claimed again that another has claimed. Source: RFC 5227, section 2.4 (b)"""

_log = Log("proxy")


class Responder:
    """Make it in a running loop. lost: called once when the link is gone or fails. Raises: OSError."""

    def __init__(self, link: Link, lost: Callable[[], None]) -> None:
        self.link = link
        self._lost = lost
        self._addresses: frozenset[str] = frozenset()
        self._groups: set[str] = set()
        self._defended_s: dict[str, float] = {}
        self._loop = asyncio.get_running_loop()
        self._arp = arp_socket(link, packets.arp_filter(()))
        try:
            self._neighbours: socket.socket | None = neighbour_socket(link, packets.SOLICITATION)
        except OSError as error:  # a kernel without IPv6
            _log.debug("no neighbour discovery", link=link.name, error=error)
            self._neighbours = None
        self._loop.add_reader(self._arp, self._arp_readable)
        if self._neighbours is not None:
            self._loop.add_reader(self._neighbours, self._neighbours_readable, self._neighbours)

    def close(self) -> None:
        """More than once does no harm."""
        for each in (self._arp, self._neighbours):
            if each is not None and each.fileno() >= 0:
                self._loop.remove_reader(each)
                each.close()

    def answer_for(self, addresses: frozenset[str]) -> frozenset[str]:
        """These from now on, and no others. Returns those that are new. Raises: OSError."""
        new = addresses - self._addresses
        self._addresses = addresses
        self._defended_s = {address: at_s for address, at_s in self._defended_s.items() if address in addresses}
        attach(self._arp, packets.arp_filter([each for each in addresses if ":" not in each]))
        groups = {packets.solicited_group(each) for each in addresses if ":" in each}
        if self._neighbours is not None:
            for group in groups - self._groups:
                self._join(self._neighbours, socket.IPV6_JOIN_GROUP, group)
            for group in self._groups - groups:
                self._join(self._neighbours, socket.IPV6_LEAVE_GROUP, group)
            self._groups = groups
        return new

    def _join(self, neighbours: socket.socket, option: int, group: str) -> None:
        packed = socket.inet_pton(socket.AF_INET6, group) + struct.pack("=I", self.link.index)
        neighbours.setsockopt(socket.IPPROTO_IPV6, option, packed)

    def announce(self, addresses: Iterable[str]) -> None:
        """Tells the link that they are here, those that are still ours. Raises: OSError."""
        for address in sorted(self._addresses.intersection(addresses)):
            if ":" not in address:
                self._arp.sendto(packets.arp_announcement(address, self.link.hardware), self._to(packets.BROADCAST))
            elif self._neighbours is not None:
                message = packets.advertisement(address, self.link.hardware, solicited=False)
                self._neighbours.sendto(message, (packets.ALL_NODES, 0, 0, self.link.index))

    def _to(self, hardware: bytes) -> tuple[str, int, int, int, bytes]:
        return (self.link.name, packets.ETHERTYPE_ARP, 0, 0, hardware)

    def _arp_readable(self) -> None:
        with self._failing():
            for _ in range(BATCH):
                try:
                    data, _ = self._arp.recvfrom(PACKET_LIMIT_BYTES)
                except BlockingIOError:
                    return
                asked = packets.read_arp(data)
                if asked is None or asked.target not in self._addresses:
                    continue
                if asked.hardware == self.link.hardware:
                    continue  # our own announcement
                if asked.sender == asked.target:
                    self._defend(asked)
                self._arp.sendto(packets.arp_reply(asked, self.link.hardware), self._to(asked.hardware))

    def _defend(self, asked: packets.Asked) -> None:
        """Somebody says that an address of ours is theirs: the whole link is told otherwise, now and then."""
        _log.warning(
            "somebody else on the link has an address of the load balancer",
            address=asked.target,
            link=self.link.name,
            hardware=asked.hardware.hex(":"),
        )
        now_s = self._loop.time()
        if now_s - self._defended_s.get(asked.target, -DEFENDED_S) >= DEFENDED_S:
            self._defended_s[asked.target] = now_s
            self.announce((asked.target,))

    def _neighbours_readable(self, neighbours: socket.socket) -> None:
        with self._failing():
            for _ in range(BATCH):
                try:
                    data, sender = neighbours.recvfrom(PACKET_LIMIT_BYTES)
                except BlockingIOError:
                    return
                target = packets.read_solicitation(data)
                if target not in self._addresses:
                    continue
                asking = sender[0].partition("%")[0]
                unknown = asking == "::"  # it looks whether somebody has the address before it takes it
                message = packets.advertisement(target, self.link.hardware, solicited=not unknown)
                to = packets.ALL_NODES if unknown else asking
                neighbours.sendto(message, (to, 0, 0, self.link.index))

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            _log.warning("a link takes no part any more", link=self.link.name, error=error)
            self.close()
            self._lost()
