"""Ports that stay free until their server binds them, though it is stopped and started again meanwhile."""

from __future__ import annotations

import socket
from random import SystemRandom

BELOW_OUTGOING = range(15_000, 30_000)
"""No client of this machine is given one of these for its own end, as the kernel gives from 32768 on (and a client of a
server that is away could even be connected with itself); Services with node ports have those from 30000."""


_given: set[int] = set()


def free_port() -> int:
    """Each once in a process."""
    random = SystemRandom()
    for _ in range(1_000):
        port = random.choice(BELOW_OUTGOING)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise AssertionError("no port is free")
