"""Bytes to requests: what a connection's peer has said so far of the next one.

Clients send the same headers again and again, and only the target differs. Headers that came whole are therefore
remembered by their bytes, with what the parser made of them; who sends the same bytes again is not parsed anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import parse_qsl, unquote

import httptools

from navarch.base.errors import TooLarge
from navarch.wire import http_reply
from navarch.wire.http_body import CONTINUE, WHOLE_BYTES, Body
from navarch.wire.message import Peer, Request

if TYPE_CHECKING:
    from navarch.wire.http import Limits

HEADS = 512
"""How many a server remembers."""
HEAD_BYTES = 4_096
"""The longest that it remembers."""
QUERY_BYTES = 512

_NAMES: dict[bytes, str] = {}
_METHODS = {name.encode(): name for name in ("GET", "PUT", "POST", "PATCH", "DELETE")}
_LINE = re.compile(rb"(GET|PUT|POST|PATCH|DELETE) (/[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*) HTTP/1\.1\r\n").match
"""The first line as nearly all clients write it; what looks otherwise is judged by the parser."""


def header_name(raw: bytes) -> str:
    """Lower-case text; the names that clients really use are remembered."""
    known = _NAMES.get(raw)
    if known is None:
        known = raw.decode("latin-1").lower()
        if len(_NAMES) < 512:
            _NAMES[raw] = known
    return known


HandsOn = Callable[[Request], bool]
"""Whether a request, whose body has not come, is answered by somebody else, who is to have the body as it comes."""


class Head(NamedTuple):
    """The headers of a request whose connection goes on after it. length: of its body. size: of it all, as counted
    against the limit."""

    headers: dict[str, str]
    length: int
    size: int


@dataclass(slots=True)
class Waiting:
    """A complete request, or one whose body is handed on as it comes. keep: the connection may go on after it. old: of
    HTTP/1.0, which knows no chunks."""

    request: Request
    keep: bool
    upgradable: bool
    old: bool


class Owner(Protocol):
    """The connection. deadline: see there."""

    peer: Peer
    deadline: float | None

    def take(self, waiting: Waiting) -> None: ...

    def give(self, seconds: float) -> None:
        """So long the peer has from now on."""
        ...

    def send(self, data: bytes) -> None: ...

    def set_reading(self, wanted: bool) -> None: ...


class Reader:
    """`feed` it what comes; it hands complete requests to its owner. heads: what was read before, by its bytes.
    hands_on: None where every body is read as a whole."""

    __slots__ = (
        *("_body", "_body_bytes", "_hands_on", "_head_bytes", "_header_count", "_headers", "_heads", "_idle"),
        *("_limits", "_owner", "_parser", "_stream", "_url", "in_head"),
    )

    def __init__(self, owner: Owner, limits: Limits, heads: dict[bytes, Head], hands_on: HandsOn | None) -> None:
        self._owner = owner
        self._hands_on = hands_on
        self._stream: Body | None = None
        self._limits = limits
        self._heads = heads
        self._parser: httptools.HttpRequestParser | None = None
        self.restart()

    def restart(self) -> None:
        """Begin anew, with the next request."""
        self._parser = None
        self._idle = True
        """Nothing was read of the next request, and there may be one."""
        self._start()

    def _start(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._head_bytes = 0
        self._header_count = 0
        self.in_head = False

    def fail(self, error: Exception) -> None:
        """Nothing more will be fed: who reads a body that has not all come is told."""
        if self._stream is not None:
            self._stream.fail(error)

    def feed(self, data: bytes) -> None:
        """Raises: HttpParserUpgrade, with where the other protocol begins; HttpParserError; ApiError; ValueError."""
        block = b""
        at = 0
        if self._idle and (line := _LINE(data)) is not None:
            start = line.end()
            end = data.find(b"\r\n\r\n", start - 2)
            if start <= end <= start + HEAD_BYTES:
                block, at = data[start:end], end + 4
                head = self._heads.get(block)
                if head is not None:
                    if len(data) == at + head.length and self._fits(line[2], head):
                        self._take(_METHODS[line[1]], line[2], head.headers, data[at:])
                        return
                    block = b""
        parser = self._parser
        if parser is None:
            parser = self._parser = httptools.HttpRequestParser(self)
        continued = self.in_head
        parser.feed_data(data)
        if continued and self.in_head:  # a single header that never ends is seen by no callback
            self._count_head(len(data))
        if block and self._idle:
            self._remember(block, len(data) - at)

    def _fits(self, target: bytes, head: Head) -> bool:
        size = len(target)
        return size <= self._limits.target_bytes and size + head.size <= self._limits.head_bytes

    def _take(self, method: str, target: bytes, headers: dict[str, str], body: bytes) -> None:
        owner = self._owner
        owner.deadline = None
        owner.take(Waiting(_request(method, target, headers, body, owner.peer), True, False, False))

    def _remember(self, block: bytes, length: int) -> None:
        """What was fed was one whole request, or several; only of one it is known how long its body is."""
        headers = self._headers
        if "transfer-encoding" in headers or "expect" in headers:
            return
        if int(headers.get("content-length", "0")) != length or self._body_bytes != length:
            return
        if len(self._heads) >= HEADS:
            self._heads.clear()
        self._heads[block] = Head(headers, length, self._head_bytes - len(self._url))

    # --- what the parser calls ---

    def on_message_begin(self) -> None:
        self._start()
        self._idle = False
        self.in_head = True
        self._owner.give(self._limits.head_s)

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > self._limits.target_bytes:
            raise http_reply.TargetTooLong(f"the path and query are over {self._limits.target_bytes} bytes")
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        key = header_name(name)
        text = value.decode("latin-1")
        known = self._headers.get(key)
        self._headers[key] = text if known is None else f"{known}, {text}"
        self._header_count += 1
        if self._header_count > self._limits.headers:
            raise http_reply.HeadTooLarge(f"the request has more than {self._limits.headers} headers")
        self._count_head(len(name) + len(value) + 4)

    def on_headers_complete(self) -> None:
        self.in_head = False
        self._owner.give(self._limits.body_s)
        declared = int(self._headers.get("content-length", "0") or "0")
        if (declared > WHOLE_BYTES or "transfer-encoding" in self._headers) and self._streamed():
            return
        if declared > self._limits.body_bytes:
            raise TooLarge(self._too_large())
        if self._expects():
            self._owner.send(CONTINUE)

    def _expects(self) -> bool:
        return self._headers.get("expect", "").lower() == "100-continue"

    def _streamed(self) -> bool:
        """Hand the request over without its body, if that is for somebody else."""
        parser, owner = self._parser, self._owner
        if self._hands_on is None or "upgrade" in self._headers:
            return False
        assert parser is not None
        request = _request(parser.get_method().decode(), self._url, self._headers, b"", owner.peer)
        if not self._hands_on(request):
            return False
        self._stream = request.stream = Body(owner, self._expects())
        owner.deadline = None  # how long it may take is for those to say who answer it
        owner.take(Waiting(request, parser.should_keep_alive(), False, parser.get_http_version() == "1.0"))
        return True

    def on_body(self, data: bytes) -> None:
        if self._stream is not None:
            self._stream.feed(data)
            return
        self._body_bytes += len(data)
        if self._body_bytes > self._limits.body_bytes:
            raise TooLarge(self._too_large())
        self._body.append(data)

    def on_message_complete(self) -> None:
        parser = self._parser
        assert parser is not None
        if self._stream is not None:
            self._idle = parser.should_keep_alive() and parser.get_http_version() != "1.0"
            self._stream.end()
            self._stream = None
            return
        body = self._body
        whole = body[0] if len(body) == 1 else b"".join(body)
        request = _request(parser.get_method().decode(), self._url, self._headers, whole, self._owner.peer)
        keep, upgradable = parser.should_keep_alive(), parser.should_upgrade()
        old = parser.get_http_version() == "1.0"
        self._idle = keep and not upgradable and not old
        self._owner.deadline = None
        self._owner.take(Waiting(request, keep, upgradable, old))

    def _too_large(self) -> str:
        return f"Request entity too large: limit is {self._limits.body_bytes}"

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._limits.head_bytes:
            raise http_reply.HeadTooLarge(f"the request's line and headers are over {self._limits.head_bytes} bytes")


def _request(method: str, url: bytes, headers: dict[str, str], body: bytes, peer: Peer) -> Request:
    target = path = url.decode("latin-1")
    query: Sequence[tuple[str, str]] = ()
    if "?" in target:
        path, _, text = target.partition("?")
        query = _known_query(text) if len(text) <= QUERY_BYTES else _query(text)
    if path.startswith("http"):  # the absolute form that proxies use
        path = "/" + path.partition("://")[2].partition("/")[2]
    return Request(method, unquote(path) if "%" in path else path, target, headers, query, body, peer)


def _query(text: str) -> tuple[tuple[str, str], ...]:
    return tuple(parse_qsl(text, keep_blank_values=True)) if text else ()


_known_query = lru_cache(maxsize=512)(_query)
