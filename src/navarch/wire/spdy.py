"""SPDY/3.1 as far as container runtimes speak it: either end of a session with many streams, which the client opens.

containerd takes exec and attach as SPDY streams. It neither sends nor heeds flow-control frames, so none
are sent here: back-pressure is TCP's, and every stream of a session must have a reader.

Source: https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import Mapping
from types import TracebackType

from navarch.base.errors import Retryable
from navarch.wire.message import Tunnel

_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _PING, _GOAWAY = 1, 2, 3, 6, 7
_FIN = 1
_VERSION = 3
UNREAD_FRAMES = 64
UNHEARD_STREAMS = 64
"""Streams that the other end has opened and nobody has taken; then it waits."""
HEADER_BYTES = 65_536

_WORDS = (
    *("options", "head", "post", "put", "delete", "trace", "accept", "accept-charset", "accept-encoding"),
    *("accept-language", "accept-ranges", "age", "allow", "authorization", "cache-control", "connection"),
    *("content-base", "content-encoding", "content-language", "content-length", "content-location", "content-md5"),
    *("content-range", "content-type", "date", "etag", "expect", "expires", "from", "host", "if-match"),
    *("if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "last-modified", "location"),
    *("max-forwards", "pragma", "proxy-authenticate", "proxy-authorization", "range", "referer", "retry-after"),
    *("server", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "vary", "via", "warning"),
    *("www-authenticate", "method", "get", "status", "200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie"),
    *("keep-alive", "origin"),
)
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(struct.pack(">I", len(word)) + word.encode() for word in _WORDS) + _TAIL.encode()
"""What both ends prime their header compression with; its Adler-32 is e3c6a7c2."""


class SpdyError(Retryable):
    """The other end broke the protocol, reset the stream or went away."""


class Stream:
    """One of a session's streams: bytes both ways, each half closed on its own."""

    def __init__(self, session: Session, number: int) -> None:
        self._session = session
        self.number = number
        self._incoming: asyncio.Queue[bytes] = asyncio.Queue(UNREAD_FRAMES)
        self._ended = False
        self._finished = False
        self.answered = asyncio.Event()
        self.accepted = False

    async def read(self) -> bytes:
        """What came next, b"" at the end: the other end has closed or reset the stream.

        Raises:
            SpdyError: the session ended before the stream did.
        """
        if self._ended:
            return b""
        data = await self._incoming.get()
        if not data:
            self._ended = True
            if not self._finished:
                raise SpdyError(self._session.broken)
        return data

    async def write(self, data: bytes) -> None:
        for start in range(0, len(data), 0x8000):
            piece = data[start : start + 0x8000]
            await self._session.send(struct.pack(">II", self.number, len(piece)) + piece)

    async def close(self) -> None:
        """Say that no more comes from this end."""
        await self._session.send(struct.pack(">II", self.number, _FIN << 24))

    async def feed(self, data: bytes) -> None:
        await self._incoming.put(data)

    async def end(self, *, finished: bool) -> None:
        """finished: by the other end, and not because the session broke."""
        self._finished = finished
        await self._incoming.put(b"")


