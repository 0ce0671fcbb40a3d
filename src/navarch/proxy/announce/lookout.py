"""One link's ear: asks the nodes whose addresses would come to this one whether they are still there.

What is asked for is the node's own address, which its kernel answers for: a node whose agent starts anew still forwards
what comes to it, and keeps its addresses. Nobody is given up who has not been heard before (another node may not answer
on this link at all), nor while this node's own cable is out.

One question and one answer a second for each pair of nodes, to the other's hardware address alone.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from navarch.base.log import Log
from navarch.proxy.announce import packets
from navarch.proxy.announce.plan import Link
from navarch.proxy.announce.sockets import PACKET_LIMIT_BYTES, arp_socket, attach, carries, neighbour_socket

PATIENCE = 3
"""Questions without an answer after which a node is silent. Source: RFC 9568 (VRRP), section 6.1: three intervals"""
READ_MOST = 256
UNSENT = (errno.ENOBUFS, errno.ENETDOWN, errno.ENETUNREACH, errno.EADDRNOTAVAIL)
"""What sending fails with before the link's own state tells that it is down, or when it has no address yet."""

_log = Log("proxy")


@dataclass(slots=True)
class Heard:
    """Of one node. hardware: b"" before it was heard first. unanswered: questions since it was heard last."""

    name: str
    hardware: bytes = b""
    unanswered: int = 0

    @property
    def silent(self) -> bool:
        return bool(self.hardware) and self.unanswered >= PATIENCE

    def answered(self, hardware: bytes) -> None:
        self.hardware = hardware or self.hardware or packets.BROADCAST
        self.unanswered = 0


class Lookout:
    """Raises: OSError."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.asked = 0
        """Questions so far."""
        self._heard: dict[str, Heard] = {}
        self._arp = arp_socket(link, packets.arp_reply_filter(()))
        self._neighbours: socket.socket | None = None

    def close(self) -> None:
        for each in (self._arp, self._neighbours):
            if each is not None:
                each.close()

    def watch(self, targets: Mapping[str, str]) -> None:
        """targets: addresses of nodes and their names. What is known of those that stay is kept. Raises: OSError."""
        self._heard = {address: self._heard.get(address) or Heard(name) for address, name in targets.items()}
        attach(self._arp, packets.arp_reply_filter([each for each in targets if ":" not in each]))
        if self._neighbours is None and any(":" in each for each in targets):
            self._neighbours = neighbour_socket(self.link, packets.ADVERTISEMENT)

    def look(self) -> tuple[frozenset[str], frozenset[str]]:
        """The names of those that are silent, and of those that answered the last question; then all are asked again.

        Raises: OSError.
        """
        for address, hardware in self._answers():
            if (found := self._heard.get(address)) is not None:
                found.answered(hardware)
        if not carries(self._arp, self.link):
            return self._out()
        silent = frozenset(each.name for each in self._heard.values() if each.silent)
        heard = frozenset(each.name for each in self._heard.values() if each.hardware and not each.unanswered)
        try:
            for address, each in self._heard.items():
                self._ask(address, each)
        except OSError as error:
            if error.errno not in UNSENT:
                raise
            return self._out()
        return silent, heard

    def _out(self) -> tuple[frozenset[str], frozenset[str]]:
        """Nobody else is to blame, and nobody was heard."""
        for each in self._heard.values():
            each.unanswered = 1
        return frozenset(), frozenset()

    def tell(self, name: str, addresses: frozenset[str]) -> None:
        """The link learns that these are that node's again. Raises: OSError."""
        hardware = next((each.hardware for each in self._heard.values() if each.name == name), b"")
        if hardware in (b"", packets.BROADCAST):
            return
        for address in sorted(addresses):
            if ":" not in address:
                self._send_arp(packets.arp_announcement(address, hardware), packets.BROADCAST)
            elif self._neighbours is not None:
                message = packets.advertisement(address, hardware, solicited=False)
                self._neighbours.sendto(message, (packets.ALL_NODES, 0, 0, self.link.index))

    def _ask(self, address: str, each: Heard) -> None:
        each.unanswered += 1
        self.asked += 1
        if ":" not in address:
            known = each.hardware if each.unanswered == 1 else b""  # it may have another one by now
            self._send_arp(packets.arp_probe(address, self.link.hardware), known or packets.BROADCAST)
        elif self._neighbours is not None:
            to = packets.solicited_group(address)
            self._neighbours.sendto(packets.solicitation(address, self.link.hardware), (to, 0, 0, self.link.index))

    def _send_arp(self, message: bytes, to: bytes) -> None:
        self._arp.sendto(message, (self.link.name, packets.ETHERTYPE_ARP, 0, 0, to))

    def _answers(self) -> Iterator[tuple[str, bytes]]:
        for made, read in ((self._arp, packets.read_arp_reply), (self._neighbours, packets.read_advertisement)):
            for _ in range(READ_MOST if made is not None else 0):
                with contextlib.suppress(BlockingIOError):
                    if found := read(made.recv(PACKET_LIMIT_BYTES)):  # type: ignore[union-attr]
                        yield found
                    continue
                break
