"""Handing requests on to a port of a pod: what is behind `pods/proxy` and `services/proxy`.

The agent can reach its node's pods where an API server on another network cannot. Redirects are handed back and never
followed, and certificates of pods are not checked, as Kubernetes does it.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from navarch.base.errors import Unavailable
from navarch.wire.join import join
from navarch.wire.message import UPGRADED, Request, Response
from navarch.wire.upgrade import upgrade

if TYPE_CHECKING:
    import aiohttp

HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"} | {"expect"}
)
NOT_SENT = HOP_BY_HOP | {"content-length"}
CONNECT_S = 10.0


class PodProxy:
    """One for the agent; close it at the end."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def serve(self, request: Request, address: str, port: int, scheme: str, target: str) -> Response:
        """target: the path and query at the pod.

        Raises:
            Unavailable: nobody answers there.
        """
        if request.upgrade is not None:
            return await self._upgraded(request, address, port, scheme, target)
        import aiohttp
        from yarl import URL

        if self._session is None:
            self._session = aiohttp.ClientSession(
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            )
        not_sent = NOT_SENT if request.stream is None else HOP_BY_HOP
        try:
            answer = await self._session.request(
                request.method,
                URL(f"{scheme}://{address}:{port}{target}", encoded=True),
                headers={name: value for name, value in request.headers.items() if name not in not_sent},
                data=request.content or None,
                allow_redirects=False,
                ssl=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_S),
            )
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unavailable(f"error trying to reach service: {_why(error, address, port)}") from error
        headers = [(name, value) for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP]
        return Response(answer.status, headers, _pieces(answer))

    async def _upgraded(self, request: Request, address: str, port: int, scheme: str, target: str) -> Response:
        assert request.upgrade is not None
        context = None
        if scheme == "https":
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        headers = [(name, value) for name, value in request.headers.items() if name != "content-length"]
        status, answered, far, body = await upgrade(address, port, target, headers, method=request.method, tls=context)
        if status != 101:
            kept = [(name, value) for name, value in answered if name.lower() not in HOP_BY_HOP]
            return Response(status, kept, body)
        near = await request.upgrade(status, answered)
        try:
            await join(near, far)
        finally:
            await far.close()
        return UPGRADED


def _why(error: Exception, address: str, port: int) -> str:
    """In the words that users of Kubernetes know."""
    inner = getattr(error, "os_error", error)
    if isinstance(inner, ConnectionRefusedError):
        return f"dial tcp {address}:{port}: connect: connection refused"
    if isinstance(error, TimeoutError):
        return f"dial tcp {address}:{port}: i/o timeout"
    return str(error) or type(error).__name__


async def _pieces(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    import aiohttp

    try:
        async for piece in answer.content.iter_any():
            yield piece
    except aiohttp.ClientError as error:
        raise Unavailable(f"the pod's answer broke off: {error}") from error
    finally:
        answer.close()
