"""A load generator that spends little itself: prepared requests, kept connections, answers counted by their length."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import orjson


class Connection(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._answer: asyncio.Future[bytes] | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._due = -1
        self._chunked = False
        self.on_data: Callable[[bytes], None] | None = None
        """Takes over everything that comes, for watches."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError(f"the server hung up: {error}"))

    def data_received(self, data: bytes) -> None:
        if self.on_data is not None:
            self.on_data(data)
            return
        self._parts.append(data)
        self._size += len(data)
        if self._due < 0:
            whole = b"".join(self._parts)
            end = whole.find(b"\r\n\r\n")
            if end < 0:
                return
            self._parts = [whole]
            head = whole[:end].lower()
            at = head.find(b"content-length: ")
            self._chunked = at < 0
            self._due = 0 if at < 0 else end + 4 + int(head[at + 16 :].split(b"\r", 1)[0])
        if self._chunked:
            if not self._parts[-1].endswith(b"0\r\n\r\n"):
                return
        elif self._size < self._due:
            return
        answer, self._answer = self._answer, None
        assert answer is not None
        if not answer.done():
            answer.set_result(b"".join(self._parts))

    def send(self, request: bytes) -> None:
        self._transport.write(request)

    async def ask(self, request: bytes) -> bytes:
        """The whole answer, head and body."""
        self._parts, self._size, self._due = [], 0, -1
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        found = await self._answer
        if not found.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
            raise AssertionError(f"{request[:120]!r} was answered with {found[:600]!r}")
        return found

    def close(self) -> None:
        self._transport.abort()


def request(method: str, target: str, body: Any = None, content_type: str = "application/json") -> bytes:
    head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nUser-Agent: benchmark/1\r\n"
    if body is None:
        return f"{head}\r\n".encode()
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return f"{head}Content-Type: {content_type}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


async def connect(count: int, port: int, context: ssl.SSLContext) -> list[Connection]:
    loop = asyncio.get_running_loop()
    made = []
    for _ in range(count):
        _, protocol = await loop.create_connection(
            Connection, "127.0.0.1", port, ssl=context, server_hostname="localhost"
        )
        made.append(protocol)
    return made


async def drive(connections: list[Connection], requests: Iterator[bytes]) -> int:
    """Send all requests, each connection taking the next one when it has its answer; returns how many there were."""

    async def one(connection: Connection) -> int:
        count = 0
        for wanted in requests:
            await connection.ask(wanted)
            count += 1
        return count

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(connection)) for connection in connections]
    return sum(task.result() for task in tasks)
