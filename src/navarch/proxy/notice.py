"""Hears from the kernel that somebody else changed one nftables table, without ever asking.

A socket in the group of nftables' notifications; every message there names the table it is about, and its address
family. Our own transactions are not listened to: the owner takes the socket out of the group meanwhile.

Source: linux/netfilter/nf_tables.h, linux/netfilter/nfnetlink.h
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterable, Iterator

NETLINK_NETFILTER = 12
SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NETLINK_DROP_MEMBERSHIP = 270, 1, 2
NFNLGRP_NFTABLES = 7
NFNL_SUBSYS_NFTABLES = 10
NFTA_TABLE_NAME = 1  # The same number in messages about tables, chains, rules, sets and their elements.
NFT_MSG_NEWGEN = 15

_HEADER = struct.Struct("=IHHII")
_GENERIC_BYTES = 4  # struct nfgenmsg: the first is the address family
_ATTRIBUTE = struct.Struct("=HH")


class Notices:
    """Belongs to the network namespace of the thread that makes it. families: of the table of this name that is
    listened to, as the kernel numbers them."""

    def __init__(self, table: str, families: Iterable[int]) -> None:
        self._tables = {(each, table.encode() + b"\0") for each in families}
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self._socket.setblocking(False)
        self._socket.bind((0, 0))
        self._heard = False
        self._waiter: asyncio.Future[None] | None = None

    def listen(self) -> None:
        self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES)

    def deafen(self) -> None:
        """What was heard until now is not forgotten: `wait` tells it."""
        self._socket.setsockopt(SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, NFNLGRP_NFTABLES)
        self._read()

    async def wait(self) -> None:
        """Until our table was changed by somebody, or so much happened that the kernel could not tell us."""
        loop = asyncio.get_running_loop()
        if not self._heard:
            self._waiter = loop.create_future()
            loop.add_reader(self._socket, self._read)
            try:
                await self._waiter
            finally:
                loop.remove_reader(self._socket)
                self._waiter = None
        self._heard = False

    def _read(self) -> None:
        while True:
            try:
                data = self._socket.recv(1 << 16)
            except BlockingIOError:
                break
            except OSError:  # ENOBUFS: said once, then the queue goes on.
                self._heard = True
                continue
            self._heard = self._heard or not self._tables.isdisjoint(_tables(data))
        if self._heard and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        self._socket.close()


def _tables(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The table that each message in a datagram is about: family and name."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size:
            return
        start = at + _HEADER.size + _GENERIC_BYTES
        if kind >> 8 == NFNL_SUBSYS_NFTABLES and kind & 0xFF != NFT_MSG_NEWGEN and start + 4 <= at + length:
            size, attribute = _ATTRIBUTE.unpack_from(data, start)
            if attribute == NFTA_TABLE_NAME:
                yield data[start - _GENERIC_BYTES], data[start + 4 : start + size]
        at += (length + 3) & ~3
