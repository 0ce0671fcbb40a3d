"""Reaches etcd: a channel to each member, one of which is used until it fails; errors as the API says them.

A call that failed is tried again on the next member for a few seconds. A write may have been made although its answer
was lost; whether trying again is right is for its maker to know (`Doubt`).

Source: https://etcd.io/docs/v3.4/learning/client-design/, https://etcd.io/docs/v3.4/op-guide/maintenance/
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

from navarch.base.errors import ApiError, Expired, StorageFull, TooLarge, Unavailable
from navarch.base.log import Log
from navarch.store.etcd.settings import Endpoint, Settings, endpoint
from navarch.wire import etcd

log = Log("store.etcd")

ATTEMPT_S = 5.0
"""For one call on one member, which may wait for the members to elect a leader."""
PATIENCE_S = 6.0
"""For a call over all its attempts."""
PAUSE_S = (0.02, 0.05, 0.1, 0.2, 0.4)
RETRY_AFTER_S = 1
OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)
WITH_LEADER = (("hasleader", "true"),)
"""Ends a stream to a member that has lost the others."""
NOT_SENT = ("failed to connect", "connections to all backends", "dns resolution failed", "name resolution")
NOT_DONE = ("no leader", "too many requests", "not supported for learner")


class Away(Exception):
    """It was not done: no member could be reached."""


class Doubt(Exception):
    """It may have been done or not: the answer was lost."""


def failure(code: str, details: str, url: str) -> Exception:
    """What a failed call means. code: gRPC's name of it. `Away` and `Doubt` may be tried again."""
    said = f"etcd at {url}: {details or code}"
    words = details.lower()
    if "space exceeded" in words:
        return StorageFull(
            f"{said}; its quota is used up, and until there is room it takes deletions only: compact and defragment it "
            "or raise the quota, then disarm the alarm (etcdctl alarm disarm)"
        )
    if "too large" in words or "larger than max" in words:
        return TooLarge(f"too large for {said} (the limit is etcd's, --max-request-bytes)")
    if "compacted" in words:
        return Expired(said)
    if code in ("PERMISSION_DENIED", "UNAUTHENTICATED") or "user name is empty" in words:
        return Unavailable(f"{said}; the client certificate must be of a user that may read and write the prefix")
    if any(some in words for some in NOT_DONE) or (code == "UNAVAILABLE" and any(some in words for some in NOT_SENT)):
        return Away(said)
    return Doubt(said)


class Connection:
    """To be made and used on one loop."""

    def __init__(self, settings: Settings) -> None:
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # children only execute other programs
        import grpc
        import grpc.aio

        self._error: type[Exception] = grpc.aio.AioRpcError
        self._end = grpc.aio.EOF
        self._endpoints = [endpoint(url) for url in settings.endpoints]
        if not self._endpoints:
            raise ValueError("no member of etcd is named")
        credentials = _credentials(settings, grpc) if any(one.secure for one in self._endpoints) else None
        self._channels = [_channel(one, credentials, grpc.aio) for one in self._endpoints]
        self._calls: dict[tuple[int, str], Any] = {}
        self._used = 0

    async def close(self) -> None:
        await asyncio.gather(*(channel.close() for channel in self._channels))

    async def once(self, method: str, request: Any, answer: Any) -> Any:
        """One attempt; after a failure the next goes to another member. Raises: ApiError, Away, Doubt."""
        used = self._used
        call = self._calls.get((used, method))
        if call is None:
            channel = self._channels[used]
            call = self._calls[used, method] = channel.unary_unary(
                method, request_serializer=_bytes, response_deserializer=answer.FromString
            )
        try:
            return await call(request, timeout=ATTEMPT_S)
        except self._error as error:
            raise self._failed(used, error) from None

    async def ask(self, method: str, request: Any, answer: Any) -> Any:
        """Something that may be asked again. Raises: ApiError; Unavailable, when no member answers."""
        async for last in self.attempts():
            try:
                return await self.once(method, request, answer)
            except (Away, Doubt) as error:
                if last:
                    raise Unavailable(str(error), retry_after_s=RETRY_AFTER_S) from None
        raise AssertionError("unreachable")

    async def attempts(self) -> AsyncIterator[bool]:
        """One item an attempt, with pauses between them; whether it is the last."""
        now = asyncio.get_running_loop().time
        deadline = now() + PATIENCE_S
        for pause_s in (*PAUSE_S, *([PAUSE_S[-1]] * int(PATIENCE_S / PAUSE_S[-1]))):
            last = now() >= deadline - pause_s
            yield last
            if last:
                return
            await asyncio.sleep(pause_s)
        yield True

    async def stream(self, method: str, first: Any, answer: Any) -> Stream:
        """Raises: ApiError, Away, Doubt."""
        used = self._used
        call = self._channels[used].stream_stream(
            method, request_serializer=_bytes, response_deserializer=answer.FromString
        )(metadata=WITH_LEADER)
        stream = Stream(self, used, call, self._error, self._end)
        await stream.send(first)
        return stream

    def _failed(self, used: int, error: Any) -> Exception:
        """Use another member from now on, unless somebody has turned to one already."""
        found = failure(error.code().name, error.details() or "", self._endpoints[used].url)
        if self._used == used and not isinstance(found, ApiError):
            self._used = (used + 1) % len(self._channels)
        return found


class Stream:
    """Both ways, to one member. Every method raises ApiError, Away or Doubt when it is over."""

    def __init__(self, connection: Connection, used: int, call: Any, error: type[Exception], end: Any) -> None:
        self._connection = connection
        self._used = used
        self._call = call
        self._error = error
        self._end = end

    async def send(self, request: Any) -> None:
        try:
            await self._call.write(request)
        except self._error as error:
            raise self._connection._failed(self._used, error) from None
        except asyncio.InvalidStateError:
            raise Away("the stream to etcd is closed") from None

    async def read(self) -> Any:
        try:
            found = await self._call.read()
        except self._error as error:
            raise self._connection._failed(self._used, error) from None
        if found is self._end:
            raise Away("etcd ended the stream")
        return found

    def cancel(self) -> None:
        self._call.cancel()


def _bytes(message: Any) -> bytes:
    found: bytes = message.SerializeToString()
    return found


def _channel(one: Endpoint, credentials: Any, aio: Any) -> Any:
    if one.secure:
        return aio.secure_channel(one.target, credentials, options=OPTIONS)
    return aio.insecure_channel(one.target, options=OPTIONS)


def _credentials(settings: Settings, grpc: Any) -> Any:
    """Raises: Unavailable, when a file cannot be read."""
    try:
        ca, key, certificate = (
            None if path is None else path.read_bytes() for path in (settings.ca, settings.key, settings.certificate)
        )
    except OSError as error:
        raise Unavailable(f"cannot read the certificates for etcd: {error}") from error
    return grpc.ssl_channel_credentials(ca, key, certificate)


async def revision(connection: Connection, prefix: bytes) -> int:
    """Of etcd as a whole, from a read that all members agree on. Raises: Unavailable."""
    request = etcd.RangeRequest(key=prefix, limit=1)
    found: int = (await connection.ask(etcd.RANGE, request, etcd.RangeResponse)).header.revision
    return found
