"""The client's side of an HTTP upgrade: ask a server for its connection, and take it over.

HTTP client libraries speak WebSocket at most; streams to nodes and runtimes are passed on as raw bytes.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

from navarch.base.errors import Unavailable
from navarch.wire.dialed import SocketTunnel, connect

HEAD_BYTES = 65_536

Headers = Sequence[tuple[str, str]]


async def upgrade(
    host: str,
    port: int,
    target: str,
    headers: Headers,
    *,
    method: str = "GET",
    tls: ssl.SSLContext | None = None,
    server_name: str = "",
) -> tuple[int, Headers, SocketTunnel, bytes]:
    """Send the request and return status, headers, the connection and, unless the status is 101, the body.

    `headers` must hold `Connection`, `Upgrade` and what the protocol needs; `Host` is added where it is missing.
    server_name: what the certificate must be for, if not `host`.

    Raises:
        Unavailable: nobody answers there, or what answers speaks no HTTP.
    """
    try:
        async with asyncio.timeout(10):
            tunnel = await connect(host, port, tls, server_name or host)
    except (OSError, TimeoutError) as error:
        raise Unavailable(f"cannot reach {host}:{port}: {error or 'no answer within 10 s'}") from error
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    if not any(name.lower() == "host" for name, _ in headers):
        lines.insert(1, f"Host: {host}:{port}")
    try:
        await tunnel.write(_head(lines))
        async with asyncio.timeout(30):
            head = (await tunnel.until(b"\r\n\r\n", HEAD_BYTES)).decode("latin-1")
        status, found = _parse(head)
        body = b"" if status == 101 else await _read_body(tunnel, found)
    except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        await tunnel.close()
        raise Unavailable(f"{host}:{port} did not answer the upgrade: {error or type(error).__name__}") from error
    except BaseException:
        await tunnel.close()
        raise
    if status != 101:
        await tunnel.close()
    return status, found, tunnel, body


def _head(lines: Sequence[str]) -> bytes:
    """Raises: ValueError: a line that would be two."""
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header holds a line end")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _parse(head: str) -> tuple[int, Headers]:
    first, *rest = head.rstrip("\r\n").split("\r\n")
    version, _, answer = first.partition(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(f"not an HTTP answer: {first[:80]!r}")
    headers = []
    for line in rest:
        name, _, value = line.partition(":")
        headers.append((name.strip(), value.strip()))
    return int(answer[:3]), headers


async def _read_body(tunnel: SocketTunnel, headers: Headers) -> bytes:
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    async with asyncio.timeout(10):
        return await tunnel.exactly(min(length, HEAD_BYTES))
