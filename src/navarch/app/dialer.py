"""How the API server reaches the agents: over HTTPS, at the address and port that each Node reports.

The agent's certificate is checked against the cluster's CA and the node's name; the server shows its own client
certificate, of the group that an agent lets in. `aiohttp` is imported when the first request is made: a server
that nobody asks for logs does not hold it in memory.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING

from navarch.apiserver.call import Reads
from navarch.apiserver.dialer import Declined
from navarch.app.layout import in_url
from navarch.base.errors import Unavailable
from navarch.kinds import NODE
from navarch.wire.message import Response, Tunnel
from navarch.wire.upgrade import upgrade

if TYPE_CHECKING:
    import aiohttp

Headers = Sequence[tuple[str, str]]
NOT_PASSED_ON = frozenset({"transfer-encoding", "connection"})


class HttpsDialer:
    """Implements `apiserver.dialer.NodeDialer`. context: shows the server's certificate, and believes the cluster's
    authority. unverified: makes one that believes whoever answers."""

    def __init__(
        self, reads: Callable[[], Reads], context: ssl.SSLContext, unverified: Callable[[], ssl.SSLContext]
    ) -> None:
        self._reads = reads
        self._context = context
        self._unverified = unverified
        self._unverified_context: ssl.SSLContext | None = None
        self._session: aiohttp.ClientSession | None = None

    def show(self, context: ssl.SSLContext, unverified: Callable[[], ssl.SSLContext]) -> None:
        """From the next connection on; those that are open keep what they began with."""
        self._context, self._unverified = context, unverified
        self._unverified_context = None

    async def request(
        self,
        node: str,
        method: str,
        target: str,
        headers: Headers = (),
        body: bytes | AsyncIterator[bytes] = b"",
        *,
        insecure: bool = False,
    ) -> Response:
        import aiohttp
        from multidict import CIMultiDict
        from yarl import URL

        host, port = self._address(node)
        if self._session is None:
            self._session = aiohttp.ClientSession(
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            )
        try:
            answer = await self._session.request(
                method,
                URL(f"https://{in_url(host)}:{port}{target}", encoded=True),
                headers=CIMultiDict(headers),
                data=body or None,
                ssl=self._believing() if insecure else self._context,
                server_hostname=node,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=10),
            )
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unavailable(f"node {node} at {host}:{port} does not answer: {error}") from error
        found = [(name, value) for name, value in answer.headers.items() if name.lower() not in NOT_PASSED_ON]
        return Response(answer.status, found, _pieces(answer))

    def _believing(self) -> ssl.SSLContext:
        if self._unverified_context is None:
            self._unverified_context = self._unverified()
        return self._unverified_context

    async def upgrade(self, node: str, target: str, headers: Headers) -> tuple[int, Headers, Tunnel]:
        host, port = self._address(node)
        status, found, tunnel, body = await upgrade(host, port, target, headers, tls=self._context, server_name=node)
        if status != 101:
            raise Declined(Response(status, found, body))
        return status, found, tunnel

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _address(self, node: str) -> tuple[str, int]:
        found = self._reads().get(NODE, "", node)
        if found is None:
            raise Unavailable(f"node {node} does not exist any more")
        status = found.document().get("status", {})
        addresses = {entry["type"]: entry["address"] for entry in reversed(status.get("addresses", []))}
        port = status.get("daemonEndpoints", {}).get("kubeletEndpoint", {}).get("Port", 0)
        if "InternalIP" not in addresses or not port:
            raise Unavailable(f"node {node} has not said where its agent listens")
        return addresses["InternalIP"], port


async def _pieces(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body as it comes; the connection is given up when the reader stops early."""
    import aiohttp

    try:
        async for piece in answer.content.iter_any():
            yield piece
    except aiohttp.ClientError as error:
        raise Unavailable(f"the node's answer broke off: {error}") from error
    finally:
        answer.close()
