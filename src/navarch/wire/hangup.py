"""Whether the peer of a TCP connection has hung up: what the kernel knows while nobody reads from it."""

from __future__ import annotations

import asyncio
import socket

INTERNET = (socket.AF_INET, socket.AF_INET6)
_CLOSED = 7
_OVER = frozenset({6, _CLOSED, 8, 9, 11})
"""The states of Linux in which nothing more comes: TIME_WAIT, CLOSE, CLOSE_WAIT, LAST_ACK, CLOSING."""


def hung_up(transport: asyncio.BaseTransport | None, *, halves: bool) -> bool:
    """halves: the peer may end its own side and go on listening; then only one that is gone altogether counts."""
    found: socket.socket | None = transport.get_extra_info("socket") if transport is not None else None
    return found is not None and is_over(found, halves=halves)


def is_over(connected: socket.socket, *, halves: bool) -> bool:
    """See `hung_up`."""
    if connected.family not in INTERNET:
        return False
    try:
        state = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    except OSError:  # it is closed on this side already
        return True
    return state == _CLOSED if halves else state in _OVER
