"""How the streams of host processes are reached: what of them leads in, and sockets made in a pod's network."""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
from collections.abc import Sequence
from typing import Protocol

CLONE_NEWNET = 0x40000000
CONNECT_S = 30.0
LOOPBACKS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


class Reachable(Protocol):
    """`ProcessRuntime`, as far as streams go. All of it raises RuntimeFailure."""

    def exec_command(self, container_id: str, command: Sequence[str], *, tty: bool) -> list[str]:
        """What to run so that the command runs in the container."""
        ...

    def attach_address(self, container_id: str) -> str:
        """Of the socket that passes on what the container writes, and takes what it reads."""
        ...

    def resize(self, container_id: str, rows: int, columns: int) -> None:
        """The terminal that it was started with. Raises: OSError."""
        ...

    def netns(self, sandbox_id: str) -> str:
        """ "" for the host's own network."""
        ...


async def connect(netns: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """To the loopback address of a pod, as programs in it would. Raises: OSError."""
    failures: list[OSError] = []
    for family, address in LOOPBACKS:
        try:
            line = await asyncio.to_thread(socket_in, netns, family)
        except OSError as error:
            failures.append(error)
            continue
        try:
            line.setblocking(False)
            async with asyncio.timeout(CONNECT_S):
                await asyncio.get_running_loop().sock_connect(line, (address, port))
            return await asyncio.open_connection(sock=line)
        except OSError as error:  # a timeout is one, too
            line.close()
            failures.append(error)
    raise failures[0]


def socket_in(netns: str, family: socket.AddressFamily) -> socket.socket:
    """A socket belongs to the network that it was made in, whoever uses it. Blocks. Raises: OSError."""
    if not netns:
        return socket.socket(family, socket.SOCK_STREAM)
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        other = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(other)
        finally:
            os.close(other)
        try:
            return socket.socket(family, socket.SOCK_STREAM)
        finally:
            _enter(own)
    finally:
        os.close(own)


def _enter(handle: int) -> None:
    """Of this thread alone. Raises: OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(handle, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")
