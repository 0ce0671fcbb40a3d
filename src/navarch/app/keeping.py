"""Sockets that outlive the process that serves them: the supervisor keeps them while the process starts anew.

A process hands a socket over when it has made it. When it ends, however it does, what others send waits in the kernel,
and the next process of that name finds the socket in its environment; without this whoever asked meanwhile would be
refused. The supervisor has nothing else to do with what passes through them. Only the standard library is imported,
for the supervisor stays in memory for as long as the cluster.

Source: sd_listen_fds(3) and sd_pid_notify_with_fds(3), whose idea this is
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection, MutableMapping

CHANNEL, KEPT = "NAVARCH_KEEPER", "NAVARCH_KEPT"
"""What the environment says: a descriptor to hand sockets over by; names of those that were kept, with descriptors."""
MOST = 16
"""Of a process; what it hands over beyond that is not kept."""
NAME_BYTES = 256

KINDS = (socket.SOCK_DGRAM, socket.SOCK_STREAM)

Make = Callable[[str, int, socket.SocketKind], socket.socket]


class Shelf:
    """The supervisor's side, for one process."""

    def __init__(self) -> None:
        self._sockets: dict[str, int] = {}
        self._channel: socket.socket | None = None
        self._others_end: socket.socket | None = None

    def open(self) -> tuple[dict[str, str], tuple[int, ...]]:
        """What the next process is to find in its environment, and the descriptors that it inherits."""
        self.close()
        self._channel, self._others_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.setblocking(False)
        end = self._others_end.fileno()
        kept = ",".join(f"{name}={descriptor}" for name, descriptor in self._sockets.items())
        return {CHANNEL: str(end), KEPT: kept}, (end, *self._sockets.values())

    def begun(self) -> int:
        """The process has its end; a descriptor that says when there is something to `read`."""
        if self._others_end is not None:
            self._others_end.close()
            self._others_end = None
        return self.descriptor

    @property
    def descriptor(self) -> int:
        """-1 while there is nobody to hear of."""
        return self._channel.fileno() if self._channel is not None else -1

    def read(self) -> bool:
        """Takes what was handed over. False when nothing more will be."""
        while self._channel is not None:
            try:
                said, descriptors, _, _ = socket.recv_fds(self._channel, NAME_BYTES, 1)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not said:
                return False
            self._put(said.decode("ascii", "replace"), descriptors)
        return False

    def close(self) -> None:
        """Nothing more is taken; what was, stays."""
        for one in (self._channel, self._others_end):
            if one is not None:
                one.close()
        self._channel = self._others_end = None

    def clear(self) -> None:
        self.close()
        for descriptor in self._sockets.values():
            os.close(descriptor)
        self._sockets.clear()

    def _put(self, name: str, descriptors: list[int]) -> None:
        """None: the name is done with."""
        before = self._sockets.pop(name, None)
        if before is not None:
            os.close(before)
        for descriptor in descriptors:
            if len(self._sockets) < MOST and name not in self._sockets:
                self._sockets[name] = descriptor
            else:
                os.close(descriptor)


class Kept:
    """The process' own side; takes its part out of the environment, so that what it starts does not believe it."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        self._sockets: dict[str, socket.socket] = {}
        self._channel: socket.socket | None = None
        end, kept = environment.pop(CHANNEL, ""), environment.pop(KEPT, "")
        if end:
            self._channel = _own(int(end))
            self._channel.setblocking(False)
        for entry in filter(None, kept.split(",")):
            name, _, descriptor = entry.rpartition("=")
            self._sockets[name] = _own(int(descriptor))

    def bound(self, make: Make) -> Make:
        """Gives what was kept for an address, and makes by `make` what was not; both are kept from then on."""

        def give(address: str, port: int, kind: socket.SocketKind) -> socket.socket:
            name = _name(address, port, kind)
            found = self._sockets.pop(name, None)
            if found is not None:
                found.setblocking(False)
                return found
            made = make(address, port, kind)
            self._hand_over(name, [made.fileno()])
            return made

        return give

    def only(self, listen: Collection[tuple[str, int]]) -> None:
        """What was kept for other addresses is wanted no more: the node was given others, say."""
        wanted = {_name(address, port, kind) for address, port in listen for kind in KINDS}
        for name in self._sockets.keys() - wanted:
            self._sockets.pop(name).close()
            self._hand_over(name, [])

    def _hand_over(self, name: str, descriptors: list[int]) -> None:
        """Where nobody keeps it, it ends with the process as any other does."""
        if self._channel is None:
            return
        try:
            socket.send_fds(self._channel, [name.encode("ascii")], descriptors)
        except OSError:  # the supervisor is another one by now, which knows nothing of this process' channel
            self._channel.close()
            self._channel = None


def _name(address: str, port: int, kind: socket.SocketKind) -> str:
    return f"{kind.name} {address} {port}"


def _own(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    return socket.socket(fileno=descriptor)
