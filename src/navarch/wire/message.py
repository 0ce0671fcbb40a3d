"""HTTP requests and responses as values: what servers are handed and what they answer with.

`wire.http` turns bytes into these and back. The API server, the agent's port and every other page we serve share them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is on the other end of a connection.

    host, port: of the socket ("" and 0 on a Unix socket). common_name, organizations: of the client certificate that
    TLS verified against the server's client CA, "" and () without one. certificate: the same in DER, b"" without one.
    local: the connection came over the server's own Unix socket, which only root can open.
    """

    host: str = ""
    port: int = 0
    common_name: str = ""
    organizations: tuple[str, ...] = ()
    certificate: bytes = b""
    local: bool = False


class Tunnel(Protocol):
    """A connection that was taken over after an upgrade: raw bytes both ways, nothing lost that came early."""

    async def read(self) -> bytes:
        """Whatever came next; b"" at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Returns when the peer's window allows more (back-pressure)."""
        ...

    async def close(self) -> None: ...

    def gone(self) -> bool:
        """Whether the peer has hung up, which reading would tell: for when nobody reads."""
        ...


@dataclass(slots=True)
class Request:
    """path: percent-decoded, without the query. target: as it came on the wire. headers: lower-case names, repeated
    ones joined with ", ". query: decoded, in order. body: complete (servers refuse what is over their limit)."""

    method: str
    path: str
    target: str
    headers: Mapping[str, str]
    query: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    peer: Peer = field(default_factory=Peer)
    upgrade: Callable[[int, Sequence[tuple[str, str]]], Awaitable[Tunnel]] | None = None
    """Answers with a status (101) and headers, and hands over the connection. None where that is not possible."""
    parsed: tuple[Any, Sequence[str]] | None = None
    """The body, where somebody has read it already, and what he found doubled in it."""
    stream: AsyncIterator[bytes] | None = None
    """The body as it comes, of any size, for whoever hands it on (`Server.hands_on`): `body` is empty then."""

    @property
    def content(self) -> bytes | AsyncIterator[bytes]:
        """The body, in the form that it has."""
        return self.body if self.stream is None else self.stream

    def param(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        for key, value in self.query:
            if key == name:
                return value
        return default

    def params(self, name: str) -> list[str]:
        return [value for key, value in self.query if key == name]


@dataclass(slots=True)
class Response:
    """body: bytes, sent with a Content-Length, or an async iterator whose chunks are sent as they come (chunked
    coding); the server closes the iterator when the client goes away. packable: an iterator that comes to an end by
    itself and whose single pieces nobody waits for, so that it may be compressed, as all large bytes may."""

    status: int = 200
    headers: Headers = ()
    body: bytes | AsyncIterator[bytes] = b""
    packable: bool = False


Push = Callable[[bytes], bool]
"""Sends a piece of a body at once; says False, and does not, while the client takes none."""


@runtime_checkable
class Piped(Protocol):
    """An asynchronous iterator that is a body and can also hand pieces over itself, so that nobody need be woken for
    them: only while its `__anext__` waits, and everything that it gave before has been sent."""

    def pipe(self, push: Push) -> None:
        """Before it is iterated over."""
        ...


UPGRADED = Response(status=101)
"""What a handler returns after it used `Request.upgrade`: nothing more is written."""

Handler = Callable[[Request], Awaitable[Response]]
