"""One connection of the HTTP/1.1 server: handlers one after another, responses to bytes.

It leaves listening, time limits and shutdown to `wire.http`, reading requests to `wire.http_request`, and what they
mean to the handler.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import httptools

from navarch.base.errors import ApiError, BadRequest
from navarch.base.log import Log
from navarch.wire import http_reply
from navarch.wire.hangup import hung_up
from navarch.wire.http_body import Body
from navarch.wire.http_packing import GZIP_FROM_BYTES, pack, takes_gzip
from navarch.wire.http_request import Reader, Waiting
from navarch.wire.http_tls import ServerTls
from navarch.wire.http_tunnel import ConnectionTunnel
from navarch.wire.message import UPGRADED, Headers, Peer, Piped, Request, Response

if TYPE_CHECKING:
    from navarch.wire.http import Server

log = Log("wire.http")

PIPELINED = 16
"""Complete requests that may wait on one connection before reading pauses."""
PENDING_BYTES = 65_536
"""Written bytes that are handed to the transport at once instead of at the end of the tick."""
NEAR = ("127.0.0.1", "::1")
"""Where clients on the same machine come from."""


class Connection(asyncio.Protocol):
    """What asyncio calls; `serve` is the connection's one task."""

    def __init__(self, server: Server, context: ssl.SSLContext | None, local: bool) -> None:
        self._server = server
        self._limits = server.limits
        self._tls = ServerTls(context) if context is not None else None
        self._local = local
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._reader = Reader(self, server.limits, server.heads, server.hands_on)
        self.peer = Peer(local=local)
        self.deadline: float | None = None
        """When the server gives up on the peer (loop time): an unfinished request, an unused connection."""
        self.busy = False
        """A handler runs, or waits to."""
        self.streaming = False
        self.answered = False
        """It is busy only because the peer has not taken the answer yet."""
        self.draining = False
        """Close when the present request is answered."""
        self._lost = False
        self._discarding = False
        self._parted = False
        """Our side is ended; not a byte may follow."""
        self._requests: deque[Waiting] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._tunnel: ConnectionTunnel | None = None
        self._early = b""
        self._upgrading = False
        self._reading = True
        self._drained: asyncio.Future[None] | None = None
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._flush_due = False
        self._piped = False
        """The body hands over its pieces by `push`."""

    # --- what asyncio calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=262_144)
        if not self._local:
            host, port = (transport.get_extra_info("peername") or ("", 0))[:2]
            self.peer = Peer(host=host, port=port)
        self.deadline = self._loop.time() + self._limits.head_s
        self._task = self._server.adopt(self)
        if self._task is None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        tls = self._tls
        if tls is not None:
            ready = tls.ready
            try:
                data = tls.receive(data)
            except ssl.SSLError as error:
                self._handshake_failed(error)
                return
            if tls.outgoing.pending and not self._parted:
                self._transport.write(tls.outgoing.read())
            if not ready and tls.ready:
                name, organizations, der = tls.subject()
                self.peer = replace(self.peer, common_name=name, organizations=organizations, certificate=der)
        if data:
            if self._tunnel is not None:
                self._tunnel.feed(data)
            elif not self._discarding:
                self._feed(data)
        if tls is not None and tls.ended:
            self.eof_received()

    def eof_received(self) -> bool | None:
        """A client that ends its side is gone, except in a tunnel, where the other direction may go on."""
        if self._tunnel is not None:
            self._tunnel.feed_end()
            return self._tls is None
        self._transport.close()
        return None

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        self._reader.fail(ConnectionResetError("the client is gone"))
        if self._tunnel is not None:
            self._tunnel.feed_end()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self._task is not None and self._tunnel is None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._drained = self._loop.create_future()
        if self._piped:
            self._expect_taken(self._limits.stream_stall_s)

    def resume_writing(self) -> None:
        drained, self._drained = self._drained, None
        if self._piped:
            self.deadline = None
        if drained is not None and not drained.done():
            drained.set_result(None)

    # --- what the reader calls ---

    def take(self, waiting: Waiting) -> None:
        self._requests.append(waiting)
        self.busy = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if len(self._requests) >= PIPELINED:
            self._pause_reading()

    def give(self, seconds: float) -> None:
        self.deadline = self._loop.time() + seconds

    # --- bytes in ---

    def _feed(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._early = data[upgrade.args[0] :]
            self._upgrading = True
            self._pause_reading()
        except httptools.HttpParserError as error:
            refused = error.__context__ if isinstance(error.__context__, ApiError) else None
            self._refuse(refused or BadRequest(f"this is no HTTP request: {error}"))
        except ApiError as error:
            self._refuse(error)
        except ValueError as error:
            self._refuse(BadRequest(f"this is no HTTP request: {error}"))

    def _refuse(self, error: ApiError) -> None:
        """Answer after what is already being answered, then hear no more; what the client still sends is dropped for a
        while, because closing at once would make the network throw away the answer."""
        self._discarding = True
        self.draining = True
        self._reader.fail(error)
        self.deadline = self._loop.time() + self._limits.linger_s
        if self.busy:
            return  # the client broke its stream behind a good request: that one is answered, then comes the end
        self._respond(Request("GET", "", "", {}), http_reply.refusal(error), keep=False)
        self._flush()
        self._say_goodbye()

    def _handshake_failed(self, error: ssl.SSLError) -> None:
        log.debug("TLS handshake failed", peer=self.peer.host, error=error.reason or str(error))
        if self._tls is not None and (alert := self._tls.outgoing.read()):
            self._transport.write(alert)
        self._transport.close()

    def _pause_reading(self) -> None:
        if self._reading and not self._lost:
            self._reading = False
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if not self._reading and not self._lost:
            self._reading = True
            self._transport.resume_reading()

    # --- the connection's task ---

    async def serve(self) -> None:
        """Answer one request after another until the connection ends."""
        try:
            while not self._lost:
                if not self._requests:
                    self.busy = False
                    if self.draining:
                        break
                    if self.deadline is None:
                        self.deadline = self._loop.time() + self._limits.idle_s
                    self._waiter = self._loop.create_future()
                    await self._waiter
                    self._waiter = None
                waiting = self._requests.popleft()
                if not self._reading and not self._upgrading:
                    self._resume_reading()
                if not await self._answer(waiting):
                    break
        except asyncio.CancelledError:
            if not self._lost and not self.draining:
                raise
        finally:
            self.busy = False
            self._server.forget(self)
            self._finish()

    async def _answer(self, waiting: Waiting) -> bool:
        """Returns whether the connection goes on."""
        request = waiting.request
        keep = waiting.keep and not self.draining
        if waiting.upgradable:
            request.upgrade = self._upgrade
        try:
            response = await self._server.handler(request)
            if response.packable or (isinstance(response.body, bytes) and len(response.body) >= GZIP_FROM_BYTES):
                await self._pack(request, response)
        except ApiError as error:
            response = http_reply.refusal(error)
        except Exception as bug:
            log.exception("a bug while handling a request", method=request.method, path=request.path, error=repr(bug))
            response = Response(500, (("Content-Type", "text/plain"),), b"internal error\n")
        if response is UPGRADED or self._tunnel is not None:
            if self._tunnel is not None:
                await self._tunnel.close()
            return False
        if isinstance(request.stream, Body) and not request.stream.ended:
            keep = False  # the rest of its body is not waited for
            if isinstance(request.stream.error, ApiError) and isinstance(response.body, bytes):
                response = http_reply.refusal(request.stream.error)
        body = response.body
        if isinstance(body, bytes):
            self._respond(request, response, keep)
        else:
            keep = await self._stream(request, response, body, keep and not waiting.old, not waiting.old)
        if self._upgrading and keep:  # an upgrade that nobody wanted: the stream goes on as HTTP
            self._upgrading = False
            self._reader.restart()
            early, self._early = self._early, b""
            self._resume_reading()
            if early:
                self._feed(early)
        if self._drained is not None:
            self.answered = True
            await self._taken(self._limits.stall_s)
            self.answered = False
        if isinstance(request.stream, Body):
            self._leave(request.stream)
        return keep

    def _leave(self, body: Body) -> None:
        """The request is answered. What still comes of its body is dropped for a while, as of a refused request."""
        if not body.ended:
            body.fail(ConnectionAbortedError("the request was answered before its body was read"))
            self._discarding = True
            self.deadline = self._loop.time() + self._limits.linger_s
        self._resume_reading()

    async def _pack(self, request: Request, response: Response) -> None:
        if self._local or self.peer.host in NEAR:
            return  # on one machine the bytes cost nothing and the compression does
        if takes_gzip(request.headers.get("accept-encoding", "")):
            await pack(response)

    def _respond(self, request: Request, response: Response, keep: bool) -> None:
        body = cast(bytes, response.body)
        length = None if response.status in (204, 304) or response.status < 200 else len(body)
        head = http_reply.head(response.status, response.headers, self._server.date(), length, not keep, False)
        if request.method == "HEAD" or length is None:
            data = head
        elif length < PENDING_BYTES:
            data = head + body
        else:  # one copy less
            self.send(head)
            self._flush()
            data = body
        if self._out or self._requests or self._lost:
            self.send(data)
        else:
            self._write(data)  # nobody else has anything to say in this tick

    async def _stream(
        self, request: Request, response: Response, body: AsyncIterator[bytes], keep: bool, chunked: bool
    ) -> bool:
        """Send chunks as they come; a body that fails midway ends the connection without the last chunk.

        An answer handed on from elsewhere may say its length: then it is sent as it is, and must be that long.
        """
        left = next((int(value) for name, value in response.headers if name.lower() == "content-length"), -1)
        bodiless = request.method == "HEAD" or response.status in (204, 304)
        chunked = chunked and left < 0 and not bodiless
        head = http_reply.head(response.status, response.headers, self._server.date(), None, not keep, chunked)
        self.send(head)
        self.streaming = True
        if chunked and isinstance(body, Piped):
            self._piped = True
            body.pipe(self.push)
        try:
            if not bodiless:
                async for piece in body:
                    left -= len(piece)
                    if piece:
                        self.send(http_reply.chunk(piece) if chunked else piece)
                        if self._drained is not None:
                            await self._taken(self._limits.stream_stall_s)
                    if self._lost:
                        return False
                if chunked:
                    self.send(http_reply.LAST_CHUNK)
                return keep and (chunked or left == 0)
            return keep
        except ApiError as error:
            log.info("a stream ended early", path=request.path, error=error.message)
            return False
        except Exception as bug:
            log.exception("a bug in a stream", path=request.path, error=repr(bug))
            return False
        finally:
            self.streaming = self._piped = False
            closing: Any = getattr(body, "aclose", None)
            if closing is not None:
                await closing()

    async def _upgrade(self, status: int, headers: Headers) -> ConnectionTunnel:
        self.send(http_reply.head(status, headers, self._server.date(), None, False, False))
        self._flush()
        self._tunnel = ConnectionTunnel(self)
        self.streaming = True
        if self._early:
            self._tunnel.feed(self._early)
            self._early = b""
        self._resume_reading()
        return self._tunnel

    # --- bytes out ---

    def send(self, data: bytes) -> None:
        """Hand over at the end of this tick, joined with what else was sent in it."""
        if self._lost:
            return
        self._out.append(data)
        self._out_bytes += len(data)
        if self._out_bytes >= PENDING_BYTES:
            self._flush()
        elif not self._flush_due:
            self._flush_due = True
            self._server.flush_later(self._flush)

    def push(self, piece: bytes) -> bool:
        """A piece of a stream's body, sent in chunks: handed over as `send` does, or refused while the peer takes none.

        Only while whoever iterates over the body waits for its next piece.
        """
        if self._drained is not None or self._lost or self._parted:
            return False
        self.send(self._server.chunk(piece))
        return True

    def _flush(self) -> None:
        self._flush_due = False
        out = self._out
        if not out or self._lost:
            return
        if len(out) == 1:
            data = out[0]
            out.clear()
        else:
            data, self._out = self._server.joined(out), []
        self._out_bytes = 0
        self._write(data)

    def _write(self, data: bytes) -> None:
        self._transport.write(data if self._tls is None else self._tls.seal(data))

    async def drained(self) -> None:
        """Returns when the peer's window allows more."""
        self._flush()
        if self._drained is not None:
            await self._drained

    def _expect_taken(self, patience_s: float) -> None:
        size_bytes = self._transport.get_write_buffer_size()
        self.deadline = self._loop.time() + patience_s + size_bytes / self._limits.slowest_bytes_s

    async def _taken(self, patience_s: float) -> None:
        """Wait until the peer took what was sent; one that takes nothing is ended at the deadline."""
        self._expect_taken(patience_s)
        if self._drained is not None:
            await self._drained
        self.deadline = None

    @property
    def lost(self) -> bool:
        return self._lost

    @property
    def hung_up(self) -> bool:
        """Whether the peer has left, seen or not."""
        return self._lost or hung_up(self._transport, halves=self._tls is None)

    def set_reading(self, wanted: bool) -> None:
        if wanted:
            self._resume_reading()
        else:
            self._pause_reading()

    def _say_goodbye(self) -> None:
        """End our side, once; the transport closes when the peer does, or at the deadline."""
        if self._parted:
            return
        self._parted = True
        if self._tls is not None:
            self._transport.write(self._tls.farewell())
        if self._transport.can_write_eof():
            with contextlib.suppress(OSError):  # the peer has left without a word
                self._transport.write_eof()

    def _finish(self) -> None:
        if self._lost:
            return
        self._flush()
        if self._tunnel is not None:
            # A connection closed under what its peer still sends is reset, and what the peer has not read is lost.
            self._tunnel = None
            self._discarding = True
            self.deadline = self._loop.time() + self._limits.stall_s
            self._resume_reading()
        if self._discarding:
            self._server.watch_over(self)
            self._say_goodbye()
        else:
            if self._tls is not None:
                self._transport.write(self._tls.farewell())
            self._transport.close()
            if self._transport.get_write_buffer_size():
                self._expect_taken(self._limits.stall_s)
                self._server.watch_over(self)

    def abort(self) -> None:
        """End at once, with whatever was not sent."""
        if not self._lost and self._transport is not None:
            self._transport.abort()
