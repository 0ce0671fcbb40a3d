"""The DNS server of one node: datagrams and streams in, answers out.

A question that was asked before is answered from `memory` without being read; a new one about the cluster from `zone`;
every other is passed on. Questions that wait for others are bounded in number, and the same question waits once.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial

from navarch.base.clock import Clock
from navarch.base.errors import Retryable
from navarch.base.log import Log
from navarch.base.tasks import BugReport
from navarch.dns import wire
from navarch.dns.counts import FROM_CLUSTER, FROM_OTHERS, TCP, UDP, Counts
from navarch.dns.memory import Memory
from navarch.dns.upstream import Forwarder
from navarch.dns.zone import Answer, Record, Zone

BATCH = 64
"""Datagrams read before other work has its turn."""
WAITING_LIMIT = 1000
STREAM_LIMIT = 500
IDLE_S = 10.0
ORDERS_LIMIT = 8
CHASES_LIMIT = 8
BUFFER_BYTES = 1 << 20
FREEBIND = {socket.AF_INET: (socket.IPPROTO_IP, 15), socket.AF_INET6: (socket.IPPROTO_IPV6, 78)}
"""Which option lets a socket of a family have an address that is not there yet."""

log = Log("dns")
bugs = BugReport(log)

Reply = Callable[[bytes], None]
"""Sends an answer without its id to whoever asked."""


class Server:
    """listen: addresses and ports, of either family, each for both transports; they need not be there yet. make: makes
    a socket for one. Raises: OSError."""

    def __init__(
        self,
        zone: Zone,
        memory: Memory,
        forwarder: Forwarder,
        listen: Sequence[tuple[str, int]],
        clock: Clock,
        make: Callable[[str, int, socket.SocketKind], socket.socket] | None = None,
    ) -> None:
        self.counts = Counts(memory)
        self._zone = zone
        self._memory = memory
        self._forwarder = forwarder
        self._listen = listen
        self._clock = clock
        self._make = make or bound
        self._waiting: dict[tuple[bool, bytes], list[Reply]] = {}
        self._streams = 0
        self._group: asyncio.TaskGroup | None = None
        self._sockets: list[socket.socket] = []

    def bind(self) -> None:
        """Takes the addresses; what comes before `run` waits in the kernel. Raises: Retryable."""
        made: list[socket.socket] = []
        for address, port in self._listen:
            try:
                made += [self._make(address, port, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)]
            except OSError as error:
                for each in made:
                    each.close()
                raise Retryable(f"DNS cannot listen on {address}, port {port}: {error.strerror}") from error
        self._sockets = made

    async def run(self) -> None:
        """Until cancelled."""
        if not self._sockets:
            self.bind()
        loop = asyncio.get_running_loop()
        datagrams = [each for each in self._sockets if each.type is socket.SOCK_DGRAM]
        try:
            async with asyncio.TaskGroup() as group, AsyncExitStack() as stack:
                self._group = group
                for each in self._sockets:
                    if each not in datagrams:
                        await stack.enter_async_context(await asyncio.start_server(self._stream, sock=each))
                for each in datagrams:
                    loop.add_reader(each, self._readable, each)
                await loop.create_future()
        finally:
            self._group = None
            for each in datagrams:
                loop.remove_reader(each)
            for each in self._sockets:
                each.close()
            self._sockets = []

    def _readable(self, udp: socket.socket) -> None:
        now = self._clock.monotonic()
        get = self._memory.get
        for _ in range(BATCH):
            try:
                data, peer = udp.recvfrom(4096)
            except OSError:
                return
            body = get(data[2:], now)
            if body is None:
                self._take(data, partial(_send, udp, peer, data[:2]))
            else:
                _send(udp, peer, data[:2], body)

    def _take(self, data: bytes, reply: Reply, *, stream: bool = False) -> None:
        """A question that is not remembered."""
        try:
            question = wire.read(data)
        except wire.Malformed as error:
            if error.code:
                message = wire.refuse(data, error.code)
                self.counts.answered(message)
                reply(message[2:])
            return
        began_s = self._clock.monotonic()
        self.counts.asked(TCP if stream else UDP, question.kind)
        answer = self._zone.lookup(question.name, question.kind)
        if answer is None or answer.chase:
            self._wait(data, question, answer, reply, stream)
        else:
            message = self._own(data, question, answer, stream)
            reply(message[2:])
            self.counts.answered(message)
            self.counts.took_s.observe(self._clock.monotonic() - began_s, FROM_CLUSTER)

    def _own(self, data: bytes, question: wire.Question, answer: Answer, stream: bool) -> bytes:
        domain, serial = self._zone.domain, self._zone.serial
        if stream:
            return wire.write(question, answer, domain, serial, stream=True)
        messages = [wire.write(question, each, domain, serial) for each in _orders(answer)]
        about = (question.kind, wire.code_of(messages[0]))
        self._memory.keep(data[2:], answer.subject, messages, about)
        return messages[0]

    def _wait(self, data: bytes, question: wire.Question, answer: Answer | None, reply: Reply, stream: bool) -> None:
        key = (stream, data[2:])
        if key in self._waiting:
            self._waiting[key].append(reply)
        elif self._group is None or len(self._waiting) >= WAITING_LIMIT:
            message = wire.fail(question, "SERVFAIL")
            self.counts.rejected += 1
            self.counts.answered(message)
            reply(message[2:])
        else:
            self._waiting[key] = [reply]
            self._group.create_task(self._elsewhere(key, data, question, answer))

    async def _elsewhere(
        self, key: tuple[bool, bytes], data: bytes, question: wire.Question, answer: Answer | None
    ) -> None:
        stream, rest = key
        began_s = self._clock.monotonic()
        message = wire.fail(question, "SERVFAIL")
        try:
            if answer is None:
                message = await self._forwarder.ask(data, question.name, stream=stream)
            else:
                followed = await self._followed(answer, question)
                message = wire.write(question, followed, self._zone.domain, self._zone.serial, stream=stream)
            if not stream:
                self._memory.keep_foreign(rest, message, self._clock.monotonic(), question.kind)
        except (Retryable, wire.Malformed) as error:
            self.counts.failed += 1
            log.debug("a question was not answered", name=question.name, kind=question.kind, error=error)
        except Exception as bug:  # noqa: BLE001 - reported; one strange answer must not end the server
            bugs.report("a question for others", bug)
        finally:
            replies = self._waiting.pop(key)
            for reply in replies:
                reply(message[2:])
            self.counts.answered(message, len(replies))
            self.counts.took_s.observe(self._clock.monotonic() - began_s, FROM_OTHERS)

    async def _followed(self, answer: Answer, question: wire.Question) -> Answer:
        """The alias together with the addresses it leads to: those who ask do not ask twice."""
        records = list(answer.records)
        target, code = answer.chase, answer.code
        for _ in range(CHASES_LIMIT):
            name = target.rstrip(".").lower()
            found = self._zone.lookup(name, question.kind)
            if found is None:
                asked = wire.ask(question.id, target, question.kind)
                message = await self._forwarder.ask(asked, name, stream=True)
                records += wire.chain(message)
                code = "NXDOMAIN" if wire.code_of(message) == wire.CODES["NXDOMAIN"] else code
                break
            records += [each._replace(name=target) for each in found.records]
            code = found.code
            if not found.chase:
                break
            target = found.chase
        return Answer(code, tuple(records), subject=answer.subject)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Questions of one connection, one after the other."""
        if self._streams >= STREAM_LIMIT:
            writer.close()
            return
        self._streams += 1
        try:
            while True:
                async with asyncio.timeout(IDLE_S):
                    data = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
                answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
                self._take(data, partial(_settle, answered), stream=True)
                message = data[:2] + await asyncio.wait_for(answered, IDLE_S)
                writer.write(len(message).to_bytes(2, "big") + message)
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return  # the other side went away, was silent for long, or sent what deserves no answer
        finally:
            self._streams -= 1
            writer.close()


