"""The `Client` that speaks to an API server over HTTP: TLS on TCP, or a Unix socket on the same machine.

It holds no cache and starts no task: informers watch again when a watch ends. An error of the network is `Retryable`,
for nothing is known of the request's fate; an answer of the server is the `ApiError` that the server meant.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any

import aiohttp
import orjson

from navarch import __version__
from navarch.base.errors import Retryable
from navarch.client.client import ObjectList, PatchType, Propagation, WatchEvent
from navarch.client.target import Target
from navarch.client.wire import error_of, event, left, many, one
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.objects.value import Document

ANSWER_S = 60.0
CONNECT_S = 10.0
SILENT_S, PROBE_EVERY_S = 3, 1
"""After so long without a packet the kernel asks whether the other end is still there, and again so often."""
GIVEN_UP_S = 6
"""A connection ends whose other end, or the way to it, was gone for so long: what is to be heard comes by a new one,
and not at the next of retransmissions that grow ever rarer."""
LINE_BYTES = 1 << 24
CONNECTIONS = 64

PATCH_TYPES: dict[PatchType, str] = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}
AWAY = (aiohttp.ClientError, OSError, TimeoutError)


def path_of(kind: Kind, namespace: str, name: str = "", subresource: str = "") -> str:
    """Of a resource, below the server's address."""
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    parts = [root, "namespaces", namespace] if kind.namespaced and namespace else [root]
    return "/".join([*parts, kind.plural, *filter(None, (name, subresource))])


def _watchful(found: aiohttp.AddrInfoType) -> socket.socket:
    """One that notices when its other end is gone, although nothing is to be sent: a watch says nothing for hours."""
    family, kind, protocol, _, _ = found
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENT_S)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_EVERY_S)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, GIVEN_UP_S - SILENT_S)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GIVEN_UP_S * 1000)
    return made


