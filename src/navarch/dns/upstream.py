"""Questions that are not about the cluster, asked of the host's own servers or of those that people named.

Each goes out from a port and under an id of its own that nobody can guess, and only an answer to just that question is
believed. Answers are remembered by `server`.

Source: RFC 5452
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from navarch.base.clock import Clock, Ids
from navarch.base.errors import Retryable
from navarch.dns import wire

Upstreams = Callable[[str], Sequence[tuple[str, int]]]
"""Addresses and ports for a name (lower case, without the final dot), the first preferred."""

TRY_S = 2.0
"""How long one server is waited for."""
TRIES = 4
REMEMBERED_LIMIT = 64


class HostResolvers:
    """The `nameserver` lines of a resolv.conf, read again when it changed, looked at every few seconds at most."""

    LOOK_S = 5.0

    def __init__(self, file: Path, clock: Clock, *, without: Sequence[str] = ()) -> None:
        """without: our own addresses, lest questions go round in circles."""
        self._file = file
        self._clock = clock
        self._without = frozenset(without)
        self._looked_s = float("-inf")
        self._changed_ns = 0
        self._servers: tuple[tuple[str, int], ...] = ()

    def __call__(self) -> Sequence[tuple[str, int]]:
        now = self._clock.monotonic()
        if now - self._looked_s >= self.LOOK_S:
            self._looked_s = now
            try:
                changed_ns = self._file.stat().st_mtime_ns
                if changed_ns != self._changed_ns:
                    self._changed_ns = changed_ns
                    self._servers = tuple(
                        (each, 53) for each in nameservers(self._file.read_text()) if each not in self._without
                    )
            except OSError:
                self._changed_ns, self._servers = 0, ()
        return self._servers


def nameservers(text: str) -> list[str]:
    words = (line.split() for line in text.splitlines())
    return [line[1] for line in words if len(line) >= 2 and line[0] == "nameserver"]


class Forwarder:
    """Asks one server after the other; of those for a name, the one that answered last is asked first."""

    def __init__(self, upstreams: Upstreams, ids: Ids) -> None:
        self._upstreams = upstreams
        self._ids = ids
        self._good: dict[tuple[tuple[str, int], ...], tuple[str, int]] = {}

    async def ask(self, message: bytes, name: str, *, stream: bool = False) -> bytes:
        """The answer to `message`, a question about `name`, under its id. stream: whole, whatever its size.

        Raises: Retryable, when nobody answered.
        """
        servers = list(self._upstreams(name))
        asked = tuple(servers)
        if good := self._good.get(asked):
            servers.remove(good)
            servers.insert(0, good)
        answer = b""
        for server in (servers * TRIES)[: max(2, min(TRIES, len(servers)))]:
            try:
                async with asyncio.timeout(TRY_S):
                    answer = await self._ask_one(server, message, stream)
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                continue
            if wire.code_of(answer) not in (wire.CODES["SERVFAIL"], wire.CODES["REFUSED"]):
                self._remember(asked, server)
                return answer
        if not answer:
            raise Retryable(f"no DNS server answered (asked: {', '.join(f'{a}:{p}' for a, p in servers) or 'none'})")
        return answer

    def _remember(self, asked: tuple[tuple[str, int], ...], good: tuple[str, int]) -> None:
        if len(self._good) >= REMEMBERED_LIMIT:  # settings came and went
            self._good.clear()
        self._good[asked] = good

    async def _ask_one(self, server: tuple[str, int], message: bytes, stream: bool) -> bytes:
        own = self._ids.secret(2) + message[2:]
        answer = await self._datagram(server, own)
        if stream and wire.truncated(answer):
            answer = await self._stream(server, own)
        return message[:2] + answer[2:]

    async def _datagram(self, server: tuple[str, int], message: bytes) -> bytes:
        family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
        loop = asyncio.get_running_loop()
        with socket.socket(family, socket.SOCK_DGRAM) as udp:
            udp.setblocking(False)
            udp.connect(server)
            udp.send(message)
            while True:
                answer = await loop.sock_recv(udp, wire.STREAM_LIMIT_BYTES)
                if _fits(message, answer):
                    return answer

    async def _stream(self, server: tuple[str, int], message: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*server)
        try:
            writer.write(len(message).to_bytes(2, "big") + message)
            length = int.from_bytes(await reader.readexactly(2), "big")
            answer = await reader.readexactly(length)
        finally:
            writer.close()
        if not _fits(message, answer):
            raise ConnectionError("the server answered something else")
        return answer


def _fits(question: bytes, answer: bytes) -> bool:
    """Whether it answers this question: the same id, the same name and type."""
    if len(answer) < 12 or not answer[2] & 0x80 or answer[:2] != question[:2]:
        return False
    try:
        end = wire.question_end(question)
    except wire.Malformed:
        return False
    return answer[12:end].lower() == question[12:end].lower()