def bound(address: str, port: int, kind: socket.SocketKind) -> socket.socket:
    """For addresses that may not be there yet. Raises: OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, kind)
    try:
        made.setblocking(False)
        made.setsockopt(*FREEBIND[family], 1)
        if kind is socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        made.bind((address, port))
    except OSError:
        made.close()
        raise
    return made


def _settle(answered: asyncio.Future[bytes], body: bytes) -> None:
    if not answered.done():  # the asker may have given up
        answered.set_result(body)


def _send(udp: socket.socket, peer: tuple[str, int], id_: bytes, body: bytes) -> None:
    try:
        udp.sendto(id_ + body, peer)
    except OSError as error:  # its buffer is full or the way is barred; it will ask again
        log.debug("an answer was not sent", peer=peer[0], error=error)


def _orders(answer: Answer) -> list[Answer]:
    """The answer with its addresses in several orders."""
    records = answer.records
    if len(records) < 2 or any(each.type not in ("A", "AAAA") for each in records):
        return [answer]
    turns = range(min(len(records), ORDERS_LIMIT))
    return [Answer(answer.code, _turned(records, by), answer.extra, answer.subject) for by in turns]


def _turned(records: tuple[Record, ...], by: int) -> tuple[Record, ...]:
    return records[by:] + records[:by]