class HttpClient:
    """Implements `client.Client`. Use as an asynchronous context, or close it.

    manager: the field manager that writes are recorded under, and the name by which the server's log knows us.
    """

    def __init__(self, target: Target, manager: str, *, connections: int = CONNECTIONS) -> None:
        self._target = target
        self._manager = manager
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | bool = False
        self._token = target.token
        self._token_seen = 0.0

    async def __aenter__(self) -> HttpClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def show(self, target: Target) -> None:
        """Another certificate (or token) for the same server, from the next connection on; what runs goes on as it is.

        Raises: ssl.SSLError, for keys that do not fit; nothing has changed then.
        """
        self._tls = target.context() or False
        self._target = target

    # The seam.

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        return one(kind, await self._ask("GET", path_of(kind, namespace, name)))

    async def list(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        limit: int = 0,
        cont: str = "",
        revision: str | None = None,
    ) -> ObjectList:
        query = {"labelSelector": labels, "fieldSelector": fields, "continue": cont}
        query |= {"limit": str(limit) if limit else "", "resourceVersion": "" if cont else revision or ""}
        return many(kind, await self._ask("GET", path_of(kind, namespace), query))

    async def watch(
        self, kind: Kind, namespace: str = "", *, since: int, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Sequence[WatchEvent]]:
        query = {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": str(since)}
        query |= {"labelSelector": labels, "fieldSelector": fields}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=None)
        try:
            async with self._open("GET", path_of(kind, namespace), query, timeout=timeout) as response:
                if response.status >= 400:
                    raise error_of(response.status, await response.read())
                rest = b""
                async for chunk in response.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    if len(rest) > LINE_BYTES:
                        raise Retryable(f"an event of more than {LINE_BYTES} bytes")
                    if lines:
                        yield [event(kind, line) for line in lines if line]
        except AWAY as error:
            raise self._away(error) from error

    async def create(
        self, kind: Kind, document: Document, *, subresource: str = "", manager: str = "", dry_run: bool = False
    ) -> Object:
        path = path_of(kind, _namespace(document), _name(document) if subresource else "", subresource)
        return one(kind, await self._ask("POST", path, self._writing(manager, dry_run), document))

    async def update(
        self, kind: Kind, document: Document, *, subresource: str = "", manager: str = "", dry_run: bool = False
    ) -> Object:
        path = path_of(kind, _namespace(document), _name(document), subresource)
        return one(kind, await self._ask("PUT", path, self._writing(manager, dry_run), document))

    async def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch: Document | Sequence[Document],
        *,
        type: PatchType = "merge",
        subresource: str = "",
        manager: str = "",
        dry_run: bool = False,
    ) -> Object:
        path, query = path_of(kind, namespace, name, subresource), self._writing(manager, dry_run)
        return one(kind, await self._ask("PATCH", path, query, patch, PATCH_TYPES[type]))

    async def apply(
        self, kind: Kind, document: Document, *, manager: str, force: bool = False, subresource: str = ""
    ) -> Object:
        path = path_of(kind, _namespace(document), _name(document), subresource)
        query = self._writing(manager, False) | {"force": "true" if force else ""}
        return one(kind, await self._ask("PATCH", path, query, document, "application/apply-patch+yaml"))

    async def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        revision: int = 0,
        grace_s: int | None = None,
        propagation: Propagation | None = None,
        dry_run: bool = False,
    ) -> Object | None:
        options: Document = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        if propagation:
            options["propagationPolicy"] = propagation
        if dry_run:
            options["dryRun"] = ["All"]
        conditions = {"uid": uid, "resourceVersion": str(revision) if revision else ""}
        if found := {key: value for key, value in conditions.items() if value}:
            options["preconditions"] = found
        return left(kind, await self._ask("DELETE", path_of(kind, namespace, name), {}, options))

    async def post(self, kind: Kind, namespace: str, name: str, subresource: str, document: Document) -> Document:
        found: Document = orjson.loads(
            await self._ask("POST", path_of(kind, namespace, name, subresource), self._writing("", False), document)
        )
        return found

    async def raw(self, method: str, path: str, body: Any = None) -> bytes:
        return await self._ask(method, path, {}, body)

    # The talking.

    def _writing(self, manager: str, dry_run: bool) -> dict[str, str]:
        query = {"fieldManager": manager or self._manager, "fieldValidation": "Strict"}
        return query | {"dryRun": "All"} if dry_run else query

    async def _ask(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: Any = None,
        type_: str = "application/json",
    ) -> bytes:
        """The body of a success. Raises: ApiError, Retryable."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_S, sock_connect=CONNECT_S)
        try:
            async with self._open(method, path, query or {}, body, type_, timeout) as response:
                content = await response.read()
        except AWAY as error:
            raise self._away(error) from error
        if response.status >= 400:
            raise error_of(response.status, content)
        return content

    def _open(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        body: Any = None,
        type_: str = "application/json",
        timeout: aiohttp.ClientTimeout | None = None,
    ) -> aiohttp.client._RequestContextManager:
        headers = {"Accept": "application/json"}
        data = None
        if body is not None:
            headers["Content-Type"] = type_
            data = body if isinstance(body, bytes) else orjson.dumps(body)
        if token := self._bearer():
            headers["Authorization"] = f"Bearer {token}"
        params = {key: value for key, value in query.items() if value}
        return self._opened().request(
            method,
            self._target.server + path,
            params=params,
            data=data,
            headers=headers,
            timeout=timeout,
            ssl=self._tls,
            server_hostname=self._target.server_name or None,
        )

    def _opened(self) -> aiohttp.ClientSession:
        """Made at the first request: a session belongs to the loop that runs then."""
        if self._session is None:
            connector: aiohttp.BaseConnector
            if self._target.socket:
                connector = aiohttp.UnixConnector(self._target.socket, limit=self._connections)
            else:
                self._tls = self._tls or self._target.context() or False
                connector = aiohttp.TCPConnector(limit=self._connections, socket_factory=_watchful)
            agent = f"{self._manager}/{__version__}"
            self._session = aiohttp.ClientSession(
                connector=connector, headers={"User-Agent": agent}, read_bufsize=1 << 18
            )
        return self._session

    def _bearer(self) -> str:
        """The token, read again when its file was replaced."""
        file = self._target.token_file
        if file:
            try:
                changed = os.stat(file).st_mtime
                if changed != self._token_seen:
                    with open(file) as opened:
                        self._token = opened.read().strip()
                    self._token_seen = changed
            except OSError as error:
                raise Retryable(f"the token cannot be read: {error}") from error
        return self._token

    def _away(self, error: BaseException) -> Retryable:
        where = self._target.socket or self._target.server
        return Retryable(f"the API server at {where} cannot be reached: {error or type(error).__name__}")


def _name(document: Document) -> str:
    return (document.get("metadata") or {}).get("name") or ""


def _namespace(document: Document) -> str:
    return (document.get("metadata") or {}).get("namespace") or ""
