"""Requests that the API server itself sends to servers outside: webhooks, converters, aggregated APIs.

One pool of connections for all of them. TLS is always checked, redirects are never followed, the size of an answer is
bounded, and whoever waits may be cancelled. Where a server is, is said by `resolving`; what its answer means, by who
asks. `aiohttp` is imported when there is something to ask.
"""

from __future__ import annotations

import asyncio
import binascii
import ssl
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from navarch import __version__
from navarch.base.pki import Pair, client_context

if TYPE_CHECKING:
    import aiohttp

ANSWER_BYTES = 8 << 20
CONNECT_S = 10.0
HEADERS_S = 60.0
CONTEXTS_MAX = 256
CONNECTIONS_PER_SERVER = 128
USER_AGENT = f"kube-apiserver-admission navarch/{__version__}"

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Target:
    """Where a server is and who it must be.

    host, port: what is connected to. name: what its certificate must be for. authority: the `Host` header, and what
    errors call it. path: begins with a slash. bundle: certificates (PEM) that its own must lead to, b"" for those that
    the machine trusts. insecure: its certificate is not looked at. pair: what the API server shows of itself.
    """

    host: str
    port: int
    name: str
    authority: str
    path: str = "/"
    bundle: bytes = b""
    insecure: bool = False
    pair: Pair | None = None

    @property
    def url(self) -> str:
        return f"https://{self.authority}{self.path}"


@dataclass(frozen=True, slots=True)
class Answered:
    status: int
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class Streamed:
    """body: read it or close it; the connection is given up when the reader stops early."""

    status: int
    headers: Headers
    body: AsyncIterator[bytes]


class Unreachable(Exception):
    """No answer came that could be read. The text says why, in the words that users of Kubernetes know."""


def bundle_of(text: str) -> bytes:
    """The PEM out of a `caBundle` field. Raises: Unreachable."""
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unreachable(f"the caBundle is not base64: {error}") from error


