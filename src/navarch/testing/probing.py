"""Many connections at once through a `Lan`: who answered each, as whom it saw the caller.

What ought to arrive is waited for as long as it takes; what ought not has shown by then that it does not. So a busy
machine makes it slower and not wrong.
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from collections.abc import Sequence
from itertools import count
from typing import NamedTuple

from navarch.testing.lan import Answer, Lan

PATIENCE_S = 30.0
SILENCE_S = 0.25
"""How long what should be dropped is listened for, at least."""


FIRST_PORT, PORTS = 10_000, 50_000
_ports = count()


class Probe(NamedTuple):
    """expected: whether anything is to come back."""

    source: str
    address: str
    port: int
    protocol: str
    expected: bool


def probe(lan: Lan, probes: Sequence[Probe]) -> list[Answer]:
    """In the order asked: (who answered, whether it saw somebody else), "reject" or "drop"."""
    answers: list[Answer] = ["drop"] * len(probes)
    waiting = {number for number, each in enumerate(probes) if each.expected}
    clients = [_client(lan, each) for each in probes]
    began = time.monotonic()
    with selectors.DefaultSelector() as selector:
        for number, (each, client) in enumerate(zip(probes, clients, strict=True)):
            code = client.connect_ex((each.address, each.port))
            if code not in (0, errno.EINPROGRESS):
                answers[number] = "reject" if code == errno.ECONNREFUSED else "drop"
                waiting.discard(number)
                continue
            selector.register(client, selectors.EVENT_WRITE, number)
        while selector.get_map() and (
            (waiting and time.monotonic() - began < PATIENCE_S) or time.monotonic() - began < SILENCE_S
        ):
            for key, _ in selector.select(0.02):
                found = _step(clients[key.data], key.events)
                if found is None:
                    selector.modify(key.fileobj, selectors.EVENT_READ, key.data)
                    continue
                answers[key.data] = _told(lan, probes[key.data], found)
                waiting.discard(key.data)
                selector.unregister(key.fileobj)
    for client in clients:
        client.close()
    return answers


def _client(lan: Lan, asked: Probe) -> socket.socket:
    """Each from a port that was not used for long: what the kernel remembers of another connection counts for that."""
    client = lan.client(asked.source, asked.protocol, 0, asked.address)
    while True:
        try:
            client.bind((lan.address(asked.source, asked.address), FIRST_PORT + next(_ports) % PORTS))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return client


def _step(client: socket.socket, events: int) -> str | None:
    """The question is sent once it can be; None until there is an answer."""
    try:
        if events == selectors.EVENT_WRITE:
            client.send(b"?")
            return None
        return client.recv(100).decode()
    except ConnectionError:
        return "reject"
    except PermissionError:
        return None  # our own kernel took it away; whether it says so comes behind
    except OSError:
        return "drop"  # a router on the way said that nobody is there


def _told(lan: Lan, asked: Probe, text: str) -> Answer:
    if text in ("", "reject", "drop"):
        return text or "reject"
    name, seen = text.split()
    return name, seen != lan.address(asked.source, asked.address)