class Session:
    """Use as an asynchronous context over an upgraded connection; leaving it closes the connection."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel
        self._streams: dict[int, Stream] = {}
        self._next = 1
        self._pack = zlib.compressobj(zdict=DICTIONARY)
        self._unpack = zlib.decompressobj(zdict=DICTIONARY)
        self._group = asyncio.TaskGroup()
        self._reader: asyncio.Task[None] | None = None
        self._arrived: asyncio.Queue[tuple[Stream, Mapping[str, str]] | None] = asyncio.Queue(UNHEARD_STREAMS)
        self.broken = ""

    async def __aenter__(self) -> Session:
        await self._group.__aenter__()
        self._reader = self._group.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tunnel.close()
        if self._reader:
            self._reader.cancel()
        await self._group.__aexit__(kind, error, trace)

    async def open(self, headers: Mapping[str, str]) -> Stream:
        """A new stream, once the other end has accepted it.

        Raises:
            SpdyError: it was refused, or the session ended.
        """
        stream = Stream(self, self._next)
        self._next += 2
        self._streams[stream.number] = stream
        block = struct.pack(">I", len(headers))
        for name, value in headers.items():
            block += b"".join(struct.pack(">I", len(raw)) + raw for raw in (name.lower().encode(), value.encode()))
        packed = self._pack.compress(block) + self._pack.flush(zlib.Z_SYNC_FLUSH)
        await self._control(_SYN_STREAM, struct.pack(">IIBB", stream.number, 0, 0, 0) + packed)
        await stream.answered.wait()
        if not stream.accepted:
            raise SpdyError(self.broken or "the other end refused the stream")
        return stream

    async def accept(self) -> tuple[Stream, Mapping[str, str]] | None:
        """The next stream that the other end opens, with its headers; None once the session has ended."""
        return await self._arrived.get()

    async def send(self, frame: bytes) -> None:
        """Raises: SpdyError."""
        if self.broken:
            raise SpdyError(self.broken)
        try:
            await self._tunnel.write(frame)
        except ConnectionError as error:
            raise SpdyError(f"the SPDY session ended: {error}") from error

    async def _control(self, kind: int, body: bytes, flags: int = 0) -> None:
        await self.send(struct.pack(">HHI", 0x8000 | _VERSION, kind, flags << 24 | len(body)) + body)

    async def _read(self) -> None:
        """Hand every frame to its stream until the connection ends; then end all streams."""
        waiting = bytearray()
        try:
            while data := await self._tunnel.read():
                waiting += data
                while len(waiting) >= 8:
                    first, second = struct.unpack_from(">II", waiting)
                    length = second & 0xFFFFFF
                    if len(waiting) < 8 + length:
                        break
                    body = bytes(waiting[8 : 8 + length])
                    del waiting[: 8 + length]
                    if first & 0x80000000:
                        await self._on_control(first & 0xFFFF, body, second >> 24)
                    else:
                        await self._on_data(first, body, second >> 24)
        except (ConnectionError, SpdyError, zlib.error, struct.error) as error:
            self.broken = f"the SPDY session ended: {error}"
        finally:
            self.broken = self.broken or "the SPDY session has ended"
            for stream in self._streams.values():
                stream.answered.set()
        for stream in list(self._streams.values()):
            await stream.end(finished=False)
        await self._arrived.put(None)

    async def _on_data(self, number: int, body: bytes, flags: int) -> None:
        stream = self._streams.get(number)
        if stream is None:
            return
        if body:
            await stream.feed(body)
        if flags & _FIN:
            await self._finish(stream)

    async def _on_control(self, kind: int, body: bytes, flags: int) -> None:
        if kind == _PING:
            await self._control(_PING, body)
        elif kind == _GOAWAY:
            self.broken = "the other end closed the SPDY session"
        elif kind == _SYN_STREAM:
            await self._opened(body, flags)
        elif kind in (_SYN_REPLY, _RST_STREAM):
            stream = self._streams.get(struct.unpack_from(">I", body)[0] & 0x7FFFFFFF)
            if kind == _SYN_REPLY:
                self._unpack.decompress(body[4:])  # the compression's state goes on from frame to frame
            if stream is None:
                return
            stream.accepted = stream.accepted or kind == _SYN_REPLY
            stream.answered.set()
            if kind == _RST_STREAM or flags & _FIN:
                await self._finish(stream)

    async def _opened(self, body: bytes, flags: int) -> None:
        """The other end has opened a stream: accept it. Raises: struct.error, zlib.error."""
        number = struct.unpack_from(">I", body)[0] & 0x7FFFFFFF
        block = self._unpack.decompress(body[10:], HEADER_BYTES)
        if self._unpack.unconsumed_tail:
            raise zlib.error(f"headers of more than {HEADER_BYTES} bytes")
        headers = unpacked(block)
        stream = self._streams[number] = Stream(self, number)
        stream.accepted = True
        block = self._pack.compress(struct.pack(">I", 0)) + self._pack.flush(zlib.Z_SYNC_FLUSH)
        await self._control(_SYN_REPLY, struct.pack(">I", number) + block)
        await self._arrived.put((stream, headers))
        if flags & _FIN:
            await self._finish(stream)

    async def _finish(self, stream: Stream) -> None:
        if self._streams.pop(stream.number, None) is not None:
            await stream.end(finished=True)


def unpacked(block: bytes) -> dict[str, str]:
    """A block of headers, its names in small letters. Raises: struct.error."""
    found, at = {}, 4
    for _ in range(struct.unpack_from(">I", block)[0]):
        words = []
        for _ in range(2):
            (length,) = struct.unpack_from(">I", block, at)
            words.append(block[at + 4 : at + 4 + length].decode("latin-1"))
            at += 4 + length
        found[words[0].lower()] = words[1]
    return found
