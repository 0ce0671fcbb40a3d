"""The HTTP/1.1 server of everything that listens: the API server, the agent's port.

It turns connections into `wire.message` requests and answers, over TLS on TCP or in the clear on a Unix socket, and
keeps the limits: sizes, slow clients, the number of connections. HTTP/2 is not spoken; clients agree on 1.1 by ALPN.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import stat
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from navarch.base.clock import Clock, SystemClock
from navarch.base.log import Log
from navarch.wire import http_reply
from navarch.wire.http_connection import Connection
from navarch.wire.http_reply import http_date
from navarch.wire.http_request import HandsOn, Head
from navarch.wire.message import Handler

log = Log("wire.http")

SWEEP_S = 5.0
SETTLE_S = 0.02
"""Between two looks at whether a closing server still works on a request."""


@dataclass(frozen=True, slots=True)
class Limits:
    """target_bytes: of path and query. headers: how many. head_s, body_s: how long a request's head and body may take.
    idle_s: between two requests. stall_s, stream_stall_s: how long a client may take nothing of an answer, and of a
    stream (which people may look at in a pager); large answers have more time, so that they are taken at
    `slowest_bytes_s` a second. linger_s: how long a refused client's further bytes are dropped before the connection
    ends."""

    body_bytes: int = 3 * 1024 * 1024
    head_bytes: int = 65_536
    target_bytes: int = 32_768
    headers: int = 256
    head_s: float = 30.0
    body_s: float = 60.0
    idle_s: float = 180.0
    stall_s: float = 60.0
    stream_stall_s: float = 600.0
    slowest_bytes_s: float = 65_536.0
    linger_s: float = 5.0
    connections: int = 15_000


class ListenError(Exception):
    """The address cannot be listened on; the message says why and what to do."""


class Server:
    """Use as an asynchronous context: connections live in it, and its end waits for what is being answered.

    context: may be replaced at any time (a renewed certificate); new connections use the new one.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        context: ssl.SSLContext | None = None,
        limits: Limits | None = None,
        clock: Clock | None = None,
        grace_s: float = 10.0,
        stream_grace_s: float = 1.0,
        end_streams: Callable[[], Awaitable[None]] | None = None,
        hands_on: HandsOn | None = None,
    ) -> None:
        """grace_s: how long requests may go on once the server closes; stream_grace_s: streams, to end properly.
        end_streams: called in between, when no request is worked on any more, to let the streams come to their end.
        hands_on: see there; None for a server that reads every body itself."""
        self.handler = handler
        self.context = context
        self.limits = limits or Limits()
        self.hands_on = hands_on
        self._clock = clock or SystemClock()
        self._grace_s = grace_s
        self._stream_grace_s = stream_grace_s
        self._end_streams = end_streams
        self._group = asyncio.TaskGroup()
        self._tasks: dict[Connection, asyncio.Task[None]] = {}
        self._lingering: set[Connection] = set()
        self._listeners: list[asyncio.Server] = []
        self._paths: list[Path] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._closing = False
        self.heads: dict[bytes, Head] = {}
        """Headers that were read before; for its connections."""
        self._due: list[Callable[[], None]] = []
        self._piece = self._chunk = b""
        self._pieces: list[bytes] = []
        self._whole = b""
        self._forgets = False
        self._date = ""
        self._date_until = 0.0

    @property
    def connections(self) -> int:
        return len(self._tasks)

    async def __aenter__(self) -> Server:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
        await self._group.__aexit__(kind, error, trace)

    async def listen(self, host: str = "127.0.0.1", port: int = 0, *, tls: bool = True) -> int:
        """Listen on TCP and return the port (the one chosen, if 0 was asked for).

        Raises:
            ListenError: the port is in use, the address is not this machine's, or it needs more rights.
        """
        if tls and self.context is None:
            raise ValueError("a server without a TLS context cannot listen with TLS")
        loop = asyncio.get_running_loop()
        try:
            bound = await _bound(host, port)
        except OSError as error:
            raise ListenError(_explain(error, host, port)) from error
        listener = await loop.create_server(
            lambda: Connection(self, self.context if tls else None, local=False), sock=bound, backlog=1024
        )
        self._listeners.append(listener)
        return int(bound.getsockname()[1])

    async def listen_unix(self, path: Path) -> None:
        """Listen on a Unix socket that only this user can open (mode 0600), without TLS.

        Raises:
            ListenError: another process listens there, or the path is taken by something else.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_stale(path)
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            bound.setblocking(False)
            mask = os.umask(0o177)
            try:
                bound.bind(str(path))
            finally:
                os.umask(mask)
        except OSError as error:
            bound.close()
            raise ListenError(f"cannot listen on {path}: {error.strerror or error}") from error
        loop = asyncio.get_running_loop()
        listener = await loop.create_unix_server(lambda: Connection(self, None, local=True), sock=bound, backlog=1024)
        self._listeners.append(listener)
        self._paths.append(path)

    async def close(self) -> None:
        """Take no more connections, let requests being answered finish for the grace period, end the rest."""
        if self._closing:
            return
        self._closing = True
        for listener in self._listeners:
            listener.close()
        for path in self._paths:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        for connection, task in list(self._tasks.items()):
            connection.draining = True
            if not connection.busy:
                task.cancel()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._grace_s
        while (working := self._working()) and loop.time() < deadline:
            await asyncio.wait(working, timeout=SETTLE_S)  # a request may also end by becoming a stream
        if self._end_streams is not None:  # not before: a watch tells of every write that was answered
            await self._end_streams()
        streams = [task for connection, task in self._tasks.items() if connection.streaming]
        if streams:  # watches have been told to end; what people follow for as long as they like has not
            _, endless = await asyncio.wait(streams, timeout=min(self._stream_grace_s, self._grace_s))
            for task in endless:
                task.cancel()
        if self._tasks:
            left_s = max(deadline - loop.time(), SETTLE_S)
            _, late = await asyncio.wait(list(self._tasks.values()), timeout=left_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=self._grace_s)
        for connection in list(self._lingering):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()

    def _working(self) -> list[asyncio.Task[None]]:
        """Connections whose request has neither been answered nor become a stream."""
        return [task for one, task in self._tasks.items() if one.busy and not one.streaming and not one.answered]

    # --- for connections ---

    def adopt(self, connection: Connection) -> asyncio.Task[None] | None:
        """Start the task of a new connection; None when there is no room for it."""
        if self._closing or len(self._tasks) >= self.limits.connections:
            return None
        task = self._group.create_task(connection.serve())
        self._tasks[connection] = task
        self._lingering.discard(connection)
        self._sweep_later()
        return task

    def forget(self, connection: Connection) -> None:
        self._tasks.pop(connection, None)

    def watch_over(self, connection: Connection) -> None:
        """Its task is over, but the peer has not closed yet: end it at its deadline."""
        self._lingering.add(connection)
        self._sweep_later()

    def flush_later(self, flush: Callable[[], None]) -> None:
        """Call it when this tick is over."""
        if not self._due:
            asyncio.get_running_loop().call_soon(self._flush)
        self._due.append(flush)

    def _flush(self) -> None:
        due, self._due = self._due, []
        for flush in due:
            try:
                flush()
            except Exception as bug:
                log.exception("a bug while sending", error=repr(bug))

    def chunk(self, piece: bytes) -> bytes:
        """Framed for the chunked coding, once for all connections that send the same piece."""
        if piece is not self._piece:
            self._piece, self._chunk = piece, http_reply.chunk(piece)
            self._forget_later()
        return self._chunk

    def joined(self, pieces: list[bytes]) -> bytes:
        """In one, once for all connections that send the same pieces. The list is not to be changed any more."""
        if pieces != self._pieces:
            self._pieces, self._whole = pieces, b"".join(pieces)
            self._forget_later()
        return self._whole

    def _forget_later(self) -> None:
        """What several connections send is the same within one tick, and may be large."""
        if not self._forgets:
            self._forgets = True
            asyncio.get_running_loop().call_soon(self._forget)

    def _forget(self) -> None:
        self._forgets = False
        self._piece = self._chunk = self._whole = b""
        self._pieces = []

    def date(self) -> str:
        """The `Date` header, made once a second."""
        now = asyncio.get_running_loop().time()
        if now >= self._date_until:
            self._date = http_date(self._clock.now())
            self._date_until = now + 1.0
        return self._date

    def _sweep_later(self) -> None:
        if self._sweeper is None and not self._closing:
            self._sweeper = asyncio.get_running_loop().call_later(min(SWEEP_S, self.limits.head_s), self._sweep)

    def _sweep(self) -> None:
        """End the connections that are past their deadline; no timer for each, and none at all without connections."""
        self._sweeper = None
        now = asyncio.get_running_loop().time()
        for connection in [*self._tasks, *self._lingering]:
            if connection.lost:
                self._lingering.discard(connection)
            elif connection.deadline is not None and connection.deadline < now:
                connection.abort()
        if self._tasks or self._lingering:
            self._sweep_later()


async def _bound(host: str, port: int) -> socket.socket:
    """A socket on that address; "" is every IPv4 address. What is set here, accepted connections inherit: they find
    out within a minute that their peer has vanished."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)
    family, type_, protocol, _, address = found[0]
    bound = socket.socket(family, type_, protocol)
    try:
        bound.setblocking(False)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4 has a socket of its own, or none
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3)):
            bound.setsockopt(socket.IPPROTO_TCP, option, value)
        bound.bind(address)
        bound.listen(1024)  # the second of two that bind an unused port is told only now
    except BaseException:
        bound.close()
        raise
    return bound


def _explain(error: OSError, host: str, port: int) -> str:
    where = f"{host or '*'}:{port}"
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use on {host or '*'}: stop what listens there, or choose another port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"cannot listen on {where}: {host} is not an address of this machine"
    if error.errno == errno.EACCES:
        return f"cannot listen on {where}: ports below 1024 need root"
    return f"cannot listen on {where}: {error.strerror or error}"


def _clear_stale(path: Path) -> None:
    """Remove the socket that a dead server left behind."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"cannot listen on {path}: it is there and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise ListenError(f"cannot listen on {path}: {error}") from error
    raise ListenError(f"cannot listen on {path}: another process listens there")