class Outgoing:
    """Belongs to one event loop. `close` it."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[tuple[bytes, bool, str, Pair | None], ssl.SSLContext] = {}

    async def ask(
        self,
        target: Target,
        method: str,
        query: str = "",
        *,
        headers: Headers = (),
        body: bytes = b"",
        timeout_s: float,
        limit_bytes: int = ANSWER_BYTES,
    ) -> Answered:
        """Send a request and read the whole answer, all within `timeout_s`. query: without the `?`.

        Raises: Unreachable.
        """
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._sent(target, method, query, headers, body)
                try:
                    return Answered(answer.status, _headers(answer), await _whole(answer, limit_bytes))
                finally:
                    answer.release() if answer.content.at_eof() else answer.close()
        except TimeoutError as late:
            raise Unreachable("context deadline exceeded") from late
        except Unreachable:
            raise
        except Exception as error:
            raise _unreachable(error, target) from error

    async def open(
        self,
        target: Target,
        method: str,
        query: str = "",
        *,
        headers: Headers = (),
        body: bytes | AsyncIterator[bytes] = b"",
        headers_s: float = HEADERS_S,
    ) -> Streamed:
        """Send a request and hand over the answer as it comes. headers_s: how long its beginning may take.

        Raises: Unreachable.
        """
        try:
            async with asyncio.timeout(headers_s):
                answer = await self._sent(target, method, query, headers, body)
        except TimeoutError as late:
            raise Unreachable("net/http: timeout awaiting response headers") from late
        except Exception as error:
            raise _unreachable(error, target) from error
        return Streamed(answer.status, _headers(answer), _pieces(answer))

    def context(self, target: Target) -> ssl.SSLContext:
        """How TLS is spoken to a server: for connections that others make (upgrades). Raises: Unreachable."""
        key = (target.bundle, target.insecure, target.name, target.pair)
        found = self._contexts.get(key)
        if found is None:
            if len(self._contexts) >= CONTEXTS_MAX:
                del self._contexts[next(iter(self._contexts))]
            found = self._contexts[key] = _context(target)
        return found

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _sent(
        self, target: Target, method: str, query: str, headers: Headers, body: bytes | AsyncIterator[bytes]
    ) -> aiohttp.ClientResponse:
        """A connection that its server closed while it lay idle says nothing: then once more, on a new one."""
        import aiohttp

        seen = SimpleNamespace(reused=False)
        try:
            return await self._try(target, method, query, headers, body, seen)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            if not (seen.reused and isinstance(body, bytes)):
                raise
        return await self._try(target, method, query, headers, body, seen)

    async def _try(
        self,
        target: Target,
        method: str,
        query: str,
        headers: Headers,
        body: bytes | AsyncIterator[bytes],
        seen: SimpleNamespace,
    ) -> aiohttp.ClientResponse:
        from multidict import CIMultiDict
        from yarl import URL

        session = self._open_session()
        host = f"[{target.host}]" if ":" in target.host else target.host
        text = f"https://{host}:{target.port}{target.path}" + (f"?{query}" if query else "")
        sent = CIMultiDict([("Host", target.authority), *headers])
        sent.setdefault("User-Agent", USER_AGENT)
        return await session.request(
            method,
            URL(text, encoded=True),
            headers=sent,
            data=body or None,
            ssl=self.context(target),
            server_hostname=target.name,
            allow_redirects=False,
            trace_request_ctx=seen,
        )

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            import aiohttp

            async def reused(_session: Any, context: SimpleNamespace, _params: Any) -> None:
                context.trace_request_ctx.reused = True

            trace = aiohttp.TraceConfig()
            trace.on_connection_reuseconn.append(reused)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, limit_per_host=CONNECTIONS_PER_SERVER),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("Accept-Encoding", "Content-Type", "User-Agent"),
                timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_S),
                trace_configs=[trace],
            )
        return self._session


def _context(target: Target) -> ssl.SSLContext:
    """As Go does: names stand in the certificate's alternative names alone, and whatever is in the bundle is trusted,
    be it an authority's or the server's own. Raises: Unreachable."""
    try:
        context = client_context(target.bundle, target.pair)
    except (ssl.SSLError, ValueError) as error:
        raise Unreachable("unable to load root certificates: unable to parse bytes as PEM block") from error
    context.hostname_checks_common_name = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if target.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _headers(answer: aiohttp.ClientResponse) -> Headers:
    return [(name, value) for name, value in answer.headers.items()]


async def _whole(answer: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    """Raises: Unreachable, for more than `limit_bytes`."""
    pieces: list[bytes] = []
    left = limit_bytes
    async for piece in answer.content.iter_any():
        left -= len(piece)
        if left < 0:
            raise Unreachable(f"the answer is larger than {limit_bytes} bytes")
        pieces.append(piece)
    return b"".join(pieces)


async def _pieces(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    import aiohttp

    try:
        async for piece in answer.content.iter_any():
            yield piece
    except (aiohttp.ClientError, OSError) as error:
        raise Unreachable(f"the answer broke off: {error or type(error).__name__}") from error
    finally:
        answer.close()


def _unreachable(error: Exception, target: Target) -> Unreachable:
    """What went wrong, in the words in which Kubernetes' users know it. Bugs stay what they are."""
    import aiohttp

    if not isinstance(error, (aiohttp.ClientError, OSError, ValueError)):
        raise error
    for known, told in _WORDS:
        if isinstance(error, known(aiohttp)):
            return Unreachable(told(error, target))
    return Unreachable(str(error) or type(error).__name__)


def _certificate(error: Any, target: Target) -> str:
    inner = error.certificate_error
    code = getattr(inner, "verify_code", 0)
    if code == 10:
        why = "certificate has expired or is not yet valid"
    elif code in (62, 64):
        why = f"certificate is not valid for {target.name}"
    elif code in (18, 19, 20, 21):
        why = "certificate signed by unknown authority"
    else:
        why = str(getattr(inner, "verify_message", "") or inner)
    return f"tls: failed to verify certificate: x509: {why}"


def _connecting(error: Any, target: Target) -> str:
    inner = error.os_error
    refused = isinstance(inner, ConnectionRefusedError)
    why = "connect: connection refused" if refused else f"connect: {inner.strerror or inner}"
    return f"dial tcp {target.host}:{target.port}: {why}"


_WORDS: tuple[tuple[Callable[[Any], Any], Callable[[Any, Target], str]], ...] = (
    (lambda http: http.ClientConnectorCertificateError, _certificate),
    (lambda http: http.ClientSSLError, lambda error, _: f"tls: {error.os_error}"),
    (lambda http: http.ClientConnectorDNSError, lambda _, target: f"dial tcp: lookup {target.host}: no such host"),
    (lambda http: http.ClientConnectorError, _connecting),
    (lambda http: http.ServerTimeoutError, lambda _, target: f"dial tcp {target.host}:{target.port}: i/o timeout"),
    (lambda http: (http.ServerDisconnectedError, http.ClientPayloadError), lambda *_: "EOF"),
    (lambda http: http.ClientOSError, lambda error, _: f"read: {error.strerror or error}"),
    (lambda http: http.ClientResponseError, lambda error, _: f"malformed HTTP response: {error.message}"),
)
