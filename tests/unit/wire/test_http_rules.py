"""What holds of the HTTP server for every cut of every stream of bytes."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from navarch.wire.http import Limits, Server
from navarch.wire.message import Request, Response

PIECES = st.lists(st.integers(1, 40), min_size=1, max_size=30)
REQUESTS = st.lists(st.tuples(st.sampled_from(["GET", "PUT", "chunked"]), st.binary(max_size=60)), max_size=6)


async def echo(request: Request) -> Response:
    return Response(body=request.path.encode() + b"=" + request.body)


def written(number: int, method: str, body: bytes) -> bytes:
    if method == "GET":
        return b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number
    if method == "PUT":
        return b"PUT /%d HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b" % (number, len(body), body)
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    return b"PUT /%d HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n" % (number, chunks)


async def talk(stream: bytes, sizes: list[int]) -> bytes:
    """Send the stream in pieces of those sizes, end our side and return all that came back."""
    async with Server(echo, limits=Limits(linger_s=20.0), grace_s=20.0) as server:
        port = await server.listen(tls=False)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        at = turn = 0
        while at < len(stream):
            size = sizes[turn % len(sizes)]
            writer.write(stream[at : at + size])
            at += size
            turn += 1
            await asyncio.sleep(0)
        try:
            async with asyncio.timeout(60):
                answer = await reader.read()
        except ConnectionError:
            answer = b""
        writer.close()
        return answer


@settings(max_examples=40, deadline=None)
@given(REQUESTS, PIECES)
def test_every_request_is_answered_in_order_however_it_is_cut(
    requests: list[tuple[str, bytes]], sizes: list[int]
) -> None:
    stream = b"".join(written(number, method, body) for number, (method, body) in enumerate(requests))
    stream += b"GET /end HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    answer = asyncio.run(talk(stream, sizes))
    found = []
    while answer:
        head, _, rest = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        size = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        found.append(rest[:size])
        answer = rest[size:]
    bodies = [b"/%d=%b" % (n, b"" if method == "GET" else body) for n, (method, body) in enumerate(requests)]
    assert found == [*bodies, b"/end="]


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=1, max_size=80), PIECES)
def test_nonsense_is_answered_with_400_or_waited_for(noise: bytes, sizes: list[int]) -> None:
    answer = asyncio.run(talk(noise + b"\r\n\r\n\x00\x01nonsense\r\n\r\n", sizes))
    assert answer.startswith(b"HTTP/1.1 ")
    assert answer.split()[1] in (b"400", b"431")
