"""Single checks against servers of the test's own on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from navarch.agent.handlers import Verdict, http_get, port_number, tcp_connect
from navarch.agent.probes import Tally
from navarch.kinds.podspec.container import Container, ContainerPort, HTTPGetAction, HTTPHeader, Probe, TCPSocketAction

CONTAINER = Container(name="main", ports=(ContainerPort(container_port=8080, name="web"),))


def served(answer: bytes, ask: Callable[[int], Awaitable[Verdict]], delay_s: float = 0.0) -> tuple[Verdict, bytes]:
    """What `ask` says of a server that sends `answer`, and what it was asked."""
    asked = bytearray()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.extend(await reader.read(4096))
        if delay_s:
            await asyncio.sleep(delay_s)
        writer.write(answer)
        writer.close()

    async def run() -> Verdict:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        async with server:
            return await ask(server.sockets[0].getsockname()[1])

    return asyncio.run(run()), bytes(asked)


def get(port: int, timeout_s: float = 30.0, **action: Any) -> Awaitable[Verdict]:
    return http_get(HTTPGetAction(port=port, **action), CONTAINER, "127.0.0.1", timeout_s, "kube-probe/1.36")


@pytest.mark.parametrize(
    ("status", "ok"), [(200, True), (204, True), (302, True), (399, True), (400, False), (503, False)]
)
def test_the_status_decides(status: int, ok: bool) -> None:
    verdict, _ = served(f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nhi".encode(), get)
    assert verdict.ok is ok
    if not ok:
        assert verdict.text == f"HTTP probe failed with statuscode: {status}"


def test_a_request_carries_what_the_spec_says() -> None:
    headers = (HTTPHeader(name="Host", value="app.test"), HTTPHeader(name="X-A", value="1"))
    _, asked = served(b"HTTP/1.1 200 OK\r\n\r\n", lambda port: get(port, path="/x?y=1", http_headers=headers))
    lines = asked.decode().split("\r\n")
    assert lines[0] == "GET /x?y=1 HTTP/1.1"
    assert "Host: app.test" in lines
    assert "X-A: 1" in lines
    assert "User-Agent: kube-probe/1.36" in lines


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00" * 100_000])
def test_what_is_no_http_is_a_failure(answer: bytes) -> None:
    verdict, _ = served(answer, get)
    assert not verdict.ok
    assert verdict.text.startswith('Get "http://127.0.0.1:')


def test_a_slow_answer_and_a_closed_port_are_failures() -> None:
    verdict, _ = served(b"HTTP/1.1 200 OK\r\n\r\n", lambda port: get(port, 0.05), delay_s=0.5)
    assert "context deadline exceeded" in verdict.text
    closed = asyncio.run(_closed())
    assert [item.ok for item in closed] == [False, False]
    assert all("connection refused" in item.text for item in closed)


async def _closed() -> list[Verdict]:
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return [await get(port), await tcp_connect(TCPSocketAction(port=port), CONTAINER, "127.0.0.1", 30.0)]


def test_an_open_port_is_enough_for_tcp() -> None:
    verdict, _ = served(b"", lambda port: tcp_connect(TCPSocketAction(port=port), CONTAINER, "127.0.0.1", 30.0))
    assert verdict.ok


def test_ports_have_names() -> None:
    assert (port_number("web", CONTAINER), port_number("81", CONTAINER), port_number(82, CONTAINER)) == (8080, 81, 82)
    with pytest.raises(ValueError, match="couldn't find port: 'x' in container main"):
        port_number("x", CONTAINER)


def test_thresholds_count_only_what_came_in_a_row() -> None:
    probe = Probe(success_threshold=2, failure_threshold=3)
    tally, settled = Tally(), []
    for ok in (True, True, False, False, True, False, False, False):
        tally = tally.counted(ok)
        settled.append(tally.settled(probe))
    assert settled == [False, True, False, False, False, False, False, True]
    assert not Tally().settled(probe)
