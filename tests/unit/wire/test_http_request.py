"""Requests out of bytes: what was parsed before is read the same from memory, and nothing else is."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.base.errors import ApiError
from navarch.wire import http_request
from navarch.wire.http import Limits
from navarch.wire.http_request import Head, Reader, Waiting
from navarch.wire.message import Peer, Request


class Owner:
    """Keeps what it is handed."""

    def __init__(self) -> None:
        self.peer = Peer("192.0.2.1", 5)
        self.deadline: float | None = None
        self.taken: list[Waiting] = []
        self.sent = b""

    def take(self, waiting: Waiting) -> None:
        self.taken.append(waiting)

    def give(self, seconds: float) -> None:
        self.deadline = seconds

    def send(self, data: bytes) -> None:
        self.sent += data

    @property
    def requests(self) -> list[Request]:
        return [one.request for one in self.taken]


def read(*pieces: bytes, heads: dict[bytes, Head] | None = None, limits: Limits | None = None) -> Owner:
    owner = Owner()
    reader = Reader(owner, limits or Limits(), {} if heads is None else heads, None)
    for piece in pieces:
        reader.feed(piece)
    return owner


def written(method: str, target: str, headers: list[tuple[str, str]], body: bytes = b"") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["Host", "Accept", "X-Twice", "x-twice", "User-Agent", "Authorization"]),
        st.text("abc /;=,*\xe9", max_size=8),
    ),
    min_size=1,
    max_size=5,
)
TARGETS = st.text("abz019-._~%2F/?&=+:@,;'()*!$<>\"^`|{}#", max_size=20).map("/".__add__)
REQUESTS = st.lists(
    st.tuples(
        st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]),
        TARGETS,
        st.integers(0, 2),
        st.binary(max_size=3),
    ),
    max_size=8,
)


@given(st.lists(HEADERS, min_size=3, max_size=3), REQUESTS)
def test_what_is_remembered_gives_what_the_parser_gives(
    headers: list[list[tuple[str, str]]], requests: list[tuple[str, str, int, bytes]]
) -> None:
    wires = [written(method, target, headers[which], body) for method, target, which, body in requests]
    heads: dict[bytes, Head] = {}
    plain: list[Waiting] = []
    for wire in wires:
        plain += read(*(wire[at : at + 1] for at in range(len(wire)))).taken
    assert read(*wires, heads=heads).taken == plain
    again = read(*wires, heads=heads)
    assert again.taken == plain
    assert again.deadline is None
    assert read(b"".join(wires), heads=heads).taken == plain


def test_a_known_head_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    heads: dict[bytes, Head] = {}
    headers = [("Host", "h"), ("Accept", "application/json")]
    first = read(written("GET", "/a", headers), written("POST", "/b", headers, b"body"), heads=heads)
    assert len(heads) == 2

    def parser(_: object) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr(httptools, "HttpRequestParser", parser)
    found = read(written("DELETE", "/c?x=%2F", headers), written("PUT", "/d%20e", headers, b"ydob"), heads=heads)
    assert [(one.method, one.path, one.target, one.body) for one in found.requests] == [
        ("DELETE", "/c", "/c?x=%2F", b""),
        ("PUT", "/d e", "/d%20e", b"ydob"),
    ]
    assert found.requests[0].query == (("x", "/"),)
    assert found.requests[0].headers == first.requests[0].headers == {"host": "h", "accept": "application/json"}
    assert found.requests[0].peer.host == "192.0.2.1"
    with pytest.raises(AssertionError, match="parsed"):
        read(written("GET", "/a", [("Host", "H"), ("Accept", "application/json")]), heads=heads)


def test_more_and_less_than_the_known_length() -> None:
    heads: dict[bytes, Head] = {}
    wire = written("POST", "/a", [("Host", "h")], b"body")
    read(wire, heads=heads)
    assert len(heads) == 1
    for pieces in ((wire[:-2], wire[-2:]), (wire[:-4], wire[-4:]), (wire + wire[:5], wire[5:]), (wire + wire,)):
        found = read(*pieces, wire, heads=heads)
        assert {(one.target, one.body) for one in found.requests} == {("/a", b"body")}
        assert len(found.taken) == len(b"".join(pieces)) // len(wire) + 1


@pytest.mark.parametrize(
    ("wire", "keep", "upgradable", "old"),
    [
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", False, False, False),
        (b"GET / HTTP/1.0\r\nHost: h\r\n\r\n", False, False, True),
        (b"GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", True, False, True),
        (b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", True, False, False),
        (b"PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx", True, False, False),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * http_request.HEAD_BYTES + b"\r\n\r\n", True, False, False),
        (b"GET / HTTP/1.1\r\n\r\n", True, False, False),
        (b"GET /#x HTTP/1.1\r\nHost: h\r\n\r\n", True, False, False),
    ],
)
def test_what_is_not_like_most_is_never_remembered(wire: bytes, keep: bool, upgradable: bool, old: bool) -> None:
    heads: dict[bytes, Head] = {}
    (found,) = read(wire, heads=heads).taken
    assert (found.keep, found.upgradable, found.old) == (keep, upgradable, old)
    assert not heads


def test_an_upgrade_is_never_remembered() -> None:
    heads: dict[bytes, Head] = {}
    wire = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    for _ in range(2):
        with pytest.raises(httptools.HttpParserUpgrade):
            read(wire, heads=heads)
    assert not heads


def test_nothing_is_heard_after_a_request_that_ends_the_connection() -> None:
    heads: dict[bytes, Head] = {}
    good = written("GET", "/a", [("Host", "h")])
    read(good, heads=heads)
    with pytest.raises(httptools.HttpParserError):
        read(written("GET", "/b", [("Host", "h"), ("Connection", "close")]), good, heads=heads)


@pytest.mark.parametrize(
    "bad",
    [
        b"GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"PUT / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
        b"PUT / HTTP/1.1\r\nContent-Length: +1\r\n\r\nx",
        b"GET / HTTP/1.1\r\n Host: h\r\n\r\n",
    ],
)
def test_what_is_refused_once_is_refused_again(bad: bytes) -> None:
    heads: dict[bytes, Head] = {}
    for _ in range(2):
        with pytest.raises(httptools.HttpParserError):
            read(bad, heads=heads)
    assert not heads


def test_limits_hold_for_known_heads_too() -> None:
    heads: dict[bytes, Head] = {}
    limits = Limits(target_bytes=10, head_bytes=24)
    headers = [("Host", "h"), ("X", "y")]  # counted as 15 bytes
    read(written("GET", "/123", headers), heads=heads, limits=limits)
    assert [head.size for head in heads.values()] == [15]
    assert len(read(written("GET", "/12345678", headers), heads=heads, limits=limits).taken) == 1
    for target in ("/123456789", "/1234567890"):
        with pytest.raises(httptools.HttpParserCallbackError) as refused:
            read(written("GET", target, headers), heads=heads, limits=limits)
        assert isinstance(refused.value.__context__, ApiError)


def test_memory_is_bounded() -> None:
    heads: dict[bytes, Head] = {}
    for number in range(http_request.HEADS * 2):
        read(written("GET", "/", [("Host", str(number))]), heads=heads)
        assert len(heads) <= http_request.HEADS
