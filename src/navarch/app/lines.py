"""Lines to the agents of other machines' nodes: connections on which the kernels ask each other whether they are there.

What follows from one that ends is told by `controllers.node.lines`. Here are the sockets: one a node, with keepalive,
and a task that sleeps until the kernel gives the connection up. Nothing runs in this process while all is well.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from navarch.base.clock import Clock
from navarch.base.log import Log
from navarch.base.tasks import BugReport
from navarch.client.informer import Informer
from navarch.controllers.node import lines
from navarch.controllers.node.lines import Count, Line, News
from navarch.kinds.object import Object

AT_ONCE = 256
"""Attempts at the same time."""
COUNTED_S = 0.25
"""When a rack goes, its lines end together: the others are not counted again for each."""
TCP_INFO_BYTES, LAST_ANSWER_AT = 104, 56
"""`struct tcp_info`: `tcpi_last_ack_recv`, in milliseconds. Source: linux/tcp.h"""
FarEnd = tuple[str, int]

_log = Log("server")
_bugs = BugReport(_log)


@dataclass(slots=True)
class Kept:
    """A line and what keeps it. connection: None while there is none."""

    far: FarEnd
    line: Line = field(default_factory=Line)
    task: asyncio.Task[None] | None = None
    connection: socket.socket | None = None
    every_s: int = 1


class _Silence(asyncio.Protocol):
    """Nothing is said here, by either side. ended: with what the kernel had to say, None for a proper end."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[OSError | None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.abort()  # it is no agent that speaks before it is asked

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(error if isinstance(error, OSError) else None)


class KernelLines:
    """Implements `controllers.node.lines.Lines`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, Kept] = {}
        self._listeners: list[Callable[[str], None]] = []
        self._group: asyncio.TaskGroup | None = None
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._counted: tuple[float, Count] | None = None

    def lost_at(self, node: str) -> datetime | None:
        found = self._kept.get(node)
        return None if found is None else found.line.lost_at

    def listen(self, listener: Callable[[str], None]) -> None:
        self._listeners.append(listener)

    def states(self) -> Mapping[tuple[str, ...], float]:
        up = sum(kept.connection is not None for kept in self._kept.values())
        lost = sum(kept.line.lost_at is not None for kept in self._kept.values())
        return {("up",): float(up), ("out-of-reach",): float(lost)}

    async def run(self, nodes: Informer) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                nodes.subscribe(self._heard)
                await asyncio.get_running_loop().create_future()
        finally:
            self._group = None
            self._kept.clear()
            self._listeners.clear()

    def _heard(self, old: Object | None, new: Object | None) -> None:
        found = new or old
        if self._group is None or found is None:
            return
        name = found.name
        far = lines.far_end(new) if new is not None else None
        known = self._kept.get(name)
        if known is not None and known.far == far:
            return
        if known is not None:
            del self._kept[name]
            if known.task is not None:
                known.task.cancel()
            self._tell(name, known.line, Line())
        if far is not None:
            kept = self._kept[name] = Kept(far)
            kept.task = self._group.create_task(self._keep(name, kept))

    async def _keep(self, name: str, kept: Kept) -> None:
        """Until cancelled; not at all for a node of this machine, which this machine's end would end too."""
        if _is_here(kept.far):
            return
        while True:
            try:
                news, held_s = await self._held(name, kept)
            except Exception as bug:  # noqa: BLE001 - reported with its traceback; leases tell of this node as before
                _bugs.report("line to a node", bug)
                news, held_s = News.OWN_TROUBLE, 0.0
            self._turn(name, kept, news, held_s)
            await self._clock.sleep(lines.pause_s(kept.line))

    async def _held(self, name: str, kept: Kept) -> tuple[News, float]:
        """Make the line, and return when there is none any more: why, and how long it was there."""
        began = self._clock.monotonic()
        kept.every_s = lines.every_s(len(self._kept))
        try:
            async with self._gate:
                made, transport, protocol = await _made(kept.far, kept.every_s)
        except OSError as error:
            news = lines.news_of(error, up=False)
            if news is News.UNANSWERED:  # a route that is missing is said at once, and may be there again by then
                await self._clock.sleep(max(0.0, lines.QUESTION_S - (self._clock.monotonic() - began)))
            elif news is News.OWN_TROUBLE:
                _log.debug("no line to a node", node=name, error=error)
            return news, 0.0
        try:
            kept.connection = made
            self._turn(name, kept, News.UP)
            began = self._clock.monotonic()
            why = await protocol.ended
            return lines.news_of(why, up=True), self._clock.monotonic() - began
        finally:
            kept.connection = None
            transport.abort()

    def _turn(self, name: str, kept: Kept, news: News, held_s: float = 0.0) -> None:
        before = kept.line
        kept.line = lines.after(before, news, self._clock.now(), self._count, held_s)
        self._tell(name, before, kept.line)

    def _tell(self, name: str, before: Line, after: Line) -> None:
        if before.lost_at == after.lost_at:
            return
        if after.lost_at is not None:
            _log.warning("a node's host is out of reach", node=name)
        else:
            _log.info("a node's host is in reach again", node=name)
        for listener in self._listeners:
            listener(name)

    def _count(self) -> Count:
        now_s, now = self._clock.monotonic(), self._clock.now()
        if self._counted is not None and now_s - self._counted[0] < COUNTED_S:
            return self._counted[1]
        hold = silent = 0
        for kept in self._kept.values():
            if kept.connection is not None:
                if lines.holds(_answered_s(kept.connection), kept.every_s):
                    hold += 1
                else:
                    silent += 1
            elif lines.silent(kept.line, now):
                silent += 1
        self._counted = (now_s, Count(hold, silent))
        return self._counted[1]


def _is_here(far: FarEnd) -> bool:
    """Whether an address is this machine's own: then packets to it leave from it. Nothing is sent."""
    family = socket.AF_INET6 if ":" in far[0] else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.connect(far)
            return bool(asking.getsockname()[0] == far[0])
    except OSError:
        return False


async def _made(far: FarEnd, every_s: int) -> tuple[socket.socket, asyncio.Transport, _Silence]:
    """A connection on which the kernel asks so often. How long it tries is the kernel's to time, not that of a process
    which may be starved. Raises: OSError."""
    made = socket.socket(socket.AF_INET6 if ":" in far[0] else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(lines.QUESTION_S * 1000))
        loop = asyncio.get_running_loop()
        await loop.sock_connect(made, far)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, every_s)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, every_s)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, lines.PROBES)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        transport, protocol = await loop.create_connection(_Silence, sock=made)
    except BaseException:
        made.close()
        raise
    return made, transport, protocol


def _answered_s(connection: socket.socket) -> float:
    """How long ago the other end's kernel last answered."""
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
    except OSError:
        return float("inf")
    return int.from_bytes(info[LAST_ANSWER_AT : LAST_ANSWER_AT + 4], sys.byteorder) / 1000
